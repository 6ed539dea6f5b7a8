"""`python -m deploy`: runs nets and proves that all executors agree. Example: `python -m deploy run --backend sim`."""

import json
import sys
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sim.base.errors import UserError, run_command
from sim.compare.history import lines
from sim.lava.simulate import SimulationError

from .commands.plan import plan
from .commands.report import report
from .commands.stream import stream

NET_HELP = "The net, a model.net; default: the newest in runs/, else in models/."


def loihi2_options(command):
    """How to reach a board."""
    for option in (
        click.option(
            "--host",
            default=None,
            help="With loihi2: address of the host of a board on the network; default: $NXSDKHOST.",
        ),
        click.option("--board", default=None, help="With loihi2: the node that SLURM is to take; default: $BOARD."),
        click.option("--partition", default=None, help="With loihi2: the SLURM partition; default: $PARTITION."),
    ):
        command = option(command)
    return command


@click.group()
def main():
    """Run nets in the Lava simulator or the integer engine, and check that all executors agree."""


@main.command(epilog="Example: python -m deploy run --backend sim runs/digits-tiny/model.net --limit 20")
@click.argument("path", metavar="[NET]", required=False)
@click.option("--net", "option", default=None, help=NET_HELP)
@click.option("--dataset", default=None, help="Name in the data registry; default: what the net was trained on.")
@click.option("--data-root", default=None, help="Folder with the data set; default: $DATA_ROOT, then ./data.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--file", "file", default=None, help="Run on one recording: .bin as N-MNIST's, .npy as DVS128 Gesture's.")
@click.option("--golden", is_flag=True, help="Run on the golden input that the net carries.")
@click.option(
    "--backend",
    type=click.Choice(["sim", "fast", "loihi2"]),
    default="sim",
    show_default=True,
    help="The Lava CPU simulator, the batched integer engine, or the chip.",
)
@click.option(
    "--executor",
    type=click.Choice(["fused", "stock"]),
    default="fused",
    show_default=True,
    help="In the simulator: the net as one process, or as Lava's own neurons and synapses.",
)
@click.option(
    "--threads",
    is_flag=True,
    help="In the simulator: process models as threads of one process, faster, without Lava's runtime.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=None,
    help="Only the first so many samples; default: all with fast, else 100.",
)
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=None, help="End a simulation after so many seconds."
)
@click.option(
    "--scheduler",
    default=None,
    metavar="ADDRESS",
    help="With --backend fast: run on the workers of this Dask scheduler, tcp://host:8786.",
)
@loihi2_options
@click.option(
    "--probes",
    is_flag=True,
    default=None,
    help="With --backend loihi2: read the spikes of all layers out and count those, not the engine's.",
)
@click.option(
    "--profile", is_flag=True, default=None, help="With --backend loihi2: measure time and energy on the chip."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(
    path,
    option,
    dataset,
    data_root,
    split,
    file,
    golden,
    backend,
    executor,
    threads,
    limit,
    timeout,
    scheduler,
    partition,
    board,
    host,
    probes,
    profile,
    as_json,
):
    """Run NET on recordings and print accuracy, spikes and operations."""
    _only(
        backend == "loihi2",
        "--backend loihi2",
        partition=partition,
        board=board,
        host=host,
        probes=probes,
        profile=profile,
    )
    _only(backend == "fast", "--backend fast", scheduler=scheduler)
    chip = _chip(partition, board, host, probes, profile) if backend == "loihi2" else None
    if golden + (file is not None) + (dataset is not None) > 1:
        raise UserError("--golden, --file and --dataset exclude each other")
    from sim import netx

    from . import samples
    from .run import run as execute

    path = _net(path, option)
    net = netx.read(path)
    limit = limit or (None if backend == "fast" else 100)
    if golden:
        taken = samples.from_golden(path, limit)
    elif file is not None:
        taken = samples.from_file(net, file)
    else:
        taken = samples.from_dataset(net, dataset, split, data_root, limit)
    with _bar(path, len(taken)) as progress:
        result = dict(net=path) | execute(net, taken, backend, executor, threads, timeout, progress, scheduler, chip)
    if as_json:
        print(json.dumps(result))
    else:
        _print_run(net, result)


@main.command(
    epilog=(
        "Example: python -m deploy verify runs/digits-tiny/model.net --samples 3, or --dataset digits, or --random 30"
        " without a net"
    )
)
@click.argument("path", metavar="[NET]", required=False)
@click.option("--net", "option", default=None, help=NET_HELP)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=None,
    help="Golden ones first, then an empty one, all ones, random ones; default: the golden ones.",
)
@click.option(
    "--dataset",
    default=None,
    help="Compare on the recordings of this data set: engine and step function on all, Lava on some.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default=None,
    help="With --dataset: which part; default: test.",
)
@click.option("--data-root", default=None, help="With --dataset: its folder; default: $DATA_ROOT, then ./data.")
@click.option("--limit", type=click.IntRange(1), default=None, help="With --dataset: only the first so many samples.")
@click.option(
    "--lava-samples",
    type=click.IntRange(0),
    default=None,
    help="With --dataset: how many of them in Lava, or on the chip; default: 4.",
)
@click.option(
    "--random",
    "random_nets",
    type=click.IntRange(1),
    default=None,
    help="Compare on so many random nets, without NET; Lava's models run as threads.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=None, help="With --random: seed of the first of them; default: 0."
)
@click.option(
    "--executors",
    default=None,
    help="Which to compare, of engine,fused,stock,loihi2; default: engine,fused,stock; with --dataset engine,fused.",
)
@click.option(
    "--backend", type=click.Choice(["sim", "loihi2"]), default=None, help="loihi2: short for --executors engine,loihi2."
)
@click.option(
    "--threads", is_flag=True, help="Lava's process models as threads of one process: faster, without Lava's runtime."
)
@loihi2_options
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=None, help="End a simulation after so many seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(
    path,
    option,
    samples,
    dataset,
    split,
    data_root,
    limit,
    lava_samples,
    random_nets,
    seed,
    executors,
    backend,
    threads,
    partition,
    board,
    host,
    timeout,
    as_json,
):
    """Prove that the integer engine, the fused and the stock Lava net agree with the file and each other, at every
    layer, step and neuron.

    The first difference is shown with what led to it. Exit code 0 if they agree, 1 if they do not.
    """
    if executors and backend:
        raise UserError("--backend is short for --executors: name one of the two")
    usual = (
        "engine,loihi2"
        if backend == "loihi2"
        else "engine,fused"
        if dataset
        else "engine,stock"
        if random_nets
        else "engine,fused,stock"
    )
    chosen = tuple(e.strip() for e in (executors or usual).split(","))
    on_chip = "loihi2" in chosen
    _only(on_chip, "the executor loihi2", partition=partition, board=board, host=host)
    _only(dataset is not None, "--dataset", split=split, data_root=data_root, limit=limit, lava_samples=lava_samples)
    _only(random_nets is not None, "--random", seed=seed)
    if (samples is not None) + (dataset is not None) + (random_nets is not None) > 1:
        raise UserError("--samples, --dataset and --random exclude each other")
    if random_nets and (path or option or on_chip):
        raise UserError("--random makes its own nets and runs in the simulator: leave NET and loihi2 out")
    chip = _access(partition, board, host) if on_chip else None
    if random_nets:
        from .verify_many import verify_random

        with _bar("comparing", random_nets) as progress:
            result = verify_random(random_nets, seed or 0, chosen, timeout, lambda what, done, total: progress(done))
    elif dataset:
        from .verify_many import LAVA_SAMPLES, verify_dataset

        path = _net(path, option)
        with _bar(path, None) as progress:
            result = verify_dataset(
                path,
                dataset,
                split or "test",
                data_root,
                limit,
                LAVA_SAMPLES if lava_samples is None else lava_samples,
                chosen,
                threads,
                timeout,
                lambda what, done, total: progress(done, total, f"{path}: {what}"),
                chip,
            )
    else:
        from .verify import verify as compare

        path = _net(path, option)
        console = Console(stderr=True)
        result = compare(
            path,
            samples,
            chosen,
            threads,
            timeout_s=timeout,
            progress=lambda text: console.print(f"running: {text}", highlight=False),
            chip=chip,
        )
    if as_json:
        print(json.dumps(result))
    else:
        _print_verify(result)
    sys.exit(1 if result["differences"] else 0)


def _net(path, option):
    from .find import find

    if path and option:
        raise UserError("name the net once, as an argument or with --net")
    return find(path or option)


def _only(holds, what, **options):
    """Refuses options that mean nothing without `what`."""
    named = [name for name, value in options.items() if value is not None]
    if named and not holds:
        raise UserError(f"--{named[0].replace('_', '-')} goes with {what} only")


def _access(partition, board, host):
    from .loihi2.access import find

    return find(partition, board, host)


def _chip(partition, board, host, probes, profile):
    access = _access(partition, board, host)
    from .loihi2.run import Chip

    return Chip(access, bool(probes), bool(profile))


@contextmanager
def _bar(what, total):
    """A progress bar on stderr; yields a function that takes the number done and, if they change, the total and the
    text.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:  # it leaves an empty line in files and pipes
        task = progress.add_task(what, total=total)
        yield lambda done, total=None, what=None: progress.update(
            task, completed=int(done), total=total, description=what
        )


def _console():
    return Console(width=None if sys.stdout.isatty() else 120)


def _number(value, form="{:,.0f}"):
    return "" if value is None else form.format(value)


def _print_run(net, r):
    where = " ".join(x for x in (r["backend"], r.get("executor"), r.get("runtime"), r.get("scheduler")) if x)
    table = Table(
        title=f"{r['net']} on {r['dataset']}{'' if r['split'] is None else ' ' + r['split']}, {r['n']} samples, {where}"
    )
    for column in ("layer", "kind", "neurons", "spikes/sample", "spikes/neuron/step", "operations/sample", "kept"):
        table.add_column(column, justify="left" if column in ("layer", "kind") else "right")
    for row in r["layers"]:
        table.add_row(
            row["name"],
            row["type"],
            str(row["size"]),
            _number(row["spikes"]),
            _number(row["rate"], "{:.3f}"),
            _number(row["synops"]),
            _number(row["kept"], "{:.3f}"),
        )
    console = _console()
    console.print(table)
    if r["accuracy"] is not None:
        console.print(
            f"accuracy {r['accuracy']:.4f}, 95 % interval [{r['accuracy_interval'][0]:.3f},"
            f" {r['accuracy_interval'][1]:.3f}]",
            highlight=False,
        )
    elif r["n"] <= 10:
        names = [net.classes[p] if p < len(net.classes) else str(p) for p in r["predictions"]]
        console.print(f"prediction: {', '.join(names)}", highlight=False)
    n = r["n"]
    console.print(
        f"{r['spikes'] / n:,.0f} spikes and {r['synops'] / n:,.0f} synaptic operations per sample;"
        f" {r['steps_per_sample']} steps per sample, answers {r['latency_steps']} steps late; {r['seconds']:.1f} s",
        highlight=False,
    )
    if r["backend"] == "loihi2":
        _print_chip(console, r)


def _print_chip(console, r):
    where = r["access"]["host"] or "SLURM " + (r["access"]["board"] or r["access"]["partition"] or "any board")
    console.print(
        f"chip ({where}): read-out unlike the engine's in {r['samples_unlike_engine']} of {r['n']} samples; spikes and"
        f" operations counted by the {r['counts_from']}; {r['slot']} steps from sample to sample,"
        f" {r['delays']['there']} to the chip and {r['delays']['back']} back",
        highlight=False,
    )
    for name, unit in (
        ("execution_seconds", "s"),
        ("energy_joules", "J"),
        ("static_energy_joules", "J"),
        ("power_watts", "W"),
    ):
        if name in r:
            value = "not measured by the extension here" if r[name] is None else f"{r[name]:.6g} {unit}"
            console.print(f"{name.rsplit('_', 1)[0].replace('_', ' ')}: {value}", highlight=False)


def _print_verify(r):
    table = Table(title=f"{r['net']}: {' = '.join(r['executors'])}")
    for column in ("samples", "values compared", "differences"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{r['samples']} ({', '.join(sorted(set(r['inputs'])))})", f"{r['compared']:,}", f"{r['differences']:,}"
    )
    console = _console()
    console.print(table)
    first = r["first_difference"]
    if first:
        values = ", ".join(f"{k} {v}" for k, v in first["values"].items())
        net = f"random net of seed {first['seed']}, " if "seed" in first else ""
        console.print(
            f"first difference: {net}layer {first['layer']}, sample {first['sample']}, step {first['step']}, neuron"
            f" {first['neuron']}: {values}",
            highlight=False,
        )
        for line in lines(first.get("history")):
            console.print(line, highlight=False)
    for name, steps in r.get("neuron_steps", {}).items():
        console.print(
            f"{name}: {steps:,} neuron-steps in {r['seconds'][name]:.1f} s,"
            f" {steps / max(r['seconds'][name], 1e-9):,.0f} per second",
            highlight=False,
        )


main.add_command(plan)
main.add_command(report)
main.add_command(stream)


if __name__ == "__main__":
    run_command(main, SimulationError)
