"""The same net with fewer tokens of each frame sent: accuracy and energy, measured."""

from dataclasses import replace

from events import Encoder
from sim import engine
from sim.base.errors import UserError
from sim.base.statistics import wilson
from sim.net import Net

from ..chip import board as boards
from ..chip.plan import plan
from ..samples import Samples
from .asked import Asked
from .content import Curve, Point

SHARES = (0.2, 0.4, 0.6, 0.8)  # of the tokens that the net itself takes
COUNTED = 8  # samples on which energy is counted
BATCH = 64


def sweep(net: Net, samples: Samples, asked: Asked) -> Curve:
    """A `Curve`: the net as it is, and with K lowered, not trained again.

    Raises:
        UserError: the samples have no recordings or no labels; the net's encoder sends all tokens.
    """
    if samples.encoder is None or samples.labels is None:
        raise UserError("--sweep takes the recordings of a data set; leave out --golden")
    if not net.encoder.get("places"):
        raise UserError("--sweep is for nets that choose tokens; this one sends all of them")
    counts = sorted({max(1, round(share * net.places)) for share in SHARES} | {net.places})
    points = tuple(_point(net, samples, places, asked) for places in counts)
    note = "This net with at most K tokens of a frame sent, not trained again; test samples, bars: 95 % intervals."
    return Curve(note, asked.tables[0], points)


def _point(net: Net, samples: Samples, places: int, asked: Asked) -> Point:
    encoder = Encoder.of({**net.encoder, "places": places})
    shorter = replace(net, places=places, encoder=encoder.settings())
    parts = []
    for i in range(0, len(samples), BATCH):
        parts.append(engine.run(shorter, encoder.encode_all(samples.source[i : i + BATCH])))
    found = engine.merge(parts)
    x = encoder.encode_all(samples.source[: min(COUNTED, len(samples))])
    costs = plan(shorter, boards.load(asked.board), x=x, tables=asked.tables).costs
    energy = None if costs is None else next(iter(costs.energy.values())).energy_j_per_sample * 1e6
    right = int((found.predictions == samples.labels).sum())
    kept = found.sent / max(1, len(samples) * net.frames * net.tokens)
    interval = wilson(right, len(samples))
    return Point(f"K = {places}", right / len(samples), tuple(interval), energy, kept, places == net.places)
