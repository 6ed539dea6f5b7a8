"""The CNN of the NIR paper on recordings of N-MNIST: our engine, in chip integers, and sinabs on the CPU, in float32,
on the same spikes; `ratio` is the engine's speed over sinabs's. Samples a second.

The arithmetic is not the same, so what is compared is what both answer: see docs/nir.md for the thousand recordings.
"""

from importlib.util import find_spec

import numpy as np

from .measure import MODELS, median, require
from .registry import Row

SHARED = MODELS.parent.parent / "shared" / "data"
STEPS = 300


def rows(quick):
    graph = SHARED / "nir" / "cnn_sinabs.nir"
    lacking = next((f"no {p}" for p in (graph, SHARED / "NMNIST") if not p.exists()), None)
    if lacking or not find_spec("sinabs"):
        yield Row("CNN of the NIR paper", None, "", note=lacking or "sinabs is not installed")
        return
    yield from compare(graph, 4 if quick else 32, 1 if quick else 3)


def compare(path, n, runs):
    """The two rows."""
    import nir
    import torch
    from sinabs.nir import from_nir

    import events
    from convert.nir import files
    from convert.nir.from_graph import from_graph
    from events.frames import SpikeFrames
    from sim.sequential import Sequential

    recordings = events.load("nmnist", "test", str(SHARED))
    chosen = np.linspace(0, len(recordings.labels) - 1, n).astype(int)  # of every class
    x = SpikeFrames([recordings.events[int(i)] for i in chosen], 34, 34, (2, 34, 34), steps=STEPS)[:]
    labels = recordings.labels[chosen]
    ours, _ = from_graph(files.load(path))
    assert isinstance(ours, Sequential)  # a chain, as docs/nir.md has it
    answers = ours.run(x)[ours.layers[-1].name].sum(1, dtype=int).argmax(1)
    rate = n / median(lambda: ours.run(x), runs)
    right = int((answers == labels).sum())
    yield Row("CNN of the NIR paper: engine", rate, "samples/s", 1.0, f"{STEPS} steps, {n} samples, {right} right")
    theirs = from_nir(nir.read(path), batch_size=n)
    spikes = torch.from_numpy(x).float().flatten(0, 1)

    def run():
        for layer in theirs.modules():
            if hasattr(layer, "reset_states"):
                layer.reset_states()
        with torch.no_grad():
            out = theirs(spikes)
        return (out[0] if isinstance(out, tuple) else out).reshape(n, STEPS, -1).sum(1).argmax(1).numpy()

    found = run()
    same, right = int((found == answers).sum()), int((found == labels).sum())
    require(same >= 0.9 * n, f"sinabs answers as the engine in {same} of {n} samples only")
    seconds = median(run, runs)
    note = f"{torch.get_num_threads()} threads, float32, {right} right, {same} answers as the engine's"
    yield Row("CNN of the NIR paper: sinabs", n / seconds, "samples/s", rate * seconds / n, note)
