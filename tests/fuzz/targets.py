"""What is done with a mutant of each kind: it is read as the commands do, and what is read must be true."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

MOST = 1 << 22  # values of a trace: larger nets are read, not run


def of(kind: str) -> Callable[[Path], None]:
    return TARGETS.get(kind, events)


def events(path):
    """Both readers say the same, and what they give can be recorded."""
    from events import formats

    facts = formats.info(path)
    found, size = formats.read(path)
    width, height = size or (formats.SIDE_LIMIT, formats.SIDE_LIMIT)
    assert facts["events"] == len(found) > 0 and facts["on"] == found["p"].sum()
    assert (np.diff(found["t"]) >= 0).all() and found["t"][0] == 0 and ((found["p"] == 0) | (found["p"] == 1)).all()
    assert 0 <= found["x"].min() and found["x"].max() < width and 0 <= found["y"].min() and found["y"].max() < height


def net(path):
    """What is accepted runs alike in the engine and in chip time."""
    from sim import chiptime, engine, netx
    from sim.compare.random_nets import random_stream
    from sim.net import Net

    loaded = netx.load(path)
    if not isinstance(loaded, Net):
        chain(loaded)
        return
    netx.read_golden(path)
    if loaded.steps * sum(n.size for n in (*loaded.inputs, *loaded.nodes)) > MOST:
        return
    stream = random_stream(loaded, 1, 2)
    names = [node.name for node in loaded.nodes]
    found, expected = engine.run(loaded, stream, trace=names).traces, chiptime.run(loaded, stream)
    for name in names[:-1]:
        assert np.array_equal(found[name], expected[name]), f"layer {name} differs"
    sums = expected[names[-1]].sum(1, dtype=np.int64)
    assert np.array_equal(engine.run(loaded, stream).logits, sums), "the read-out differs"


def chain(loaded):
    """A net of layers runs as its definition says."""
    from deploy.verify.chain import made_up
    from sim.sequential import by_definition, graph

    sizes = [int(np.prod(layer.shape)) for layer in loaded.layers]
    if 64 * sum(sizes) > MOST or max(a * b for a, b in zip(sizes, [*sizes[1:], 0])) > MOST:
        return
    x, _ = made_up(loaded, 2, 0)
    define = graph.by_definition if isinstance(loaded, graph.Graph) else by_definition
    found, expected = loaded.run(x), define(loaded, x)
    for name, values in expected.items():
        assert np.array_equal(np.asarray(found[name]).reshape(values.shape), values), f"layer {name} differs"


def nir(path):
    from convert.nir.files import load
    from convert.nir.from_graph import from_graph
    from sim.net import Net

    made, _ = from_graph(load(path), None)
    if not isinstance(made, Net):
        chain(made)


def checkpoint(path):
    from train.checkpoint import load

    load(path)


def picture(path):
    """A photograph is refused, or becomes a picture of the size that was asked for, in colour and for the camera."""
    from events.pictures import Photograph

    for saccade in (False, True):
        found = Photograph(32, saccade)(path)
        if not saccade:
            assert found.shape == (3, 32, 32) and found.dtype == np.uint8


def cifar(path):
    from events.pictures import load_cifar10

    path.replace(path.parent / "test_batch.bin")
    found = load_cifar10("test", path.parent)
    assert found is not None and 0 <= found.labels.min() and found.labels.max() < 10
    assert all(found.events[i].shape == (3, 32, 32) for i in range(len(found.labels)))


def config(path):
    """As a checkpoint's, whose values come from elsewhere."""
    from train.config import Config

    try:
        says = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise UserError("no JSON") from None
    Config.from_dict(says).make_encoder()


def folder(path):
    from events.folder_settings import NAME, read

    path.replace(path.parent / NAME)
    read(path.parent)


def board(path):
    from deploy.chip.board import load

    load(path)


def prices(path):
    from sim.prices import load

    load(path)


TARGETS = {
    "net": net,
    "slayer": net,
    "graph": net,
    "nir": nir,
    "checkpoint": checkpoint,
    "png": picture,
    "jpeg": picture,
    "bmp": picture,
    "cifar": cifar,
    "config": config,
    "folder": folder,
    "board": board,
    "prices": prices,
}
