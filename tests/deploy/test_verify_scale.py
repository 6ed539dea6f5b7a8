"""Comparing executors on whole data sets and on random nets, and the history of a difference."""

import json
import subprocess
import sys
from pathlib import Path

import chains
import numpy as np
import pytest
from nets import edge_net, random_net, random_stream

from deploy.verify import many as scale
from deploy.verify import verify
from deploy.verify.chain import verify_chain
from sim import chiptime, engine, netx
from sim.compare.history import STEPS, history, lines, sample_traces
from sim.compare.traces import Comparison
from sim.net import Cuba, Readout

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models/digits-tiny.net"


def python(*args, code=0):
    done = subprocess.run([sys.executable, "-m", *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def values(net, samples):
    return samples * net.steps * sum(n.size for n in net.nodes)


# History.


@pytest.mark.parametrize("seed", range(40))
def test_the_rule_is_what_the_engine_does(seed):
    """Every kind of node, every neuron, the whole sample: what the history says by the definition is what the engine
    gives.
    """
    net = random_net(seed)
    tokens = random_stream(net, seed, 1)
    traces = sample_traces(net, tokens, engine.run(net, tokens, trace="all").traces, 0)
    for node in net.nodes:
        for neuron in range(node.size):
            rows = history(net, node.name, neuron, net.steps - 1, dict(engine=traces), net.steps)["engine"]
            assert [r["rule"] for r in rows] == [r["spike"] for r in rows] == traces[node.name][:, neuron].tolist()
            assert [r["step"] for r in rows] == list(range(net.steps))


def test_all_kinds_of_nodes_are_among_them():
    assert {type(n) for seed in range(40) for n in random_net(seed).nodes} == {Cuba, Readout}


def test_states_at_the_edge():
    """Currents that wrap and voltages that saturate, by hand: u after one step of all ones is 64 times the sum of
    weights, wrapped.
    """
    net = edge_net()
    tokens = np.ones((1, net.steps, net.inputs[0].size), np.uint8)
    traces = sample_traces(net, tokens, engine.run(net, tokens, trace="all").traces, 0)
    first = history(net, "wraps", 0, 0, dict(engine=traces))["engine"][0]
    assert first["input"] == 254_000 and first["u"] == 254_000 * 64 - (1 << 24)
    rows = history(net, "clips", 0, 39, dict(engine=traces))["engine"]
    assert len(rows) == STEPS and max(r["v"] for r in rows) == (1 << 23) - 1


def test_a_layer_that_one_side_does_not_have():
    """A side that lacks the sources shows its spikes, one that lacks the layer shows what its sources ask for."""
    net = next(
        n
        for n in map(random_net, range(100))
        if len(n.nodes) > 2 and isinstance(n.nodes[1], Cuba) and n.nodes[1].sources[0] == n.nodes[0].name
    )
    tokens = random_stream(net, 0, 1, "random")
    traces = sample_traces(net, tokens, engine.run(net, tokens, trace="all").traces, 0)
    name, source = net.nodes[1].name, net.nodes[0].name
    found = history(
        net,
        name,
        0,
        0,
        dict(a={k: v for k, v in traces.items() if k != source}, b={k: v for k, v in traces.items() if k != name}),
    )
    assert set(found["a"][0]) == {"step", "spike"} and found["b"][0]["spike"] is None and "rule" in found["b"][0]
    text = lines(found)
    assert text[0] == "  a:" and any(line.split()[-1] == "-" for line in text)


def test_comparison_places_and_explains_the_first_difference():
    """A source's flipped spike changes no other trace here, so the first difference is the flipped one, and its side
    breaks the rule.
    """
    net = next(n for n in map(random_net, range(100)) if n.steps > 17 and len(n.nodes) > 2)
    tokens = random_stream(net, 13, 3, "random")
    good = engine.run(net, tokens, trace="all").traces
    bad = {k: v.copy() for k, v in good.items()}
    layer = net.nodes[-2].name
    bad[layer][2, 17, 0] ^= 1
    comparison = Comparison()
    comparison.traces(net, tokens, good, good, ("engine", "other"))
    comparison.traces(net, tokens, good, bad, ("engine", "other"), first_sample=100, seed=13)
    assert comparison.compared == 2 * values(net, 3) and comparison.differences == 1
    first = comparison.first.to_json()
    assert {k: first[k] for k in ("seed", "layer", "sample", "step", "neuron")} == dict(
        seed=13, layer=layer, sample=102, step=17, neuron=0
    )
    engines, others = first["history"]["engine"], first["history"]["other"]
    assert [r["step"] for r in others] == list(range(10, 18))
    assert (
        engines[-1]["spike"] == engines[-1]["rule"]
        and others[-1]["spike"] != others[-1]["rule"]
        and engines[:-1] == others[:-1]
    )
    assert list(first) == ["seed", "layer", "sample", "step", "neuron", "values", "history"]
    assert json.loads(json.dumps(first)) == first
    assert str(comparison.first).startswith(
        f"random net of seed 13, layer {layer}, sample 102, step 17, neuron 0: engine"
    )


# At scale.


def test_step_function_is_compared_on_all_samples():
    net = netx.read(DIGITS)
    seen = []
    result = scale.verify_dataset(DIGITS, limit=19, lava_samples=0, progress=lambda *a: seen.append(a))
    assert result and result.compared == result.neuron_steps[scale.STEP] == values(net, 19)
    assert (result.samples, result.executors, result.dataset) == (19, ("engine", scale.STEP), "digits")
    assert seen == [(scale.STEP, 16, 19), (scale.STEP, 19, 19)]


def test_a_wrong_spike_in_the_second_batch_is_found(monkeypatch):
    def tampered(net, tokens, real=chiptime.run):
        traces = real(net, tokens)
        if len(tokens) == 3:
            traces["f0.out"][1, 50, 7] ^= 1
        return traces

    monkeypatch.setattr(chiptime, "run", tampered)
    result = scale.verify_dataset(DIGITS, limit=19, lava_samples=0)
    first = result.first_difference
    assert result.differences == 1 and not result
    assert (first.layer, first.sample, first.step, first.neuron, first.seed) == ("f0.out", 17, 50, 7, None)
    assert first.history[scale.STEP][-1]["rule"] == first.values["engine"]


def test_dataset_command():
    """In Lava's runtime, the fused net, two samples."""
    result = json.loads(
        python(
            "deploy", "verify", str(DIGITS), "--dataset", "digits", "--limit", "3", "--lava-samples", "2", "--json"
        ).stdout
    )
    net = netx.read(DIGITS)
    assert result["executors"] == ["engine", scale.STEP, "fused"] and result["differences"] == 0
    assert result["neuron_steps"] == {scale.STEP: values(net, 3), "fused": values(net, 2)} and result[
        "compared"
    ] == values(net, 5)


def test_random_command():
    result = json.loads(python("deploy", "verify", "--random", "4", "--seed", "300", "--json").stdout)
    assert result["compared"] == 2 * sum(values(random_net(s), 3) for s in range(300, 304))
    assert (
        result["executors"] == ["engine", scale.STEP, "stock"] and result["differences"] == 0 and result["seed"] == 300
    )


def test_a_wrong_random_net_is_named(monkeypatch):
    def tampered(net, tokens, real=chiptime.run):
        traces = real(net, tokens)
        if net.nodes[0].size == random_net(7).nodes[0].size and net.steps == random_net(7).steps:
            traces[net.nodes[0].name][0, 0, 0] ^= 1
        return traces

    monkeypatch.setattr(chiptime, "run", tampered)
    monkeypatch.setattr(scale, "PACKED", 3)
    result = scale.verify_random(9, 0, ("engine",))
    first = result.first_difference
    assert result.differences >= 1 and 0 <= first.seed <= 7
    assert random_net(first.seed).nodes[0].name == first.layer


@pytest.mark.parametrize(
    "args, message",
    [
        (("--random", "3", "--samples", "2"), "exclude each other"),
        (("--random", "3", str(DIGITS)), "leave NET and loihi2 out"),
        (("--limit", "3"), "--limit goes with --dataset only"),
        (("--seed", "3"), "--seed goes with --random only"),
        (("--random", "3", "--executors", "engine,bogus"), "unknown executor 'bogus'"),
        ((str(DIGITS), "--dataset", "bogus"), "no data set 'bogus'"),
    ],
)
def test_mistakes(args, message):
    error = python("deploy", "verify", *args, code=2).stderr
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


def test_what_is_printed(tmp_path):
    """One level, for each kind of comparison its entries in their order."""
    net = random_net(1)
    netx.write(net, tmp_path / "a.net", golden=random_stream(net, 1, 2))
    common = "compared differences first_difference seconds"
    printed = {
        f"net executors samples inputs {common}": verify(tmp_path / "a.net", executors=("engine",)),
        f"net dataset split executors samples lava_samples inputs {common} neuron_steps": scale.verify_dataset(
            DIGITS, limit=1, lava_samples=0
        ),
        f"net dataset split executors samples inputs seed {common} neuron_steps": scale.verify_random(
            1, 0, ("engine",)
        ),
        f"net executors samples inputs steps {common} left_out notes": verify_chain(
            tmp_path, chains.random_net(3)[0], None, 1, ("engine", "steps")
        ),
    }
    for names, result in printed.items():
        found = result.to_json()
        assert list(found) == names.split() and json.loads(json.dumps(found)) == found


# SLAYER against the engine.


def test_compare_command():
    result = json.loads(
        python("convert", "compare", "models/digits-tiny.pt", "--split", "val", "--limit", "40", "--json").stdout
    )
    net = netx.read(DIGITS)
    spiking = sum(n.size for n in net.nodes[:-1])
    assert result["compared"] == 40 * (net.steps * spiking + len(net.classes)) and result["differences"] == 0
    assert result["layers"] == [n.name for n in net.nodes]


def test_compare_finds_a_wrong_neuron_with_its_history(monkeypatch):
    """An engine whose spikes are inverted in one neuron from step 30 on: the history shows that the engine breaks
    the rule, and SLAYER does not.
    """
    from convert import compare

    real = engine.run

    def wrong(net, tokens, trace=()):
        result = real(net, tokens, trace)
        if "f0.out" in result.traces:
            result.traces["f0.out"][:, 30:, 2] = 1 - result.traces["f0.out"][:, 30:, 2]
        return result

    monkeypatch.setattr(engine, "run", wrong)
    net = netx.read(DIGITS)
    result = compare.compare_all(ROOT / "models/digits-tiny.pt", limit=34)
    first = result["first_difference"]
    assert result["differences"] == 34 * (net.steps - 30)
    assert {k: first[k] for k in ("layer", "sample", "step", "neuron")} == dict(
        layer="f0.out", sample=0, step=30, neuron=2
    )
    last = {k: rows[-1] for k, rows in first["history"].items()}
    assert (
        last["slayer"]["spike"] == last["slayer"]["rule"] != last["engine"]["spike"]
        and last["slayer"]["rule"] == last["engine"]["rule"]
    )


def test_compare_wants_a_checkpoint():
    assert "no such file" in python("convert", "compare", "none.pt", code=2).stderr
