"""Do all executors agree on a net that is a chain of layers, at every layer, step and neuron?"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from sim.base.errors import UserError
from sim.compare.traces import Comparison
from sim.lava import stock_netx
from sim.lava.chains import check, simulate_chain
from sim.lava.simulate import SimulationError
from sim.sequential import Sequential, by_definition, graph

from ..run.executors import ENGINE, STOCK, check_names
from .results import ChainVerification

STEPS, NETX = "steps", "netx"
EXECUTORS = (ENGINE, STEPS, STOCK, NETX)
LONGEST = 64  # steps of a made-up sample
USUAL_SAMPLES = 3


class Runner(Protocol):
    """Runs a chain of layers, of which `expected` is what the engine gave: (layer name -> [n, K, *shape], seconds).

    Raises:
        UserError: it cannot run the net. SimulationError: it ended before its time.
    """

    def __call__(
        self,
        path: str | Path,
        net: Sequential | graph.Graph,
        x: np.ndarray,
        expected: dict,
        threads: bool,
        timeout_s: float | None,
    ) -> tuple[dict, float]: ...


def verify_chain(
    path: str | Path,
    net: Sequential | graph.Graph,
    x: np.ndarray | None = None,
    samples: int | None = None,
    executors: Iterable[str] | None = None,
    threads: bool = False,
    timeout_s: float | None = None,
    progress: Callable[[str], object] | None = None,
    seed: int = 0,
) -> ChainVerification:
    """Compares the engine with the step function, with Lava's stock processes and with lava-dl's netx.

    Args:
        path: the file, which netx reads for itself.
        x: [n, K, *input shape]; None for made-up samples: an empty one, one of the largest values, random ones.
        samples: how many of them. executors: some of `EXECUTORS`; None for all that run here.
        threads, timeout_s: of `sim.lava.chains.simulate_chain`. progress: called with a line before each executor.

    Raises:
        UserError: an unknown executor; an executor that was asked for and cannot run the net.
    """
    asked = executors is not None
    chosen = EXECUTORS if executors is None else tuple(executors)
    check_names(chosen, EXECUTORS, "for this kind of net ")
    x, kinds = (x[:samples], ["given"] * len(x[:samples])) if x is not None else made_up(net, samples, seed)
    say, comparison, seconds, left_out = progress or (lambda text: None), Comparison(), {}, {}
    say(ENGINE)
    start = time.monotonic()
    expected = net.run(x)
    seconds[ENGINE] = time.monotonic() - start
    for executor in (e for e in chosen if e != ENGINE):
        say(executor)
        try:
            found, seconds[executor] = RUNS[executor](path, net, x, expected, threads, timeout_s)
        except (UserError, SimulationError) as e:
            if asked:
                raise
            left_out[executor] = " ".join(str(e).split())[-300:]
            continue
        for name, values in found.items():
            flat = (len(x), x.shape[1], -1)
            comparison.arrays(name, expected[name].reshape(flat), values.reshape(flat), (ENGINE, executor))
    compared = [ENGINE] + [e for e in chosen if e != ENGINE and e not in left_out]
    return ChainVerification(
        net=str(path),
        executors=tuple(compared),
        samples=len(x),
        inputs=tuple(kinds),
        steps=int(x.shape[1]),
        compared=comparison.compared,
        differences=comparison.differences,
        first_difference=comparison.first,
        seconds=seconds,
        left_out=left_out,
        notes=tuple(net.notes),
    )


def made_up(net: Sequential | graph.Graph, samples: int | None, seed: int) -> tuple:
    """([n, K, *input shape], kind of each): long enough that all layers answer."""
    late = sum(int(layer.axon_delay.max(initial=0)) for layer in net.layers if _axons(layer))
    steps = min(LONGEST, 2 * max(net.lags.values()) + late + 8)
    r, shape, (low, high) = np.random.default_rng(seed), (steps, *net.layers[0].shape), net.input_range
    n = samples or USUAL_SAMPLES
    large = min(high, 127)
    if net.input_kind == "spikes":
        random = [r.random(shape) < 0.2 for _ in range(n - 2)]
    else:
        random = [r.integers(max(low, -large), large + 1, shape) for _ in range(n - 2)]
    made = [np.zeros(shape), np.full(shape, high if net.input_kind == "spikes" else large), *random]
    return np.array(made[:n], np.int32), ["empty", "ones" if high == 1 else "large", *["random"] * len(random)][:n]


def _axons(layer):
    return getattr(layer, "axon_delay", None) is not None


def _steps(path, net, x, expected, threads, timeout_s):
    start = time.monotonic()
    found = graph.by_definition(net, x) if isinstance(net, graph.Graph) else by_definition(net, x)
    return found, time.monotonic() - start


def _stock(path, net, x, expected, threads, timeout_s):
    check(net)
    found = simulate_chain(net, x, threads, timeout_s)
    return found.traces, found.seconds


def _netx(path, net, x, expected, threads, timeout_s):
    if isinstance(net, graph.Graph):
        raise UserError("knows chains of layers, this one is a graph")
    if not stock_netx.installed():
        raise UserError("lava-dl is not installed")
    reason = stock_netx.refusal(net)
    if reason:
        raise UserError(f"netx reads the file otherwise: {reason}")
    first, parts, seconds = net.layers[0].name, [], 0.0
    for i in range(len(x)):
        found, spent, _ = stock_netx.run_netx(path, net, x[i], expected[first][i], timeout_s or stock_netx.LIMIT_S)
        parts.append(found)
        seconds += spent
    out = {name: np.stack([p[name] for p in parts]) for name in parts[0]}
    return out, seconds


RUNS: dict[str, Runner] = {STEPS: _steps, STOCK: _stock, NETX: _netx}
