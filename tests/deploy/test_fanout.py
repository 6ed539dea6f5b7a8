"""Evaluation on the workers of a Dask scheduler: a cluster of two on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nets import random_net, random_stream

from deploy import fanout
from deploy.run import batches, run
from deploy.samples import Samples, from_dataset
from sim import engine, netx
from sim.base.errors import UserError
from sim.net.tokens import join

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models/digits-tiny.net"
cluster_only = pytest.mark.skipif(
    fanout.missing(), reason="needs the extra [cluster]: pip install 'distributed>=2024.1'"
)


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0", silence_logs=50) as cluster:
        yield cluster


def same(a, b):
    """Everything but how long it took and where it ran; kept shares are means, whose parts are summed in the same
    order.
    """
    assert {k: v for k, v in a.items() if k not in ("seconds", "scheduler")} == {
        k: v for k, v in b.items() if k not in ("seconds", "scheduler")
    }


@cluster_only
def test_the_same_in_the_same_order(cluster, monkeypatch):
    monkeypatch.setattr(batches, "MAX_BATCH", 7)
    net = netx.read(DIGITS)
    samples, seen = from_dataset(net, "digits", "test", None, 61), []
    here = run(net, samples).to_json()
    there = run(net, samples, scheduler=cluster.scheduler_address, progress=seen.append).to_json()
    same(here, there)
    assert there["scheduler"] == cluster.scheduler_address and len(here["predictions"]) == 61
    assert len(seen) == 9 and seen[-1] == 61 and sorted(seen) == seen


def own_samples(net, n, encode, seed=3):
    """Samples that are streams already, one each; `encode` sees the worker first."""
    return Samples([random_stream(net, seed + i, 1, "random") for i in range(n)], encode, None, "made up")


@cluster_only
def test_a_lost_worker_costs_nothing(cluster, tmp_path):
    """The first worker that gets the fourth batch dies of it; Dask gives what it had to the other."""
    net, died = random_net(8), str(tmp_path / "died")
    marked = random_stream(net, 99, 1, "none")

    def encode(items):
        import os

        from sim.net.tokens import join

        if not items[0].tokens.any() and not os.path.exists(died):
            open(died, "w").close()
            os._exit(1)
        return join(items)

    samples = own_samples(net, 12, encode)
    samples.source[6] = marked
    parts = [(i, i + 2) for i in range(0, 12, 2)]
    results = fanout.run_parts(net, samples, parts, cluster.scheduler_address)
    assert os.path.exists(died)
    expected = engine.run(net, join(samples.source), trace="all")
    assert (np.concatenate([r.logits for r in results]) == expected.logits).all()
    assert engine.merge(results).spikes == expected.spikes


@cluster_only
def test_a_batch_that_fails_everywhere_is_one_line(cluster):
    def encode(items):
        raise ModuleNotFoundError("No module named 'sim.somewhere'")

    net = random_net(8)
    with pytest.raises(
        UserError,
        match=(
            "cannot run the batches: ModuleNotFoundError: No module named 'sim.somewhere'; they need this package in"
            " the same version"
        ),
    ):
        fanout.run_parts(net, own_samples(net, 2, encode), [(0, 2)], cluster.scheduler_address)


@cluster_only
def test_no_scheduler_there(monkeypatch):
    monkeypatch.setattr(fanout, "CONNECT_S", 1)
    net = random_net(8)
    with pytest.raises(UserError, match="no Dask scheduler answers at 'tcp://127.0.0.1:9' within 1 s") as error:
        fanout.run_parts(net, own_samples(net, 2, join), [(0, 2)], "tcp://127.0.0.1:9")
    assert "\n" not in str(error.value)


@cluster_only
def test_an_address_that_is_none(monkeypatch):
    monkeypatch.setattr(fanout, "CONNECT_S", 1)
    net = random_net(8)
    with pytest.raises(UserError, match="no Dask scheduler answers at 'no such thing'"):
        fanout.run_parts(net, own_samples(net, 2, join), [(0, 2)], "no such thing")


@cluster_only
def test_a_scheduler_without_workers():
    from distributed import LocalCluster

    net = random_net(8)
    with LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty:
        with pytest.raises(UserError, match="has no workers; start some with: dask worker tcp://"):
            fanout.run_parts(net, own_samples(net, 2, join), [(0, 2)], empty.scheduler_address)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    net = random_net(8)
    assert fanout.missing()
    with pytest.raises(
        UserError, match=r"--scheduler needs Dask, which is not installed: pip install 'distributed>=2024.1'"
    ):
        fanout.run_parts(net, own_samples(net, 2, join), [(0, 2)], "tcp://127.0.0.1:9")


@cluster_only
def test_command(cluster):
    command = [
        sys.executable,
        "-m",
        "deploy",
        "run",
        str(DIGITS),
        "--backend",
        "fast",
        "--limit",
        "20",
        "--scheduler",
        cluster.scheduler_address,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout and cluster.scheduler_address in done.stdout


def test_only_with_the_engine():
    command = [
        sys.executable,
        "-m",
        "deploy",
        "run",
        str(DIGITS),
        "--backend",
        "sim",
        "--scheduler",
        "tcp://127.0.0.1:9",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "--scheduler goes with --backend fast only" in done.stderr


def test_all_cores_by_default():
    """The engine's loop over samples takes as many threads as the process may use, whatever the BLAS is told."""
    code = (
        "import os, numba, numpy as np\nfrom sim import engine, netx\n"
        f"net = netx.read({str(DIGITS)!r})\n"
        f"engine.run(net, netx.read_golden({str(DIGITS)!r}).stream)\n"
        "print(numba.get_num_threads(), len(os.sched_getaffinity(0)))"
    )
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_NUM_THREADS"}
    threads, cores = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    ).stdout.split()
    assert threads == cores
