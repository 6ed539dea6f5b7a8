"""`python -m deploy run`: a net on recordings, with the accuracy and the counts."""

import click

from events.commands import unit_option
from sim.base.console import add_row, bar, data_root_option, new_table, print_json, show
from sim.base.errors import UserError

from .html import html_option, write_run
from .options import NET_HELP, access, loihi2_options, net_path, only, step_options
from .run_chain import Asked, Recorded, array_samples, input_options, run_chain, write_traces


@click.command(epilog="Example: python -m deploy run --backend sim runs/digits-tiny/model.net --limit 20")
@click.argument("path", metavar="[NET]", required=False)
@click.option("--net", "option", default=None, help=NET_HELP)
@click.option("--dataset", default=None, help="Name in the data registry; default: what the net was trained on.")
@data_root_option
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--file", "file", default=None, help="Run on one recording, of any format in docs/data.md.")
@unit_option
@step_options
@click.option("--golden", is_flag=True, help="Run on the golden input that the net carries.")
@input_options
@click.option(
    "--backend",
    type=click.Choice(["sim", "fast", "loihi2"]),
    default=None,
    help="The Lava CPU simulator, the batched integer engine, or the chip; default: sim; with --input and for nets of"
    " others: fast.",
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
@click.option(
    "--run-on",
    "running_on",
    is_flag=True,
    default=None,
    help="With --backend fast: recordings one after the other as one stream, nothing reset in between.",
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
@html_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(
    path: str | None,
    option: str | None,
    dataset: str,
    data_root: str,
    split: str,
    file: str | None,
    unit_us: float | None,
    step_us: float | None,
    steps: int,
    golden: bool,
    input_file: str | None,
    output: str | None,
    labels: str | None,
    probes_of: tuple[str, ...],
    window: str | None,
    readout: str | None,
    backend: str | None,
    executor: str,
    threads: bool,
    limit: int | None,
    timeout: float | None,
    scheduler: str | None,
    running_on: bool | None,
    partition: str | None,
    board: str | None,
    host: str | None,
    probes: bool | None,
    profile: bool | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Run NET on recordings, or on an array, and print accuracy, spikes and operations."""
    of_chip = dict(partition=partition, board=board, host=host, probes=probes, profile=profile)
    only(backend == "loihi2", "--backend loihi2", **of_chip)
    chip = _chip(**of_chip, timeout=timeout) if backend == "loihi2" else None
    from sim import netx
    from sim.net import Net

    if golden + (file is not None) + (dataset is not None) + (input_file is not None) > 1:
        raise UserError("--golden, --file, --dataset and --input exclude each other")
    path = net_path(path, option)
    net = netx.load(path)
    ours = isinstance(net, Net)
    backend = backend or ("sim" if ours and not input_file else "fast")
    only(input_file is not None, "--input", labels=labels)
    only(input_file is not None or not ours, "--input", output=output, window=window, read=readout)
    only(input_file is not None or not ours, "--input", probe=probes_of or None)
    only(not ours, "nets without an encoder of their own", step_us=step_us, steps=steps)
    only(ours, "nets of ours", golden=golden or None, run_on=running_on, scheduler=scheduler)
    only(backend == "fast", "--backend fast", scheduler=scheduler, run_on=running_on)
    only(not running_on, "runs without --run-on", scheduler=scheduler, output=output, html=html)
    only(file is not None, "--file", time_unit_us=unit_us)
    from .. import samples
    from ..run import run as execute
    from ..run import run_on, table
    from ..run.executors import BACKENDS

    asked = Asked(input_file, output, labels, probes_of, window, readout, limit, html)
    if not isinstance(net, Net):
        recorded = Recorded(dataset, split, data_root, file, unit_us, step_us, steps or 0)
        return run_chain(path, net, asked, recorded, backend, threads, timeout, as_json)
    limit = limit or (None if backend == "fast" else 100)
    if input_file is not None:
        taken = array_samples(net, input_file, asked)
    elif golden:
        taken = samples.from_golden(path, limit)
    elif file is not None:
        taken = samples.from_file(net, file, unit_us)
    else:
        taken = samples.from_dataset(net, dataset, split, data_root, limit)
    with bar(path, len(taken)) as progress:
        if running_on:
            found = run_on(net, taken, progress)
        else:
            there = BACKENDS[backend]
            name = executor if executor in there else there[0]
            found = execute(net, taken, table(threads, timeout, chip)[name], progress, scheduler)
    if asked.output:
        write_traces(net, taken, asked, asked.output)
    said = {"net": path} | found.to_json()
    write_run(html, path, net, taken, said)
    if as_json:
        print_json(said)
    else:
        _print_run(path, net, found)


def _chip(partition, board, host, probes, profile, timeout):
    found = access(partition, board, host)
    from ..loihi2.run import Chip

    return Chip(found, bool(probes), bool(profile), timeout)


def _number(value, form="{:,.0f}"):
    return "" if value is None else form.format(value)


def _print_run(path, net, r):
    where = " ".join(r.facts[key] for key in ("backend", "executor", "runtime", "scheduler") if key in r.facts)
    columns = "layer", "kind", "neurons", "spikes/sample", "spikes/neuron/step", "operations/sample"
    title = f"{path} on {r.dataset}{'' if r.split is None else ' ' + r.split}, {r.n} samples, {where}"
    table = new_table(title, *columns, left=2)
    for row in r.layers:
        rate = _number(row.rate, "{:.3f}")
        add_row(table, row.name, row.type, str(row.size), _number(row.spikes), rate, _number(row.synops))
    show(table)
    if r.score.accuracy is not None:
        low, high = r.score.accuracy_interval
        show(f"accuracy {r.score.accuracy:.4f}, 95 % interval [{low:.3f}, {high:.3f}]")
    elif r.n <= 10:
        names = [net.classes[p] if p < len(net.classes) else str(p) for p in r.predictions]
        show(f"prediction: {', '.join(names)}")
    show(
        f"{r.spikes / r.n:,.0f} spikes and {r.synops / r.n:,.0f} synaptic operations per sample;"
        f" {r.kept:.1%} of the tokens sent, {r.steps_per_sample} steps per sample, answers {r.latency_steps}"
        f" steps late; {r.seconds:.1f} s",
    )
    if r.facts["backend"] == "loihi2":
        _print_chip(r.n, r.facts)


def _print_chip(n, r):
    where = r["access"]["host"] or "SLURM " + (r["access"]["board"] or r["access"]["partition"] or "any board")
    show(
        f"chip ({where}): read-out unlike the engine's in {r['samples_unlike_engine']} of {n} samples; spikes and"
        f" operations counted by the {r['counts_from']}; {r['slot']} steps from sample to sample,"
        f" {r['delays']['there']} to the chip and {r['delays']['back']} back",
    )
    for name, unit in (
        ("execution_seconds", "s"),
        ("energy_joules", "J"),
        ("static_energy_joules", "J"),
        ("power_watts", "W"),
    ):
        if name in r:
            value = "not measured by the extension here" if r[name] is None else f"{r[name]:.6g} {unit}"
            show(f"{name.rsplit('_', 1)[0].replace('_', ' ')}: {value}")
