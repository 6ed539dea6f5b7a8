"""Live inference with nets of others: what a stream gives is what the same events give as one array."""

import json
from pathlib import Path

import numpy as np
import pytest
from chains import even

from deploy.live.others import StepClassifier
from deploy.live.player import Player
from deploy.live.sources import FileSource
from events import EVENT
from events.frames import SpikeFrames
from sim.base.errors import UserError
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential
from sim.sequential.graph import Edge, Graph, Node

ROOT = Path(__file__).resolve().parents[2]


def neuron(v_th=40):
    return Neuron(np.array([600], np.int32), 300, v_th, np.zeros(1, np.int32))


def chain(r, channels, v_th=40):
    image = (channels, 6, 8)
    conv = ConvLayer("conv", even(r, (3, channels, 3, 3)), neuron(), (1, 1), (1, 1), (1, 1), 1, image)
    out = DenseLayer("out", even(r, (4, 144)), neuron(v_th))
    return Sequential((InputLayer("in", image), conv, FlattenLayer("flat", (144,)), out))


def recording(r, n=900, span=40_000):
    t = np.sort(r.integers(0, span, n))
    t[0] = 0
    columns = zip(r.integers(0, 8, n), r.integers(0, 6, n), r.integers(0, 2, n), t)
    return np.array([tuple(map(int, row)) for row in columns], EVENT)


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_are_the_steps_of_one_run(channels):
    r = np.random.default_rng(channels)
    net, found = chain(r, channels), recording(r)
    player = Player(StepClassifier(net, 500, 10, 0), FileSource("x", found, (8, 6)), speed=0)
    decisions = list(player)
    x = SpikeFrames([found], 6, 8, (channels, 6, 8), 500, 80)[:]
    counts = net.run(x)["out"][0].reshape(8, 10, 4).sum(1, dtype=np.int64)
    assert counts.any() and [d.scores for d in decisions] == counts.cumsum(0).tolist()
    assert [d.end_us for d in decisions] == [5000 * (k + 1) for k in range(8)]


def test_windows():
    """With --run-on the read-out is summed over a window and states go on; without, they begin anew after each."""
    r = np.random.default_rng(3)
    net, found = chain(r, 2), recording(r)
    x = SpikeFrames([found], 6, 8, (2, 6, 8), 500, 80)[:]
    counts = net.run(x)["out"][0].reshape(8, 10, 4).sum(1, dtype=np.int64)
    going = list(Player(StepClassifier(net, 500, 10, 2, False), FileSource("x", found, (8, 6)), speed=0))
    assert [d.scores for d in going] == [counts[max(0, k - 1) : k + 1].sum(0).tolist() for k in range(8)]
    anew = list(Player(StepClassifier(net, 500, 10, 2, True), FileSource("x", found, (8, 6)), speed=0))
    parts = [net.run(x[:, at : at + 20])["out"][0].sum(0, dtype=np.int64).tolist() for at in range(0, 80, 20)]
    assert [d.scores for d in anew[1::2]] == parts and parts != [d.scores for d in going[1::2]]


def test_graphs_and_membranes():
    """A graph with a loop; a last layer that never spikes is read by its membrane."""
    r = np.random.default_rng(4)
    own = neuron(1 << 17)
    edges = (Edge("in", DenseLayer("o", even(r, (4, 96)), own)), Edge("o", DenseLayer("o", even(r, (4, 4)), own)))
    net, found = Graph(InputLayer("in", (2, 6, 8)), (Node("o", edges),), "o"), recording(r)
    decisions = list(Player(StepClassifier(net, 500, 20), FileSource("x", found, (8, 6)), speed=0))
    from sim.sequential.graph import GraphStream

    x = SpikeFrames([found], 6, 8, (2, 6, 8), 500, 80)[:]
    v = GraphStream(net, 1).advance(x, ("o",))[1]["o"]["v"][0]
    assert [d.scores for d in decisions] == v[19::20].tolist() and v.any()


def test_other_inputs_are_refused():
    r = np.random.default_rng(5)
    flat = Sequential((InputLayer("in", (96,)), DenseLayer("o", even(r, (4, 96)), neuron())))
    with pytest.raises(UserError, match=r"takes spikes of shape \(96,\); a sensor gives"):
        StepClassifier(flat)


@pytest.mark.slow
def test_the_command(tmp_path):
    """From files; options of one kind of net are refused with the other."""
    from commands import deploy, refused

    from sim.netx import slayer_writer

    r = np.random.default_rng(6)
    net, found = chain(r, 2), recording(r)
    slayer_writer.write(net, tmp_path / "a.net")
    np.save(tmp_path / "x.npy", found)
    played = "stream", "x.npy", "--net", "a.net", "--speed", "0", "--steps", "20", "--step-us", "500"
    played += ("--time-unit-us", "1")
    said = json.loads(deploy(tmp_path, *played, "--json", "--record", "out.jsonl")[0])
    x = SpikeFrames([found], 6, 8, (2, 6, 8), 500, 80)[:]
    counts = net.run(x)["out"][0].sum(0, dtype=np.int64)
    last = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[-1])
    assert said["frames"] == 4 and last["scores"] == counts.tolist() and said["label"] == int(counts.argmax())
    ours = str(ROOT / "models/digits-tiny.net")
    assert "--steps goes with nets without an encoder" in refused(tmp_path, *played[:2], "--net", ours, "--steps", "3")
