"""Runs chains (`sim.sequential`) and graphs of layers (`sim.sequential.graph`) on arrays: what `deploy run NET --input`
does for them.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from events.frames import SpikeFrames
from sim.base.errors import UserError
from sim.base.plain import Json, plain
from sim.sequential import AverageLayer, Counter, Sequential, Stream
from sim.sequential.graph import Graph, GraphCounter, GraphStream, states_of
from sim.sequential.running import start

from .results import Score, score

CHUNK_BYTES = 1 << 26  # of what all layers send in a chunk of steps
MAX_BATCH = 64
READOUTS = ("count", "sum", "last")


@dataclass(frozen=True)
class Window:
    """Steps `first` to `end` (not included) of a sample, in which the read-out looks."""

    first: int
    end: int

    @staticmethod
    def parse(text: str | None, steps: int) -> "Window":
        """None: all steps; `N`: the last N; `A:B`: from step A up to B.

        Raises:
            UserError: something else, or beyond the sample.
        """
        if text is None:
            return Window(0, steps)
        try:
            numbers = [int(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        first, end = (steps - numbers[0], steps) if len(numbers) == 1 else (*numbers, 0, 0)[:2]
        if len(numbers) not in (1, 2) or not 0 <= first < end <= steps:
            raise UserError(f"--window {text}: expected N or A:B within the {steps} steps of a sample")
        return Window(first, end)


@dataclass(frozen=True, eq=False)
class Found:
    """What a run gave.

    Attributes:
        output: [n, steps, *shape]: what the last layer sends: spikes, values, or the membrane of neurons that are there
            for it.
        outputs: int64 [n, neurons], the read-out.
        probes: name -> [n, steps, *shape]: what each probed layer sent, and as `name.u` and the like its states.
        counter: messages and operations. largest: see `sim.sequential.Stream`.
        seconds: of the executor.
    """

    output: np.ndarray
    outputs: np.ndarray
    probes: dict
    counter: Counter | GraphCounter
    largest: dict
    seconds: float


def value_kind(net: Sequential | Graph) -> str:
    """What the last layer gives: `spikes`, `messages` (their values count) or `membranes`."""
    neuron = getattr(net.layers[-1], "neuron", None)
    if isinstance(net.layers[-1], AverageLayer) or (net.graded if neuron is None else neuron.graded):
        return "messages"
    return "membranes" if neuron is not None and neuron.is_readout else "spikes"


def usual_readout(net: Sequential | Graph) -> str:
    """Spikes are counted, values summed; a membrane has summed already: its last value."""
    return dict(spikes="count", messages="sum", membranes="last")[value_kind(net)]


def probed(net: Sequential | Graph, names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises:
        UserError: no such layer.
    """
    known = [layer.name for layer in net.layers]
    for name in names:
        if name not in known:
            raise UserError(f"--probe {name}: no such layer, the net has {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def run_engine(
    net: Sequential | Graph,
    x: np.ndarray | SpikeFrames,
    window: Window,
    readout: str,
    probes: Sequence[str] = (),
    progress: Callable[[float], object] | None = None,
) -> Found:
    """Runs all samples in the integer engine, some samples and some steps at a time; memory does not grow with what the
    inner layers send.

    Args:
        x: [n, steps, *input shape], mapped or not.
        probes: names of layers. progress: called with the number of samples done.

    Raises:
        UserError: values that the net does not take.
    """
    n, steps = x.shape[:2]
    widths = [int(np.prod(layer.shape)) for layer in net.layers]
    batch = max(1, min(MAX_BATCH, n, CHUNK_BYTES // (4 * sum(widths))))
    chunk = max(1, min(steps, CHUNK_BYTES // (4 * sum(widths) * batch)))
    last, membranes = net.layers[-1], value_kind(net) == "membranes"
    wanted = {*probes, last.name} if membranes else set(probes)
    graph = isinstance(net, Graph)
    counter, largest, seconds = (GraphCounter if graph else Counter)(net), {}, 0.0
    output, kept = np.zeros((n, steps, *last.shape), np.int32), {}
    for begin in range(0, n, batch):
        rows = slice(begin, min(begin + batch, n))
        began = time.monotonic()
        stream = (GraphStream if graph else Stream)(net, rows.stop - rows.start)
        seconds += time.monotonic() - began
        for at in range(0, steps, chunk):
            here = rows, slice(at, min(at + chunk, steps))
            given = net.checked(x[here])
            began = time.monotonic()
            out, states = stream.advance(given, wanted)
            seconds += time.monotonic() - began
            counter.add(out)
            output[here] = states[last.name]["v"] if membranes else out[last.name]
            for name in probes:
                _keep(kept, name, out[name], states[name], (n, steps), here)
        for name, sizes in stream.largest.items():
            largest[name] = tuple(max(a, b) for a, b in zip(sizes, largest.get(name, (0, 0))))
        if progress:
            progress(rows.stop)
    return Found(output, read_out(output, window, readout), kept, counter, largest, seconds)


def run_lava(
    net: Sequential | Graph,
    x: np.ndarray,
    window: Window,
    readout: str,
    probes: Sequence[str],
    threads: bool,
    timeout_s: float | None,
    progress: Callable[[float], object] | None = None,
) -> Found:
    """The same in Lava's simulator, with stock processes. States stay inside: a probe gives what a layer sends, and the
    membranes of a last layer that never spikes are computed from what reaches it.

    Raises:
        UserError: as `run_engine`; Lava has no process for a layer. SimulationError: see `sim.lava.simulate`.
    """
    from sim.lava.chains import simulate_chain

    n, found = len(x), simulate_chain(net, x, threads, timeout_s, progress)
    last, counter = net.layers[-1], (GraphCounter if isinstance(net, Graph) else Counter)(net)
    counter.add(found.traces)
    output = found.traces[last.name]
    if value_kind(net) == "membranes":
        if isinstance(net, Graph):
            output = states_of(net, net.output, found.traces)["v"]
        else:
            output = start(last, n)(found.traces[net.layers[-2].name], True).states["v"]
    kept = {name: found.traces[name] for name in probes}
    return Found(output, read_out(output, window, readout), kept, counter, {}, found.seconds)


def _keep(kept, name, out, states, size, here):
    for key, value in {name: out, **{f"{name}.{state}": found for state, found in states.items()}}.items():
        if key not in kept:
            kept[key] = np.zeros((*size, *value.shape[2:]), value.dtype)
        kept[key][here] = value


def read_out(output: np.ndarray, window: Window, readout: str) -> np.ndarray:
    """int64 [n, neurons]: how many messages each output neuron sent in the window, their sum, or its last value."""
    seen = output[:, window.first : window.end].reshape(len(output), window.end - window.first, -1)
    if readout == "count":
        return np.count_nonzero(seen, axis=1).astype(np.int64)
    return seen.sum(1, dtype=np.int64) if readout == "sum" else seen[:, -1].astype(np.int64)


@dataclass(frozen=True)
class ChainLayer:
    """Messages and operations of a layer, a sample; rate: messages of a neuron in a step; the largest |state| and
    |message| of sigma-delta neurons, None for others.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    size: int
    spikes: float
    rate: float
    synops: float
    largest_state: int | None
    largest_message: int | None


@dataclass(frozen=True, eq=False)
class ChainRun:
    """A chain or graph of layers on arrays.

    Attributes:
        n, steps: samples, and steps of each. input: `spikes`, `drive` or `values`. readout: `count`, `sum` or `last`.
        output: see `value_kind`. window: where the read-out looks.
        outputs: int64 [n, neurons]. predictions: int64 [n], None where there is one neuron. labels: int64 [n] or None.
        score: accuracy. spikes, synops: sums over all samples. latency_steps: by which the chip answers late.
        seconds: of the executor. layers: `ChainLayer` of each. notes: one line each.
    """

    n: int
    steps: int
    input: str
    readout: str
    output: str
    window: Window
    outputs: np.ndarray
    predictions: np.ndarray | None
    labels: np.ndarray | None
    score: Score
    spikes: int
    synops: int
    latency_steps: int
    seconds: float
    layers: tuple[ChainLayer, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """All of it on one level, as JSON values."""
        found = dict(vars(self)) | dict(window=[self.window.first, self.window.end])
        out = {}
        for name, value in found.items():
            out |= vars(value) if name == "score" else {name: value}
        return plain(out)


def result(net: Sequential | Graph, found: Found, window: Window, readout: str, labels: np.ndarray | None) -> ChainRun:
    """What a run says; `spikes` and `synops` are sums over all samples, `layers` has them per sample."""
    n, steps = found.output.shape[:2]
    predictions = found.outputs.argmax(1) if found.outputs.shape[1] > 1 else None
    counted = [layer for layer in net.layers if getattr(layer, "neuron", None) is not None or layer is net.layers[0]]
    return ChainRun(
        n=n,
        steps=steps,
        input=net.input_kind,
        readout=readout,
        output=value_kind(net),
        window=window,
        outputs=found.outputs,
        predictions=predictions,
        labels=labels,
        score=score(predictions, labels),
        spikes=sum(found.counter.messages[layer.name] for layer in counted),
        synops=sum(found.counter.synops.values()),
        latency_steps=net.lags[net.layers[-1].name],
        seconds=found.seconds,
        layers=tuple(_row(layer, found, n, steps) for layer in net.layers),
        notes=(*net.notes, *_beyond(net, found)),
    )


def _row(layer, found, n, steps):
    messages, size = found.counter.messages[layer.name], int(np.prod(layer.shape))
    largest = found.largest.get(layer.name)
    return ChainLayer(
        name=layer.name,
        type=type(layer).__name__.removesuffix("Layer").lower(),
        shape=layer.shape,
        size=size,
        spikes=messages / n,
        rate=messages / (n * steps * size),
        synops=found.counter.synops[layer.name] / n,
        largest_state=largest and largest[0],
        largest_message=largest and largest[1],
    )


def _beyond(net, found):
    """A line for each layer whose states or messages do not fit the chip."""
    lines = []
    for layer in net.layers:
        state, message = found.largest.get(layer.name, (0, 0))
        bits = getattr(getattr(layer, "neuron", None), "message_bits", 32)
        if state >= 1 << 23:
            lines.append(f"{layer.name}: states up to {state} do not fit the chip's 24 bits; Lava's models hold 32")
        if message >= 1 << (bits - 1):
            lines.append(f"{layer.name}: messages up to {message} do not fit {bits} bits")
    return lines
