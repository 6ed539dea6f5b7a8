"""The Python API and the console script."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT, digits_net
from nets import random_net, random_stream

import events
import sim
import smolmamba as sm
from sim import engine
from sim.net.tokens import rows
from sim.netx import slayer_writer
from sim.sequential import DenseLayer, InputLayer, Neuron, Sequential


def python(code, folder=ROOT, *args):
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(*args, folder=ROOT, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "smolmamba", *args],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "model.net"
    sm.Net(digits_net()).save(path)
    return sm.load(path)


@pytest.fixture(scope="module")
def digits():
    return events.load("digits", "test")


def test_importing_it_imports_nothing_else():
    """Of ours or of others: what `import smolmamba` and `import sim` cost beyond Python's own start is nothing."""
    for name in ("smolmamba", "sim"):
        code = f"import sys; before = set(sys.modules); import {name}; print(sorted(set(sys.modules) - before))"
        assert python(code) == f"['{name}']\n"


def test_what_is_used_is_imported_and_no_more():
    code = (
        "import sys, smolmamba as sm; sm.load; sm.UserError; "
        "print({'torch', 'lava', 'matplotlib', 'deploy', 'train'} & set(sys.modules) or 0)"
    )
    assert python(code) == "0\n"


@pytest.mark.parametrize("module", [sm, sim])
def test_every_name_is_there(module):
    for name in module.__all__:
        if name != "lava":  # imports Lava
            assert getattr(module, name) is not None and name in dir(module)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


def test_run_is_the_engine(net, digits):
    clips = digits.events[:3]
    found, expected = net.run(clips, trace="all"), engine.run(net.core, net.encoder.encode_all(clips), "all")
    assert (found.scores == expected.logits).all() and (found.predictions == expected.predictions).all()
    assert found.spikes == expected.spikes and found.synops == expected.synops and found.sent == expected.sent
    assert found.traces.keys() == expected.traces.keys()
    assert all((found.traces[name] == expected.traces[name]).all() for name in found.traces)
    assert found.names == [digits.classes[p] for p in found.predictions] and len(repr(found)) < 200
    assert list(net.run(clips, trace="stem").traces) == ["stem"]


def test_all_kinds_of_input_are_the_same(net, digits, tmp_path):
    clip = digits.events[0].copy()
    clip["t"] -= clip["t"].min()  # as readers of files count
    np.save(tmp_path / "clip.npy", clip)
    stream = sm.encode(net, clip)
    scores = net.run([clip]).scores
    wide = clip.astype([(name, "f8") for name in clip.dtype.names])
    for what in (clip, wide, tmp_path / "clip.npy", str(tmp_path / "clip.npy"), stream):
        assert (net.run(what).scores == scores).all()
    assert (sm.rows(net, clip) == rows(net.core, stream)).all()
    assert (sm.rows(net.path, clip) == sm.rows(net.core, clip)).all()


def test_arrays_for_nets_that_send_every_token():
    core = next(core for core in map(random_net, range(50)) if core.places == core.tokens)
    tokens = np.random.default_rng(0).integers(0, 2, (3, core.steps, core.inputs[0].size), np.uint8)
    scores = sm.Net(core).run(tokens).scores
    assert (scores == engine.run(core, tokens).logits).all()
    assert (sm.Net(core).run(tokens[0]).scores == scores[:1]).all()


def test_simulate_is_run(net, digits):
    clips = digits.events[:2]
    expected, found = net.run(clips, "all"), sm.simulate(net, clips, trace="all", threads=True)
    assert (found.scores == expected.scores).all()
    assert all((found.traces[name] == expected.traces[name]).all() for name in expected.traces)
    assert found.spikes == expected.spikes and found.synops == expected.synops


def test_verify_and_plan(net, digits):
    proof = sm.verify(net, executors=("engine", "fused"), threads=True)
    assert proof and proof.compared > 0 and proof.executors[-2:] == ("engine", "fused")
    assert isinstance(proof, sm.Verification) and proof.to_json()["net"] == net.path and proof.first_difference is None
    unsaved = sm.verify(net.core, samples=1, executors=("engine", "fused"), threads=True)
    assert unsaved and unsaved.net == repr(net.core)
    assert sm.plan(net).fits and sm.plan(net).costs is None
    assert sm.plan(net, samples=digits.events[:2]).costs is not None


def test_short_and_notebook_forms(net):
    assert len(repr(net)) < 200 and "4 layers" in repr(net) and net.path in repr(net)
    assert len(repr(random_net(3))) < 200 and repr(net.core) in repr(net)
    html = net._repr_html_()
    assert html.count("<tr>") == 1 + len(net.core.inputs) + len(net.core.nodes) and "<table>" in html
    strange = sim.Net(
        (*net.core.nodes[:-1], sim.net.Readout("<b>", net.core.nodes[-1].synapses)), net.core.inputs, 16, 6
    )
    assert "<b>" not in strange._repr_html_() and "&lt;b&gt;" in strange._repr_html_()


@pytest.mark.parametrize(
    "mistake, message",
    [
        (lambda net: sm.load("none.net"), "none.net"),
        (lambda net: net.run(np.zeros((2, 3, 4), np.uint8)), "input has shape"),
        (lambda net: net.run(np.zeros(3, [("x", "i2"), ("y", "i2")])), "p, t missing"),
        (lambda net: net.run(5), "fields x, y, p and t"),
        (lambda net: net.run([], trace="nonsense"), "trace: no layer 'nonsense'; there are tokens"),
        (lambda net: sm.simulate(net, [], "nonsense"), "unknown executor|no sample"),
        (lambda net: sm.plan(net, "nonsense"), "nonsense"),
        (lambda net: sm.verify(net, executors=("nonsense",)), "unknown executor 'nonsense'"),
        (lambda net: sm.Net(random_net(1)).run([]), "no encoder"),
        (lambda net: sm.configuration("nonsense"), "nonsense"),
        (lambda net: sm.configuration(nonsense=1), "nonsense"),
    ],
)
def test_mistakes_are_one_line(net, mistake, message):
    with pytest.raises(sm.UserError, match=message) as found:
        mistake(net)
    assert "\n" not in str(found.value)


def test_console_script_has_all_groups():
    text = command("--help")
    assert all(re.search(rf"^  {name} ", text, re.M) for name in ("train", "convert", "deploy", "events", "bench"))
    assert re.fullmatch(r"smolmamba, version \d+\.\d+\.\d+\n", command("--version"))
    for group, inner in (("train", "ablate"), ("convert", "export"), ("deploy", "verify"), ("events", "check")):
        assert re.search(rf"^  {inner} ", command(group, "--help"), re.M)
    assert "--seeds" in command("train", "ablate", "--help")
    assert "No such command" in command("nonsense", code=2)


def test_one_version():
    """pyproject.toml says it; installed packages take it from there, and what is written by hand says the same."""
    said = re.search(r'^version = "(\d+\.\d+\.\d+)"$', Path(ROOT, "pyproject.toml").read_text(), re.M)[1]
    assert re.search(r"^version: (.+)$", Path(ROOT, "CITATION.cff").read_text(), re.M)[1] == said
    assert re.search(r"^## (.+)$", Path(ROOT, "CHANGELOG.md").read_text(), re.M)[1] == said
    assert command("--version") == f"smolmamba, version {sm.__version__}\n" and sm.__version__ == version(
        "smolmamba-loihi"
    )


def test_help_imports_no_command():
    code = "import sys, smolmamba.cli as c; sys.argv[1:] = ['--help']\ntry:\n    c.main()\nexcept SystemExit:\n    "
    code += "print({'torch', 'numpy', 'deploy', 'train', 'rich'} & set(sys.modules) or 0)"
    assert python(code).endswith("\n0\n")


def test_a_users_mistake_ends_with_two(net, tmp_path):
    text = command("deploy", "run", "none.net", folder=tmp_path, code=2)
    assert text.startswith("error: ") and text.count("\n") == 1
    assert "accuracy" in command("deploy", "run", net.path, "--backend", "fast", "--limit", "5", folder=tmp_path)


@pytest.mark.slow
def test_training_and_export(tmp_path, digits):
    config = sm.configuration("tiny", dataset="digits", float_epochs=1, exact_epochs=1)
    model = sm.train(config, tmp_path / "run", quiet=True, threads=1)
    assert model.path.is_file() and len(repr(model)) < 200
    net = sm.export(model, limit=20)
    assert net.path == str(tmp_path / "run/model.net") and net.report["parity"]["differences"] == 0
    assert len(net.run(digits.events[:2]).predictions) == 2


GRAPH = """
import sys
import numpy as np
from smolmamba.lava import Network
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

folder, offset = sys.argv[1], int(sys.argv[2])
rows = np.load(f"{folder}/rows.npy")                    # samples one after the other, [lines, steps]
network = Network(f"{folder}/model.net", reset_offset=offset)
assert network.in_layer.inp is network.inp and network.out_layer.out is network.out
assert len(network) == len(network.layers) and network.out_layer.neuron is not None
steps = offset + rows.shape[1] + network.latency + 1
rows = np.pad(rows, ((0, 0), (offset, steps - offset - rows.shape[1])))
source, sink = Source(data=rows.astype(np.int32)), Sink(shape=network.out.shape, buffer=steps)
source.s_out.connect(network.inp)
network.out.connect(sink.a_in)
network.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
np.save(f"{folder}/answers.npy", sink.data.get()[:, offset + network.latency :])
kinds = {type(p).__name__ for p in network.graph.processes}
assert kinds <= {"LIF", "LIFReset", "Dense", "Sparse", "DelayDense", "DelaySparse", "GradedVec"}, kinds
network.stop()
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed, offset", [(3, 0), (28, 2)])
def test_a_net_in_a_lava_graph_of_ones_own(tmp_path, seed, offset):
    """Between Lava's own source and sink, two samples without a gap; the second time after two idle steps."""
    core = random_net(seed)
    stream = random_stream(core, seed, 2, "random")
    expected = engine.run(core, stream, "all").traces[core.nodes[-1].name].reshape(2 * core.steps, -1)
    assert expected.any()
    sim.write(core, tmp_path / "model.net")
    np.save(tmp_path / "rows.npy", rows(core, stream).reshape(2 * core.steps, -1).T)
    python(GRAPH, ROOT, str(tmp_path), str(offset))
    assert (np.load(tmp_path / "answers.npy")[:, : 2 * core.steps].T == expected).all()


def test_a_chain_of_slayers_is_left_to_netx(tmp_path):
    code = """
import sys
from smolmamba.lava import Network
import smolmamba as sm
for wrong in (lambda: Network("none.net"), lambda: Network(sys.argv[1]), lambda: Network(sys.argv[1], -1)):
    try:
        wrong()
    except sm.UserError as e:
        print(e)
"""
    neuron = Neuron(np.full(2, 4096, np.int32), 0, 5, np.zeros(2, np.int32))
    layer = DenseLayer("out", np.full((2, 3), 2, np.int16), neuron)
    slayer_writer.write(Sequential((InputLayer("in", (3,)), layer)), tmp_path / "chain.net")
    text = python(code, ROOT, str(tmp_path / "chain.net"))
    assert text.count("\n") == 3 and "lava.lib.dl.netx.hdf5.Network runs it" in text
