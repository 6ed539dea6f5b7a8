"""`python -m deploy run NET --input x.npy`, for nets that are chains of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sim.base import files
from sim.base.console import add_row, bar, new_table, note, print_json, show
from sim.base.errors import UserError

from .html import write_chain_run
from .options import Command

if TYPE_CHECKING:  # a command that is refused imports nothing heavy
    from sim.net import Net
    from sim.sequential import Sequential
    from sim.sequential.graph import Graph

    from ..samples import Samples


class Asked(NamedTuple):
    """What the options say: names of files, layers to probe, the read-out, how many samples."""

    input: str | None
    output: str | None
    labels: str | None
    probes: tuple
    window: str | None
    readout: str | None
    limit: int | None
    html: str | None


def input_options(command: Command) -> Command:
    """Options of running on an array."""
    for option in reversed(
        (
            click.option(
                "--input",
                "input_file",
                default=None,
                metavar="X.npy",
                help="Run on this array, [samples, steps, ...] or [steps, ...]: spikes, or values if it takes those.",
            ),
            click.option(
                "--output",
                default=None,
                metavar="Y.npz",
                help="With --input: write what the last layer gives, [samples, steps, ...], and what is probed.",
            ),
            click.option(
                "--labels", default=None, metavar="L.npy", help="With --input: the samples' classes, for the accuracy."
            ),
            click.option(
                "--probe",
                "probes_of",
                multiple=True,
                metavar="LAYER",
                help="With --input: write also what this layer sends, and its states. Repeatable.",
            ),
            click.option(
                "--window",
                default=None,
                metavar="N|A:B",
                help="With --input: the read-out looks at the last N steps, or at steps A up to B; default: all.",
            ),
            click.option(
                "--read",
                "readout",
                type=click.Choice(["count", "sum", "last"]),
                default=None,
                help="With --input: count messages, sum values, or take the last value; default: count spikes, sum"
                " graded ones, last membrane of a layer that never spikes.",
            ),
        )
    ):
        command = option(command)
    return command


class Recorded(NamedTuple):
    """What the options say of recordings: part of a data set, or a file."""

    dataset: str | None
    split: str
    root: str
    file: str | None
    unit_us: float | None
    step_us: float | None
    steps: int


def _input(net, path, asked: Asked, recorded: Recorded):
    """(what the net is to run on, [n, steps, *shape], sliced as it is used; labels or None; facts for the result)."""
    from .. import arrays, samples

    if asked.input:
        x, labels = arrays.load_input(asked.input, net), None
        if asked.labels:
            labels = arrays.load_labels(asked.labels, len(x), int(_product(net.layers[-1].shape)))[: asked.limit]
        return x[: asked.limit], labels, {}
    steps = samples.Steps(recorded.step_us, recorded.steps)
    if recorded.file:
        x = samples.frames_from_file(net, recorded.file, recorded.unit_us, steps)
        return x, None, dict(file=recorded.file, step_us=x.step_us)
    if not recorded.dataset:
        raise UserError(
            f"{path}: a net without encoder and golden input; give it recordings with --dataset or --file, or an array"
            " with --input"
        )
    x, labels = samples.frames_from_dataset(net, recorded.dataset, recorded.split, recorded.root, asked.limit, steps)
    return x, labels, dict(dataset=recorded.dataset, split=recorded.split, step_us=x.step_us)


def run_chain(
    path: str,
    net: Sequential | Graph,
    asked: Asked,
    recorded: Recorded,
    backend: str,
    threads: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Runs, writes and prints."""
    from ..run import chain

    if backend == "loihi2":
        raise UserError("--backend loihi2 runs our own nets only; take fast or sim")
    x, labels, facts = _input(net, path, asked, recorded)
    n, steps = x.shape[:2]
    window = chain.Window.parse(asked.window, steps)
    readout, probes = asked.readout or chain.usual_readout(net), chain.probed(net, asked.probes)
    with bar(path, n) as progress:
        if backend == "fast":
            found = chain.run_engine(net, x, window, readout, probes, progress)
        else:
            found = chain.run_lava(net, x[:], window, readout, probes, threads, timeout, progress)
    result = chain.result(net, found, window, readout, labels)
    if asked.output:
        _write(asked.output, found)
    said = dict(backend=backend, net=path) | facts | result.to_json()
    write_chain_run(asked.html, path, net, x, said)
    if as_json:
        print_json(said)
        return
    _print(path, backend, result)
    if probes and not asked.output:
        note("what was probed is written with --output only")


def array_samples(net: Net, path: str, asked: Asked) -> Samples:
    """The array as samples for a net of ours, whose read-out is its own."""
    from .. import arrays
    from ..samples import Samples

    for name, value in (("window", asked.window), ("read", asked.readout)):
        if value is not None:
            raise UserError(f"--{name} is for nets that SLAYER or NIR made; a net of ours has its own read-out")
    stream, labels = arrays.load_any(path, net), None
    if asked.labels:
        labels = arrays.load_labels(asked.labels, len(stream), net.nodes[-1].size)[: asked.limit]
    return Samples(stream[: asked.limit], lambda part: part, labels, path)


def write_traces(net: Net, taken: Samples, asked: Asked, path: str) -> None:
    """Writes the read-out of every step, and what is probed, of a net of ours: by the engine."""
    import numpy as np

    from sim import engine

    names = [node.name for node in net.nodes]
    for name in asked.probes:
        if name not in names:
            raise UserError(f"--probe {name}: no such layer, the net has {', '.join(names)}")
    found = engine.run(net, taken.streams(0, len(taken)), trace=(*dict.fromkeys((*asked.probes, names[-1])),))
    content: dict[str, Any] = dict(output=found.traces[names[-1]], outputs=found.logits)
    content |= {n: found.traces[n] for n in asked.probes}
    files.fill(path, lambda file: np.savez_compressed(file, **content))


def _product(shape):
    size = 1
    for n in shape:
        size *= n
    return size


def _write(path, found):
    import numpy as np

    content: dict[str, Any] = dict(output=found.output, outputs=found.outputs, **found.probes)
    files.fill(path, lambda file: np.savez_compressed(file, **{k.replace("/", "."): v for k, v in content.items()}))


def _print(path, backend, r):
    table = new_table(
        f"{path}, {r.n} samples of {r.steps} steps, {backend}",
        *("layer", "kind", "neurons", "messages/sample", "messages/neuron/step", "operations/sample"),
        left=2,
    )
    for row in r.layers:
        counts = f"{row.size:,}", f"{row.spikes:,.0f}", f"{row.rate:.4f}", f"{row.synops:,.0f}"
        add_row(table, row.name, row.type, *counts)
    show(table)
    if r.score.accuracy is not None:
        low, high = r.score.accuracy_interval
        show(f"accuracy {r.score.accuracy:.4f}, 95 % interval [{low:.3f}, {high:.3f}]")
    for i, values in enumerate(r.outputs[:3]):
        shown = ", ".join(f"{v:,}" for v in values[:10])
        show(f"sample {i}: {r.readout} of the outputs {shown}{', ...' if len(values) > 10 else ''}")
    show(
        f"{r.spikes / r.n:,.0f} messages and {r.synops / r.n:,.0f} synaptic operations per sample; on the chip"
        f" answers come {r.latency_steps} steps late; {r.seconds:.1f} s"
    )
    for line in r.notes:
        show(line)
