"""`python -m deploy plan`: does a net fit the chip, what is short first, what does a sample cost."""

import sys
from typing import Any

import click

from sim.base.console import add_row, data_root_option, new_table, print_json, say, show
from sim.base.errors import UserError

from .html import html_option, write_plan
from .options import only, step_options


@click.command(epilog="Example: python -m deploy plan runs/digits-tiny/model.net --board oheo-gulch --picture plan.png")
@click.argument("net")
@click.option(
    "--board",
    default="oheo-gulch",
    show_default=True,
    help="loihi1, oheo-gulch, kapoho-point, hala-point, or a .toml file like those in deploy/chips.",
)
@click.option(
    "--packing",
    type=click.Choice(["separate", "shared"]),
    default="separate",
    show_default=True,
    help="A core for each piece of a layer, as Lava's compiler places them, or several pieces on one core.",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    default=("loihi1-davies2018", "cmos-45nm"),
    show_default=True,
    help="Prices per operation: a name, or your own .toml or .yaml file like those in sim/prices. Repeatable.",
)
@click.option(
    "--dataset", default=None, help="Count operations on samples of this data set instead of the file's golden sample."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="Part of the data set.",
)
@click.option("--limit", type=click.IntRange(1), default=8, show_default=True, help="Number of its samples.")
@data_root_option
@step_options
@click.option(
    "--input",
    "input_file",
    default=None,
    metavar="X.npy",
    help="Count operations on this array, [samples, steps, ...] or [steps, ...], as `deploy run --input` takes it.",
)
@click.option("--picture", default=None, help="Write a picture of the chip: .png, .svg or .pdf.")
@html_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
@click.pass_context
def plan(
    context: click.Context,
    net: str,
    board: str,
    packing: str,
    tables: tuple[str, ...],
    dataset: str | None,
    split: str,
    limit: int | None,
    data_root: str,
    step_us: float | None,
    steps: int,
    input_file: str | None,
    picture: str | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Plan NET on a board: neurocores, memory, the bottleneck, energy and time of a sample. Exit code 1 if it does
    not fit.
    """
    from sim import netx
    from sim.net import Net

    from ..chip.board import load as load_board
    from ..chip.picture import draw
    from ..chip.plan import plan as make
    from ..samples import Steps

    target = load_board(board)
    loaded = netx.load(net)
    others = not isinstance(loaded, Net) and dataset is not None
    only(others, "--dataset and nets without an encoder of their own", step_us=step_us, steps=steps)
    x, data = samples(loaded, net, dataset, split, limit, data_root, input_file, Steps(step_us, steps or 0))
    result = make(loaded, target, packing, x, data, tables)
    if picture and result.placed:
        draw(result, picture)
    write_plan(html, net, loaded, result)
    if as_json:
        print_json({"net": net, **result.to_json()})
    else:
        _show_plan(net, result)
    if result.reason:
        say(f"{net} does not fit {target.name}: {result.reason.text}", file=sys.stderr)
        context.exit(1)


def samples(
    net: Any,
    path: str,
    dataset: str | None,
    split: str,
    limit: int | None,
    data_root: str,
    input_file: str | None,
    steps: Any,
) -> tuple:
    """(input, what it is) for the cost: the user's array, a data set's samples, or the golden one of the file; (None,
    None) where nothing says what runs on the net.
    """
    from sim import netx
    from sim.net import Net

    if input_file and dataset:
        raise UserError("--dataset and --input exclude each other")
    if input_file:
        from ..arrays import load_any

        x = load_any(input_file, net)[:limit]
        return x, f"{input_file}, first {len(x)} sample(s)"
    if not isinstance(net, Net):
        if dataset:
            from ..samples import frames_from_dataset

            x, _ = frames_from_dataset(net, dataset, split, data_root, limit, steps)
            return x[:], f"{dataset} {split}, first {len(x)} samples, steps of {x.step_us:g} us"
        return None, None
    if dataset:
        from ..samples import from_dataset

        taken = from_dataset(net, dataset, split, data_root, limit)
        return taken.streams(0, len(taken)), f"{dataset} {split}, first {len(taken)} samples"
    golden = netx.read_golden(path)
    if golden is None:
        return None, None
    return golden.stream, f"golden input of the file, {len(golden.stream)} sample(s)"


def _show_plan(net, p):
    """The plan for people; p: `deploy.chip.results.ChipPlan`."""
    sizes, placed = p.sizes, p.placed
    _show_layers(net, p)
    show("neurons: " + ", ".join(f"{n:,} in {role}s" for role, n in sizes.neurons_by_role.items() if n))
    if placed:
        other = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in placed.cores_by_packing.items())
        show(
            f"cores: {placed.cores_used:,} of {p.board.cores:,} on {placed.chips_used:,} of {p.board['chips']:,}"
            f" chip(s), packing {p.packing} ({other})"
        )
        show(f"bottleneck: {placed.bottleneck.text}")
    show("fits" if p.fits else "does not fit")
    unsure = [limit.name for limit in p.board.limits.values() if limit.status in ("unknown", "conflicting")]
    if unsure:
        show(f"limits that are not public or on which sources differ (cautious figures used): {', '.join(unsure)}")
    if sizes.steps_per_sample:
        show(f"steps: {sizes.steps_per_sample:,} per sample, answer after {sizes.latency_steps:,}")
    _show_host(p)
    if p.costs:
        _show_cost(p)
    elif p.fits:
        show(
            "cost: none, the file has no sample to run; --dataset takes some"
            if sizes.steps_per_sample
            else "cost: none, the file does not say what runs on the net; --input takes an array"
        )


def _show_layers(net, p):
    columns = "layer", "neurons", "synapses", "weight bits", "longest delay", "synapse memory", "cores"
    table = new_table(f"{net} on {p.board.title}", *columns)
    memory = lambda bits: "" if bits is None else f"{bits / 8192:.1f} KB"  # noqa: E731
    for row in p.layers:
        add_row(
            table,
            row.layer,
            f"{row.neurons:,}",
            f"{row.synapses:,}",
            str(row.weight_bits),
            str(row.longest_delay),
            memory(row.synapse_bits),
            "" if row.cores is None else str(row.cores),
        )
    table.add_section()
    add_row(
        table,
        "all",
        f"{p.sizes.neurons:,}",
        f"{p.sizes.synapses:,}",
        str(p.sizes.weight_bits),
        "",
        memory(p.placed and p.placed.synapse_bits),
        str(p.placed.cores_used) if p.placed else "",
    )
    show(table)


def _show_host(p):
    columns = "process", "line", "lines", "spikes / sample", "peak / step", "messages / sample"
    table = new_table("host", *columns, left=2)
    number = lambda value: "" if value is None else f"{value:,.1f}"  # noqa: E731
    for row in p.host:
        traffic = map(number, (row.spikes_per_sample, row.peak_per_step, row.messages_per_sample))
        add_row(table, row.process, row.name, str(row.lines), *traffic)
    show(table)


def _show_cost(p):
    counts, energy = p.costs.counts, p.costs.energy
    table = new_table(f"per sample, mean over {p.costs.data}", "", "this net")
    if p.costs.sent is not None:
        add_row(table, "tokens sent", f"{p.costs.sent:.1%}")
    for key, label in (
        ("spikes", "spikes"),
        ("synops", "synaptic operations"),
        ("graded_synops", "graded synaptic operations"),
        ("zero_synops", "... of these on zeros"),
        ("active_updates", "neuron updates, active"),
        ("inactive_updates", "neuron updates, inactive"),
        ("messages", "messages"),
    ):
        add_row(table, label, f"{getattr(counts, key):,.0f}")
    for name, cost in energy.items():
        add_row(table, f"energy, {name}", f"{cost.energy_j_per_sample * 1e6:,.3f} uJ")
        if cost.seconds_per_sample is not None:
            add_row(table, f"time, {name}", f"{cost.seconds_per_sample * 1e3:,.4f} ms")
        if cost.dense_equivalent_j_per_sample is not None:
            dense = cost.dense_equivalent_j_per_sample
            add_row(table, f"same matrices dense, {name}", f"{dense * 1e6:,.3f} uJ")
    show(table)
    for cost in energy.values():
        show(
            f"{cost.table}: {cost.title}. Leaves out {'; '.join(cost.leaves_out)}. Assumes"
            f" {'; '.join(cost.assumes) or 'nothing more'}."
        )
