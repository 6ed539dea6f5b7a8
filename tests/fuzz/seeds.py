"""Sound files of every kind that is read, small ones, and mutants that stay sound files with something else in them."""

import contextlib
import io
import json
import os
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import event_files as made
import numpy as np

from . import edits

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Kind:
    """suffix: of the file's name. make: () -> the files. edit: (files, generator) -> a sound file with something else
    in it. needs: what it takes to make or read them.
    """

    suffix: str
    make: Callable
    edit: Callable | None = None
    needs: str = ""


@cache
def files(kind: str) -> list[bytes]:
    """The sound files; none where a package is missing. Made in a process of their own: what an engine has run in
    cannot be forked any more.
    """
    with tempfile.TemporaryFile() as out:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _make(kind, out)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        if os.waitpid(pid, 0)[1]:
            raise RuntimeError(f"{kind}: no sound files could be made")
        out.seek(0)
        sizes = json.loads(out.readline())
        return [out.read(size) for size in sizes]


def _make(kind, out):
    try:
        found = [bytes(data) for data in KINDS[kind].make()]
    except ImportError:
        found = []
    out.write(json.dumps([len(data) for data in found]).encode() + b"\n" + b"".join(found))
    out.flush()


def suffix(kind: str) -> str:
    return KINDS[kind].suffix


def _written(write, *arguments, name="file.x", **options) -> bytes:
    """What a function of a path writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        write(path, *arguments, **options)
        return path.read_bytes()


def _arrays():
    rows, out = made.rows(200), []
    clip = rows / [1, 1, 1, 1000]  # tables are in milliseconds
    for value in (clip, clip.astype(np.float32), made.structured(rows)):
        buffer = io.BytesIO()
        np.save(buffer, value)
        out.append(buffer.getvalue())
    return out


def _archives():
    rows, out = made.rows(200), []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **dict(zip("xypt", rows.T)))
        out.append(buffer.getvalue())
    return out


def _aedat4():
    rows = made.rows(200)
    yield made.aedat4(rows)
    yield made.aedat4(rows, pack=made.lz4_plain)
    try:
        import zstandard
    except ImportError:
        return
    yield made.aedat4(rows, pack=zstandard.ZstdCompressor().compress).replace(
        b"\x01\x00\x00\x00\xff\xff", b"\x03\x00\x00\x00\xff\xff", 1
    )


def _matlab():
    from scipy.io import savemat

    rows = made.rows(100)
    yield _written(made.mat, rows, name="file.mat")
    buffer = io.BytesIO()
    savemat(buffer, {k: c for k, c in zip("xypt", rows.T)}, do_compression=True)
    yield buffer.getvalue()


def _hdf5():
    for layout in ("columns", "prophesee", "mvsec"):
        yield _written(made.hdf5, made.rows(200), layout, name="file.h5")
    yield edits.packed({f"events/{k}": c for k, c in zip("xypt", made.rows(3000).T)}, "v108")


def _bag(ending):
    import rosbags  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{ending}")
        made.bag(path, made.rows(60))
        return [path.read_bytes()]


def _texts(**options):
    return [made.text(made.rows(60), **options), made.text(made.rows(60), "txyp", False, **options)]


def _nets():
    from sim import netx
    from sim.compare.random_nets import random_net, random_stream

    for seed in (1, 2, 3, 4, 5, 6):
        net = random_net(seed, 2)
        yield _written(lambda path: netx.write(net, path, random_stream(net, seed, 2)))  # noqa: B023


def _slayer():
    from sim.netx import slayer_writer
    from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential

    r = np.random.default_rng(3)
    w = lambda *shape: (r.integers(-128, 128, shape) * 2).astype(np.int16)  # noqa: E731
    neuron = lambda: Neuron(np.array([200], np.int32), 300, 90, np.zeros(1, np.int32))  # noqa: E731
    chain = Sequential(
        (
            InputLayer("layer/0", (2, 6, 6)),
            ConvLayer("layer/1", w(3, 2, 3, 3), neuron(), (1, 1), (1, 1), (1, 1), 1, (2, 6, 6)),
            ConvLayer(
                "layer/2", w(2, 3, 2, 2), neuron(), (1, 1), (1, 1), (1, 1), 1, (3, 6, 6), spread=(2, 2)
            ),  # transposed
            FlattenLayer("layer/3", (288,)),
            DenseLayer("layer/4", w(5, 288), neuron()),
            DenseLayer("layer/5", w(4, 5), neuron(), w(4, 4)),
        )
    )
    yield _written(lambda path: slayer_writer.write(chain, path))
    yield edits.packed(edits.unpacked(_written(lambda path: slayer_writer.write(chain, path))), "earliest")


def _graphs():
    from sim.netx import graph_file
    from sim.sequential import ConvLayer, DenseLayer, InputLayer, Neuron
    from sim.sequential.graph import Edge, Graph, Node

    r = np.random.default_rng(4)
    w = lambda *shape: (r.integers(-128, 128, shape) * 2).astype(np.int16)  # noqa: E731
    neuron = Neuron(np.array([200], np.int32), 300, 90, np.zeros(1, np.int32))
    conv = ConvLayer("a", w(2, 1, 3, 3), neuron, (1, 1), (0, 0), (1, 1), 1, (1, 5, 5))
    nodes = (
        Node("a", (Edge("in", conv, 0),)),
        Node("b", (Edge("a", DenseLayer("b", w(4, 18), neuron), 1), Edge("b", DenseLayer("b", w(4, 4), neuron), 1))),
    )
    net = Graph(InputLayer("in", (1, 5, 5)), nodes, "b", ("a note",))
    yield _written(lambda path: graph_file.write(net, path))


def _nir():
    import nir

    from convert.nir import files as nir_files
    from convert.nir.to_graph import to_graph
    from sim import netx

    ones = lambda n, x: np.full(n, x, np.float64)  # noqa: E731
    cell = nir.CubaLIF(
        ones(3, 2e-3), ones(3, 4e-3), ones(3, 4.0), ones(3, 0.0), ones(3, 1.0), ones(3, 0.0), ones(3, 2.0)
    )
    graph = nir.NIRGraph(
        {
            "input": nir.Input(np.array([4])),
            "w": nir.Affine(np.arange(12.0).reshape(3, 4) / 12, ones(3, 0.1)),
            "n": cell,
            "output": nir.Output(np.array([3])),
        },
        [("input", "w"), ("w", "n"), ("n", "output")],
    )
    yield _written(lambda path: nir_files.save(graph, path))
    for data in _slayer():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "chain.net")
            path.write_bytes(data)
            try:
                yield _written(lambda out: nir_files.save(to_graph(netx.load(path), 1e-4), out))  # noqa: B023
            except Exception:  # what NIR cannot say is no seed
                return


def _checkpoints():
    from train import checkpoint
    from train.config import preset
    from train.model.smolmamba import SmolMamba

    cfg = preset("tiny", dataset="digits", width=8, bank=8, stem=(8,), decays=(2, 8))
    model = SmolMamba(cfg, cfg.make_encoder(), 3)
    yield _written(checkpoint.save, model, ("a", "b", "c"), {"epoch": 1})


def _torch_files():
    import torch  # noqa: F401

    yield _written(made.torch_file, made.rows(100), name="file.pt")


def _pictures(kind):
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(5).integers(0, 256, (40, 56, 3), np.uint8))
    for image in (picture, picture.convert("L"), picture.quantize(16)):
        buffer = io.BytesIO()
        with contextlib.suppress(OSError):  # JPEG has no palettes
            image.save(buffer, kind)
            yield buffer.getvalue()


def _cifar():
    r = np.random.default_rng(6)
    rows = r.integers(0, 256, (3, 1 + 3 * 1024), np.uint8)
    rows[:, 0] %= 10
    return [rows.tobytes()]


def _config():
    from train.config import preset

    return [json.dumps(preset(name).to_dict()).encode() for name in ("tiny", "small")]


def _folder_settings():
    says = dict(height=48, width=64, time_unit_us=1.0, clip_ms=100, stride_ms=50, sessions={"monday": ["a/*", "b/*"]})
    return [json.dumps(says).encode()]


def _read_all(*patterns):
    return [path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern))]


KINDS = {
    "aedat1": Kind(".aedat", lambda: [made.aedat2(made.rows(150) % [128, 128, 2, 1 << 40], version=1)]),
    "aedat2": Kind(".aedat", lambda: [made.aedat2(made.rows(150)), made.aedat2(made.rows(150), "DAVIS240")]),
    "aedat3": Kind(".aedat", lambda: [made.aedat3(made.rows(150)), made.aedat3(made.rows(90), (240, 180))]),
    "aedat4": Kind(".aedat4", _aedat4),
    "evt2": Kind(".raw", lambda: [made.evt2(made.rows(300))]),
    "evt21": Kind(".raw", lambda: [made.evt21(made.rows(300)), made.evt21(made.rows(300), legacy=True, said=False)]),
    "evt3": Kind(".raw", lambda: [made.evt3(made.rows(300))]),
    "dat": Kind(".dat", lambda: [made.dat(made.rows(200)), made.dat(made.rows(200), version=1)]),
    "es": Kind(".es", lambda: [made.es(made.rows(300))]),
    "nmnist": Kind(".bin", lambda: [made.nmnist(made.rows(300, (34, 34)))]),
    "npy": Kind(".npy", _arrays, edits.npy),
    "npz": Kind(".npz", _archives),
    "torch": Kind(".pt", _torch_files, needs="torch"),
    "mat": Kind(".mat", _matlab),
    "csv": Kind(".csv", _texts),
    "txt": Kind(".txt", lambda: _texts(by=" ")),
    "hdf5": Kind(".h5", _hdf5, edits.hdf5),
    "bag": Kind(".bag", lambda: _bag(".bag"), needs="the package rosbags"),
    "db3": Kind(".db3", lambda: _bag(".db3"), needs="the package rosbags"),
    "mcap": Kind(".mcap", lambda: _bag(".mcap"), needs="the package rosbags"),
    "net": Kind(".net", _nets, edits.net),
    "slayer": Kind(".net", _slayer, edits.hdf5),
    "graph": Kind(".net", _graphs, edits.hdf5),
    "nir": Kind(".nir", _nir, edits.hdf5, "the package nir"),
    "checkpoint": Kind(".pt", _checkpoints, needs="torch"),
    "png": Kind(".png", lambda: _pictures("PNG"), edits.png, "the package pillow"),
    "jpeg": Kind(".jpg", lambda: _pictures("JPEG"), needs="the package pillow"),
    "bmp": Kind(".bmp", lambda: _pictures("BMP"), needs="the package pillow"),
    "cifar": Kind(".bin", _cifar),
    "config": Kind(".json", _config, edits.json_text),
    "folder": Kind(".json", _folder_settings, edits.json_text),
    "board": Kind(".toml", lambda: _read_all("deploy/chip/chips/*.toml"), edits.toml),
    "prices": Kind(".toml", lambda: _read_all("sim/prices/*.toml"), edits.toml),
}
EDITED = {name: kind.edit for name, kind in KINDS.items() if kind.edit is not None}
