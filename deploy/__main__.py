"""`python -m deploy`: runs nets and proves that all executors agree. Example: `python -m deploy run --backend sim`."""

import json
import sys
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sim.errors import UserError
from sim.simulator import SimulationError

from .plan_cli import plan
from .report_cli import report

NET_HELP = "The net, a model.net; default: the newest in runs/, else in models/."


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
@click.option("--backend", type=click.Choice(["sim", "fast", "loihi2"]), default="sim", show_default=True,
              help="The Lava CPU simulator, the batched integer engine, or the chip.")
@click.option("--executor", type=click.Choice(["fused", "stock"]), default="fused", show_default=True,
              help="In the simulator: the net as one process, or as Lava's own neurons and synapses.")
@click.option("--threads", is_flag=True, help="In the simulator: process models as threads of one process, faster, without Lava's runtime.")
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first so many samples; default: 100 with sim, all with fast.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=None, help="End a simulation after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(path, option, dataset, data_root, split, file, golden, backend, executor, threads, limit, timeout, as_json):
    """Run NET on recordings and print accuracy, spikes and operations."""
    if backend == "loihi2":
        from .loihi2 import refuse
        refuse()
    if golden + (file is not None) + (dataset is not None) > 1:
        raise UserError("--golden, --file and --dataset exclude each other")
    from sim import netx

    from . import samples
    from .run import run as execute
    path = _net(path, option)
    net = netx.read(path)
    limit = limit or (100 if backend == "sim" else None)
    if golden:
        taken = samples.from_golden(path, limit)
    elif file is not None:
        taken = samples.from_file(net, file)
    else:
        taken = samples.from_dataset(net, dataset, split, data_root, limit)
    with _bar(path, len(taken)) as progress:
        result = dict(net=path) | execute(net, taken, backend, executor, threads, timeout, progress)
    if as_json:
        print(json.dumps(result))
    else:
        _print_run(net, result)


@main.command(epilog="Example: python -m deploy verify runs/digits-tiny/model.net --samples 3")
@click.argument("path", metavar="[NET]", required=False)
@click.option("--net", "option", default=None, help=NET_HELP)
@click.option("--samples", type=click.IntRange(1), default=None, help="Golden ones first, then an empty one, all ones, random ones; default: the golden ones.")
@click.option("--executors", default="engine,fused,stock", show_default=True, help="Which to compare.")
@click.option("--threads", is_flag=True, help="Lava's process models as threads of one process: faster, without Lava's runtime.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=None, help="End a simulation after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(path, option, samples, executors, threads, timeout, as_json):
    """Prove that the integer engine, the fused and the stock Lava net agree with the file and each other, at every layer, step and neuron.

    Exit code 0 if they do, 1 if they do not.
    """
    from .verify import verify as compare
    path = _net(path, option)
    console = Console(stderr=True)
    result = compare(path, samples, tuple(e.strip() for e in executors.split(",")), threads, timeout_s=timeout,
                     progress=lambda text: console.print(f"running: {text}", highlight=False))
    if as_json:
        print(json.dumps(result))
    else:
        _print_verify(result)
    sys.exit(1 if result["differences"] else 0)


def _net(path, option):
    from .artifact import find
    if path and option:
        raise UserError("name the net once, as an argument or with --net")
    return find(path or option)


@contextmanager
def _bar(what, total):
    """A progress bar on stderr; yields a function that takes the number done."""
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=int(done))


def _console():
    return Console(width=None if sys.stdout.isatty() else 120)


def _number(value, form="{:,.0f}"):
    return "" if value is None else form.format(value)


def _print_run(net, r):
    where = " ".join(x for x in (r["backend"], r.get("executor"), r.get("runtime")) if x)
    table = Table(title=f"{r['net']} on {r['dataset']}{'' if r['split'] is None else ' ' + r['split']}, {r['n']} samples, {where}")
    for column in ("layer", "kind", "neurons", "spikes/sample", "spikes/neuron/step", "operations/sample", "kept"):
        table.add_column(column, justify="left" if column in ("layer", "kind") else "right")
    for row in r["layers"]:
        table.add_row(row["name"], row["type"], str(row["size"]), _number(row["spikes"]), _number(row["rate"], "{:.3f}"), _number(row["synops"]),
                      _number(row["kept"], "{:.3f}"))
    console = _console()
    console.print(table)
    if r["accuracy"] is not None:
        console.print(f"accuracy {r['accuracy']:.4f}, 95 % interval [{r['accuracy_interval'][0]:.3f}, {r['accuracy_interval'][1]:.3f}]", highlight=False)
    elif r["n"] <= 10:
        names = [net.classes[p] if p < len(net.classes) else str(p) for p in r["predictions"]]
        console.print(f"prediction: {', '.join(names)}", highlight=False)
    n = r["n"]
    console.print(f"{r['spikes'] / n:,.0f} spikes and {r['synops'] / n:,.0f} synaptic operations per sample; {r['steps_per_sample']} steps per sample, "
                  f"answers {r['latency_steps']} steps late; {r['seconds']:.1f} s", highlight=False)


def _print_verify(r):
    table = Table(title=f"{r['net']}: {' = '.join(r['executors'])}")
    for column in ("samples", "values compared", "differences"):
        table.add_column(column, justify="right")
    table.add_row(f"{r['samples']} ({', '.join(sorted(set(r['inputs'])))})", f"{r['compared']:,}", f"{r['differences']:,}")
    console = _console()
    console.print(table)
    first = r["first_difference"]
    if first:
        values = ", ".join(f"{k} {v}" for k, v in first["values"].items())
        console.print(f"first difference: layer {first['layer']}, sample {first['sample']}, step {first['step']}, neuron {first['neuron']}: {values}", highlight=False)


main.add_command(plan)
main.add_command(report)


if __name__ == "__main__":
    try:
        main(standalone_mode=True)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except SimulationError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
