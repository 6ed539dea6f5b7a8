"""Ground floor: number formats, the net as the chip sees it, file format, integer engine, Lava processes.

Nothing here imports torch, SLAYER, `train`, `convert` or `deploy`.
"""
