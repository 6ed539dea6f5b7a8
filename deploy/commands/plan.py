"""`python -m deploy plan`: does a net fit the chip, what is short first, what does a sample cost."""

import sys

import click

from sim.base.console import add_row, data_root_option, new_table, print_json, show
from sim.base.errors import UserError


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
@click.option("--picture", default=None, help="Write a picture of the chip: .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
@click.pass_context
def plan(context, net, board, packing, tables, dataset, split, limit, data_root, picture, as_json):
    """Plan NET on a board: neurocores, memory, the bottleneck, energy and time of a sample. Exit code 1 if it does
    not fit.
    """
    from sim import netx

    from ..chip.board import load as load_board
    from ..chip.picture import draw
    from ..chip.plan import plan as make

    target = load_board(board)
    loaded = netx.load(net)
    x, data = samples(loaded, net, dataset, split, limit, data_root)
    result = make(loaded, target, packing, x, data, tables)
    if picture and result["cores"]:
        draw(result, target, picture)
    if as_json:
        print_json({"net": net, **result})
    else:
        _show_plan(net, result)
    if not result["fits"]:
        print(f"{net} does not fit {target.name}: {result['reason']['text']}", file=sys.stderr)
        context.exit(1)


def samples(net, path, dataset, split, limit, data_root):
    """(input, what it is) for the cost: a data set's samples, or the golden one of the file; (None, None) for a net
    that takes no recordings.
    """
    from sim import netx
    from sim.net import Net

    if not isinstance(net, Net):
        if dataset:
            raise UserError(
                f"{path}: a SLAYER export without tokens, frames and encoder cannot run on recordings; leave out"
                " --dataset"
            )
        return None, None
    if dataset:
        from ..samples import from_dataset

        taken = from_dataset(net, dataset, split, data_root, limit)
        return taken.streams(0, len(taken)), f"{dataset} {split}, first {len(taken)} samples"
    golden = netx.read_golden(path)
    return (
        (None, None) if golden is None else (golden.tokens, f"golden input of the file, {len(golden.tokens)} sample(s)")
    )


def _show_plan(net, p):
    """The plan for people."""
    columns = "layer", "neurons", "synapses", "weight bits", "longest delay", "synapse memory", "cores"
    table = new_table(f"{net} on {p['title']}", *columns)
    for row in p["layers"]:
        add_row(
            table,
            row["layer"],
            f"{row['neurons']:,}",
            f"{row['synapses']:,}",
            str(row["weight_bits"]),
            str(row["longest_delay"]),
            f"{row['synapse_bits'] / 8192:.1f} KB" if "synapse_bits" in row else "",
            str(row.get("cores", "")),
        )
    roles = ", ".join(f"{n:,} in {role}s" for role, n in p["neurons_by_role"].items() if n)
    table.add_section()
    add_row(
        table,
        "all",
        f"{p['neurons']:,}",
        f"{p['synapses']:,}",
        str(p["weight_bits"]),
        "",
        f"{p['synapse_bits'] / 8192:.1f} KB" if "synapse_bits" in p else "",
        str(p["cores_used"] or ""),
    )
    show(table)
    show(f"neurons: {roles}")
    if p["cores_used"]:
        other = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in p["cores_by_packing"].items())
        show(
            f"cores: {p['cores_used']:,} of {p['cores_available']:,} on {p['chips_used']:,} of {p['chips_available']:,}"
            f" chip(s), packing {p['packing']} ({other})"
        )
        show(f"bottleneck: {p['bottleneck']['text']}")
    show("fits" if p["fits"] else "does not fit")
    unsure = [row["name"] for row in p["limits"] if row["status"] in ("unknown", "conflicting")]
    if unsure:
        show(
            f"limits that are not public or on which sources differ (cautious figures used): {', '.join(unsure)}",
        )
    if p["steps_per_sample"]:
        show(f"steps: {p['steps_per_sample']:,} per sample, answer after {p['latency_steps']:,}")
    _show_host(p)
    if p["activity"]:
        _show_cost(p)
    elif p["fits"]:
        show(
            "cost: none, the file has no sample to run; --dataset takes some"
            if p["steps_per_sample"]
            else "cost: none, a SLAYER export does not say what runs on it"
        )


def _show_host(p):
    columns = "process", "line", "lines", "spikes / sample", "peak / step", "messages / sample"
    table = new_table("host", *columns, left=2)
    for row in p["host"]:
        number = lambda key: f"{row[key]:,.1f}" if key in row else ""  # noqa: B023, E731
        add_row(
            table,
            row["process"],
            row["name"],
            str(row["lines"]),
            *map(number, ("spikes_per_sample", "peak_per_step", "messages_per_sample")),
        )
    show(table)


def _show_cost(p):
    a = p["activity"]
    variants = {"this net": (a, p["energy"], p["cores_used"])}
    pruning = p["pruning"] or {}
    variants |= {
        k.replace("_", " "): (v["activity"], v["energy"], v["cores"]) for k, v in pruning.items() if k != "gates"
    }
    table = new_table(f"per sample, mean over {p['data']}", "", *variants)
    for key, label in (
        ("spikes", "spikes"),
        ("synops", "synaptic operations"),
        ("graded_synops", "graded synaptic operations"),
        ("zero_synops", "... of these on zeros"),
        ("active_updates", "neuron updates, active"),
        ("inactive_updates", "neuron updates, inactive"),
        ("messages", "messages"),
    ):
        add_row(table, label, *(f"{v[0][key]:,.0f}" for v in variants.values()))
    add_row(table, "cores", *(f"{v[2]:,}" for v in variants.values()))
    for t in p["energy"]:
        add_row(table, f"energy, {t}", *(f"{v[1][t]['energy_j_per_sample'] * 1e6:,.3f} uJ" for v in variants.values()))
        if p["energy"][t]["seconds_per_sample"] is not None:
            add_row(table, f"time, {t}", *(f"{v[1][t]['seconds_per_sample'] * 1e3:,.4f} ms" for v in variants.values()))
        if p["energy"][t]["dense_equivalent_j_per_sample"] is not None:
            add_row(
                table,
                f"same matrices dense, {t}",
                *(f"{v[1][t]['dense_equivalent_j_per_sample'] * 1e6:,.3f} uJ" for v in variants.values()),
            )
    show(table)
    for gate, row in pruning.get("gates", {}).items():
        show(
            f"gate {gate}: {row['kept']:.1%} of tokens pass, with {row['spikes_passed']:.1%} of the spikes",
        )
    for t in p["energy"].values():
        show(
            f"{t['table']}: {t['title']}. Leaves out {'; '.join(t['leaves_out'])}. Assumes"
            f" {'; '.join(t['assumes']) or 'nothing more'}.",
        )
