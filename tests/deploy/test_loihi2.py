"""The way to the chip, against a stand-in for Intel's closed extension (tests/standin, a test double).

No test here has met a chip.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import loaded_by
from nets import random_net, random_stream

from deploy.loihi2 import access as loihi2
from deploy.loihi2 import run as loihi2_run
from deploy.loihi2.access import Access
from sim import engine, netx
from sim.base.errors import UserError
from sim.lava.simulate import SimulationError
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from sim.net.schedule import latencies

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent
STANDIN = HERE / "standin"
SLURM = Access("slurm")
VARIABLES = (
    "LOIHI_GEN",
    "NXSDKHOST",
    "SLURM",
    "NOSLURM",
    "PARTITION",
    "BOARD",
    "STANDIN_THERE",
    "STANDIN_BACK",
    "STANDIN_LOSE",
)
NODES = "ncl-og-01 oheogulch idle\nncl-og-02 oheogulch down*\nncl-kp-01 kp allocated\nncl-old-01 old drained\n"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """An environment that says nothing of chips, with an empty folder in front of PATH."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return monkeypatch


@pytest.fixture
def standin(bare):
    """The same with the stand-in extension, here and in processes started from here."""
    bare.syspath_prepend(str(STANDIN))
    bare.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(STANDIN)]))
    bare.setattr(loihi2, "SINFO_S", 60)  # on a loaded machine even `cat` takes its time
    return bare


def sinfo(tmp_path, text):
    """Puts a `sinfo` that prints `text` on PATH."""
    path = tmp_path / "bin/sinfo"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def nodes(tmp_path, text=NODES):
    (tmp_path / "nodes").write_text(text)
    sinfo(tmp_path, f"cat {tmp_path / 'nodes'}")


def small_net():
    """Eight tokens, three frames; a bank whose neurons have two decays and read the phase, and a bias, so that resets
    and delays matter.
    """
    r = np.random.default_rng(5)
    stem = Cuba(
        "stem",
        (Dense(TOKENS, (r.integers(-60, 100, (5, 4)) * 2).astype(np.int16)),),
        np.full(5, 300, np.int32),
        np.arange(5, dtype=np.int32) * 9,
        100,
        150,
    )
    bank = Cuba(
        "bank",
        (
            Dense("stem", (r.integers(-60, 100, (6, 5)) * 2).astype(np.int16)),
            Dense(PHASE, (r.integers(-60, 60, (6, 8)) * 2).astype(np.int16)),
        ),
        np.array([2, 2, 2, 500, 500, 500], np.int32),
        np.zeros(6, np.int32),
        4095,
        200,
    )
    out = Readout("out", (Dense("bank", (r.integers(-128, 128, (3, 6)) * 2).astype(np.int16)),))
    return Net((stem, bank, out), (Input(TOKENS, 4), Input(PHASE, 8, of=PHASE)), 8, 3)


def test_the_standin_says_that_it_is_one():
    for path in STANDIN.rglob("*.py"):
        assert "test double" in path.read_text().lower().splitlines()[0], path


# What is missing, in one line.


@pytest.mark.parametrize(
    "command",
    [["run", "--backend", "loihi2"], ["verify", "--backend", "loihi2"], ["verify", "--executors", "engine,loihi2"]],
)
@pytest.mark.parametrize(
    "extension, says", [(False, "Intel's Loihi extension of Lava, which is not public"), (True, "but no board")]
)
def test_refused_before_anything_slow_is_imported(bare, tmp_path, command, extension, says):
    netx.write(small_net(), tmp_path / "small.net")
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(STANDIN)] if extension else [str(ROOT)]))
    done, heavy = loaded_by(tmp_path, command[0], "small.net", *command[1:], env=env)
    assert not heavy
    assert (
        done.returncode == 2
        and done.stdout == ""
        and done.stderr.startswith("error: ")
        and done.stderr.count("\n") == 1
    )
    assert says in done.stderr and "inrc_interest@intel.com" in done.stderr


def test_without_lava_at_all(bare):
    bare.setattr(loihi2, "EXTENSION", "no_such_package.utils.loihi2_profiler")
    assert not loihi2.installed()


def test_slurm_that_hangs_is_no_slurm(standin, tmp_path):
    standin.setattr(loihi2, "SINFO_S", 1)
    sinfo(tmp_path, "exec sleep 1000")  # killed: this would outlast any patience
    with pytest.raises(UserError, match="SLURM does not answer"):
        loihi2.find()


def test_slurm_that_fails_is_no_slurm(standin, tmp_path):
    sinfo(tmp_path, "exit 1")
    with pytest.raises(UserError, match="SLURM does not answer"):
        loihi2.find()


@pytest.mark.parametrize(
    "asked, environment, message",
    [
        (dict(partition="bogus"), {}, "no partition 'bogus', there are: kp, oheogulch, old$"),
        (dict(board="bogus"), {}, "no board 'bogus', there are: ncl-kp-01, ncl-og-01, ncl-og-02, ncl-old-01$"),
        (
            dict(partition="old"),
            {},
            r"partition 'old' is down \(SLURM says drained\); boards that are up: ncl-kp-01, ncl-og-01$",
        ),
        (dict(board="ncl-og-02"), {}, r"board 'ncl-og-02' is down"),
        (dict(partition="kp", board="ncl-og-01"), {}, "'ncl-og-01' is not in the partition 'kp' but in oheogulch"),
        ({}, dict(PARTITION="bogus"), "no partition 'bogus'"),
        ({}, dict(LOIHI_GEN="N9"), "LOIHI_GEN is 'N9', there are: N2A2, "),
        ({}, dict(NOSLURM="1"), "SLURM does not answer"),
        (dict(host="10.0.0.1", partition="kp"), {}, "name one of the two"),
    ],
)
def test_boards_that_cannot_be_had(standin, tmp_path, asked, environment, message):
    nodes(tmp_path)
    for name, value in environment.items():
        standin.setenv(name, value)
    with pytest.raises(UserError, match=message):
        loihi2.find(**asked)


def test_all_boards_down(standin, tmp_path):
    nodes(tmp_path, "a kp down\nb kp drained\n")
    with pytest.raises(UserError, match=r"all boards that SLURM knows are down \(2 of 2\)"):
        loihi2.find()


@pytest.mark.parametrize(
    "asked, environment, expected",
    [
        ({}, {}, SLURM),
        (dict(partition="oheogulch"), {}, Access("slurm", "oheogulch")),
        (
            dict(partition="oheogulch", board="ncl-og-01"),
            dict(LOIHI_GEN="N3C1"),
            Access("slurm", "oheogulch", "ncl-og-01", None, "N3C1"),
        ),
        ({}, dict(BOARD="ncl-kp-01"), Access("slurm", None, "ncl-kp-01")),
        ({}, dict(NXSDKHOST="10.0.0.1"), Access("ethernet", host="10.0.0.1")),
        ({}, dict(NXSDKHOST="10.0.0.1", SLURM="1"), SLURM),
        (dict(partition="kp"), dict(NXSDKHOST="10.0.0.1"), Access("slurm", "kp")),
        (dict(host="10.0.0.2"), dict(NXSDKHOST="10.0.0.1"), Access("ethernet", host="10.0.0.2")),
    ],
)
def test_the_way_to_a_board(standin, tmp_path, asked, environment, expected):
    nodes(tmp_path)
    for name, value in environment.items():
        standin.setenv(name, value)
    assert loihi2.find(**asked) == expected


def test_what_the_extension_reads():
    assert loihi2.environment(Access("slurm", "kp", "n1", None, "N3C1")) == dict(
        SLURM="1", NOSLURM=None, NXSDKHOST=None, PARTITION="kp", BOARD="n1", LOIHI_GEN="N3C1"
    )
    by_net = loihi2.environment(Access("ethernet", host="10.0.0.1"))
    assert (
        by_net["NXSDKHOST"] == "10.0.0.1"
        and by_net["NOSLURM"] == "1"
        and by_net["SLURM"] is None
        and by_net["LOIHI_GEN"] == "N3B3"
    )


# The run itself.


def test_slots_are_powers_of_two_that_hold_the_latency():
    for seed in range(200):
        net = random_net(seed)
        try:
            slot = loihi2_run.slot_of(net)
        except UserError:
            assert net.places not in (1, 2, 4, 8) and any(getattr(n, "frame_reset", False) for n in net.nodes)
            continue
        need = net.steps + max(latencies(net).values())
        assert slot & (slot - 1) == 0 and slot // 2 < need <= slot
        assert slot % net.places == 0 or not any(getattr(n, "frame_reset", False) for n in net.nodes)


def test_messages_have_24_bits():
    values = np.array([0, 1, -1, 5000, -5000, (1 << 23) - 1, -(1 << 23)])
    assert (loihi2_run.signed(values & 0xFFFFFF) == values).all() and (loihi2_run.signed(values) == values).all()


@pytest.mark.parametrize("there, back", [(0, 0), (3, 1)])
def test_delays_are_measured(standin, there, back):
    standin.setenv("STANDIN_THERE", str(there))
    standin.setenv("STANDIN_BACK", str(back))
    assert loihi2_run.measure(SLURM) == loihi2_run.Delays(there, back)


@pytest.mark.parametrize(
    "clock, echo",
    [
        ([], [21, 42, 63]),  # nothing comes back from the clock
        (list(range(20, 160, 21)), [21, 42]),  # a spike of the host is lost
        (list(range(20, 160, 21)), [21, 43, 63]),  # the way takes longer now and then
        (list(range(22, 160, 21)), [21, 42, 63]),  # an answer before the question
    ],
)
def test_a_chip_that_answers_otherwise_is_refused(monkeypatch, clock, echo):
    out = np.zeros((160, 2), int)
    out[clock, 0], out[echo, 1] = 1, 1
    monkeypatch.setattr(loihi2_run, "run_worker", lambda *args: (out, {}))
    with pytest.raises(SimulationError, match="does not answer as expected"):
        loihi2_run.measure(SLURM)


def check(net, stream):
    expected = engine.run(net, stream, trace="all")
    found, facts = loihi2_run.run_chip(net, stream, SLURM, "all")
    for node in net.nodes:
        assert (expected.traces[node.name] == found.traces[node.name]).all(), node.name
    assert (expected.logits == found.logits).all() and expected.logits.any()
    return facts


def test_late_spikes_and_padded_samples_change_nothing(standin):
    """What arrives late finds neurons that are reset late, and samples lie in slots of 32 for their 24 steps."""
    standin.setenv("STANDIN_THERE", "2")
    standin.setenv("STANDIN_BACK", "1")
    net = small_net()
    assert check(net, random_stream(net, 1, 3, "random")) == dict(slot=32, delays=dict(there=2, back=1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 7, 15, 38])
def test_random_nets(standin, seed):
    standin.setenv("STANDIN_THERE", str(seed % 4))
    standin.setenv("STANDIN_BACK", "2")
    net = random_net(seed)
    check(net, random_stream(net, seed, 3, "random"))


def test_frame_resets_that_are_no_power_of_two_are_refused():
    net = next(
        n
        for n in map(random_net, range(100))
        if n.places == 5 and any(getattr(x, "frame_reset", False) for x in n.nodes)
    )
    with pytest.raises(UserError, match="resets at every frame of 5 steps"):
        loihi2_run.run_chip(net, random_stream(net, 0), SLURM)


# The commands.


@pytest.fixture
def folder(standin, tmp_path):
    net = small_net()
    netx.write(net, tmp_path / "small.net", golden=random_stream(net, 1, 2, "random"))
    nodes(tmp_path)
    standin.chdir(tmp_path)
    return tmp_path


def deploy(*args, code=0):
    done = subprocess.run([sys.executable, "-m", "deploy", *args], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_run_has_the_form_of_sim(folder):
    sim, chip = (
        json.loads(deploy("run", "small.net", "--golden", "--json", "--backend", *backend).stdout)
        for backend in (["sim"], ["loihi2", "--probes", "--profile", "--partition", "kp"])
    )
    for key in ("predictions", "spikes", "synops", "layers", "kept", "n", "steps_per_sample", "latency_steps"):
        assert chip[key] == sim[key], key
    assert chip["counts_from"] == "chip" and chip["samples_unlike_engine"] == 0 and chip["access"]["partition"] == "kp"
    assert (
        chip["execution_seconds"] == pytest.approx(2e-6 * (32 + 24 + 3))
        and chip["energy_joules"] == 3e-3
        and chip["power_watts"] == 0.5
    )


def test_run_for_people_without_probes(folder, standin):
    standin.setenv("STANDIN_NO_ENERGY", "1")
    out = deploy("run", "small.net", "--golden", "--backend", "loihi2", "--profile").stdout
    text = " ".join(out.split())
    assert "read-out unlike the engine's in 0 of 2 samples; spikes and operations counted by the engine" in text
    assert "energy: not measured by the extension here" in text


def test_verify_shows_the_first_difference(folder, standin):
    """One spike of `stem` (latency 1) is lost on its way back at the second sample's step 6, host row 32 + 6 + 1; its
    history tells that it should have been there.
    """
    net = small_net()
    spikes = engine.run(net, random_stream(net, 1, 2, "random"), trace="all").traces["stem"][1]
    step, neuron = next((k, j) for k in range(6, 24) for j in range(5) if spikes[k, j])
    standin.setenv("STANDIN_LOSE", f"5:{32 + step + 1}:{neuron}")
    result = json.loads(deploy("verify", "small.net", "--backend", "loihi2", "--json", code=1).stdout)
    first = result["first_difference"]
    assert result["differences"] == 1 and {k: first[k] for k in ("layer", "sample", "step", "neuron")} == dict(
        layer="stem", sample=1, step=step, neuron=neuron
    )
    assert first["values"] == dict(engine=1, loihi2=0)
    last = first["history"]["loihi2"][-1]
    assert last["step"] == step and last["spike"] == 0 and last["rule"] == 1
    text = deploy("verify", "small.net", "--backend", "loihi2", code=1).stdout
    assert f"layer stem, sample 1, step {step}, neuron {neuron}" in text and "rule" in text


@pytest.mark.parametrize(
    "missing, says",
    [
        ("proc/embedded_io/spike.py", "not the part that brings spikes to the chip"),
        ("utils/loihi2_profiler_api.py", "has no profiler"),
    ],
)
def test_an_extension_with_parts_missing(folder, standin, missing, says):
    copy = folder / "extension"
    for path in STANDIN.rglob("*.py"):
        to = copy / path.relative_to(STANDIN)
        if str(path.relative_to(STANDIN / "lava")) != missing:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(path.read_text())
    standin.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(copy)]))
    error = deploy("run", "small.net", "--golden", "--backend", "loihi2", "--profile", code=2).stderr
    assert says in error and error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    "args, message",
    [
        (("run", "small.net", "--partition", "kp"), "--partition goes with --backend loihi2 only"),
        (("run", "small.net", "--profile", "--backend", "fast"), "--profile goes with --backend loihi2 only"),
        (("verify", "small.net", "--board", "x"), "--board goes with the executor loihi2 only"),
        (("verify", "small.net", "--backend", "loihi2", "--executors", "engine"), "name one of the two"),
    ],
)
def test_options_without_their_backend(folder, args, message):
    assert message in deploy(*args, code=2).stderr
