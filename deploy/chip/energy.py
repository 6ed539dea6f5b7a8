"""What the counted operations cost under a named table of prices per operation (`sim.prices`)."""

from dataclasses import dataclass

import numpy as np

from sim.prices import BARRIER, DENSE, WORK, Table, load, names, picojoules  # noqa: F401  (the tables, for callers)

from .activity import Activity

TILES = 32


@dataclass(frozen=True)
class Cost:
    """Energy and time of a sample under a table. What the table does not say is None.

    Attributes:
        table, title, source, leaves_out, assumes: of the `Table`.
        energy_j_per_sample: of all operations; energy_j_by_operation: count -> of it.
        energy_j_by_layer: layer -> kind (of `deploy.chip.activity.KINDS`) -> of it.
        seconds_per_sample, power_w: time, and energy by it.
        dense_equivalent_j_per_sample: of the same matrices applied to real-valued vectors.
    """

    table: str
    title: str
    source: str
    leaves_out: tuple
    assumes: tuple
    energy_j_per_sample: float
    energy_j_by_operation: dict
    energy_j_by_layer: dict
    seconds_per_sample: float | None
    power_w: float | None
    dense_equivalent_j_per_sample: float | None


def cost(table: Table, activity: Activity, tiles: int, dense_macs: int | None = None) -> Cost:
    """Energy and time of a sample.

    Args:
        tiles: tiles in use, for the barrier.
        dense_macs: multiply-accumulates a sample would take with real-valued activations.
    """
    counts = activity.counts
    parts = {key: pj * 1e-12 for key, pj in picojoules(table, vars(counts)).items()}
    seconds = None
    if table.time_ns:
        prices = np.array([table.time_ns.get(key, 0.0) for key in WORK])
        one, all_ = (table.time_ns.get(key, 0.0) for key in BARRIER)
        barrier = one + (all_ - one) * min(max(tiles, 1) - 1, TILES - 1) / (TILES - 1)
        # A step takes as long as its busiest core, which does one operation after the other, and then the barrier.
        seconds = float(((activity.work @ prices).max(1, initial=0) + barrier).sum() / counts.samples * 1e-9)
    ann = table.energy_pj.get(DENSE)
    energy = sum(parts.values())
    return Cost(
        table.name,
        table.title,
        table.source,
        table.leaves_out,
        table.assumes,
        energy,
        parts,
        {layer: {kind: _joules(table, n) for kind, n in own.items()} for layer, own in counts.parts.items()},
        seconds,
        energy / seconds if seconds else None,
        None if ann is None or dense_macs is None else ann * dense_macs * 1e-12,
    )


def _joules(table, counts):
    return 1e-12 * sum(picojoules(table, counts).values())
