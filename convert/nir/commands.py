"""`python -m convert nir-export` and `nir-import`: between our nets and NIR graphs."""

import click

from sim.base.console import add_row, new_table, print_json, say, show


@click.command("nir-export", epilog="Example: python -m convert nir-export models/digits-tiny.net digits.nir")
@click.argument("net")
@click.argument("out")
@click.option("--dt", type=float, default=1e-4, show_default=True, help="Seconds that a time step stands for.")
def nir_export(net: str, out: str, dt: float) -> None:
    """Write NET (ours, SLAYER's, or what nir-import made) as the NIR graph OUT.

    What NIR cannot say is refused by name.
    """
    from sim import netx

    from .files import save
    from .to_graph import to_graph

    graph = to_graph(netx.load(net), dt)
    save(graph, out)
    say(f"wrote {out}: {len(graph.nodes)} nodes, dt {dt:g} s")


@click.command("nir-import", epilog="Example: python -m convert nir-import graph.nir graph.net --dt 0.001")
@click.argument("graph")
@click.argument("out")
@click.option(
    "--dt",
    type=float,
    default=None,
    help="Seconds of a time step; default: what the graph or its gains say, else 0.0001.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report of the rounding as JSON.")
def nir_import(graph: str, out: str, dt: float | None, as_json: bool) -> None:
    """Write the NIR graph GRAPH as the integer net OUT, and say what was rounded."""
    from sim import netx
    from sim.base.errors import UserError
    from sim.net import Net
    from sim.netx import graph_file, slayer_writer
    from sim.sequential import Sequential
    from sim.sequential.graph import Graph

    from .files import load
    from .from_graph import from_graph

    try:
        net, rows = from_graph(load(graph), dt)
    except UserError as e:
        raise UserError(f"{graph}: {str(e).removeprefix(f'{graph}: ')}") from e
    write = {Net: netx.write, Sequential: slayer_writer.write, Graph: graph_file.write}[type(net)]
    write(net, out)
    if as_json:
        print_json(dict(graph=graph, net=out, layers=rows))
        return
    columns = "layer", "exact", "threshold", "i_decay", "v_decay", "weight error", "decay error", "bias error"
    table = new_table(f"{graph} -> {out}", *columns)
    for r in rows:
        decays = ",".join(map(str, r["i_decay"][:6])) + (" …" if len(r["i_decay"]) > 6 else "")
        add_row(
            table,
            r["layer"],
            "yes" if r["exact"] else "no",
            str(r["threshold"]),
            decays,
            str(r["v_decay"]),
            *(f"{r[key]:.2%}" for key in ("weight_error", "decay_error", "bias_error")),
        )
    show(table)
    if rows:
        say(f"steps of {rows[0]['dt']:g} s")
    for note in (note for r in rows for note in r["notes"]):
        say(f"note: {note}")
