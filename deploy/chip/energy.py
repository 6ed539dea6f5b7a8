"""What the counted operations cost under a named table of prices per operation (`sim.prices`)."""

import numpy as np

from sim.prices import BARRIER, DENSE, WORK, Table, load, names, picojoules  # noqa: F401  (the tables, for callers)

TILES = 32


def cost(table: Table, activity, tiles, dense_macs=None) -> dict:
    """Energy and time of a sample, plain JSON values, with the table's name and what it leaves out.

    Args:
        activity: `deploy.chip.activity.Activity`.
        tiles: tiles in use, for the barrier.
        dense_macs: multiply-accumulates a sample would take with real-valued activations.
    """
    parts = {key: pj * 1e-12 for key, pj in picojoules(table, activity.counts).items()}
    seconds = None
    if table.time_ns:
        prices = np.array([table.time_ns.get(key, 0.0) for key in WORK])
        one, all_ = (table.time_ns.get(key, 0.0) for key in BARRIER)
        barrier = one + (all_ - one) * min(max(tiles, 1) - 1, TILES - 1) / (TILES - 1)
        # A step takes as long as its busiest core, which does one operation after the other, and then the barrier.
        seconds = float(((activity.work @ prices).max(1, initial=0) + barrier).sum() / activity.samples * 1e-9)
    ann = table.energy_pj.get(DENSE)
    energy = sum(parts.values())
    return {
        "table": table.name,
        "title": table.title,
        "source": table.source,
        "leaves_out": list(table.leaves_out),
        "assumes": list(table.assumes),
        "energy_j_per_sample": energy,
        "energy_j_by_operation": parts,
        "seconds_per_sample": seconds,
        "power_w": energy / seconds if seconds else None,
        "dense_equivalent_j_per_sample": None if ann is None or dense_macs is None else ann * dense_macs * 1e-12,
    }
