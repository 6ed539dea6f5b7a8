"""`python -m convert`: from a trained model to the artifact. Example: `python -m convert export
runs/digits-tiny/model.pt`.
"""

import sim.base.start  # noqa: F401  # isort: skip

from pathlib import Path

import click

from sim import netx
from sim.base.command import run_command
from sim.base.console import add_row, data_root_option, new_table, print_json, show

from .compare import compare
from .nir.commands import nir_export, nir_import


@click.group()
def main() -> None:
    """Turn a trained model into a quantized netx HDF5 file, and look into such files."""


@main.command(epilog="Example: python -m convert export runs/nmnist-small/model.pt --data-root data")
@click.argument("model")
@click.option("--out", default=None, help="The file to write; default: MODEL with the suffix .net.")
@data_root_option
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="What the report's accuracies are measured on.",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first so many samples of it.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def export(model: str, out: str, data_root: str | None, split: str, limit: int | None, as_json: bool) -> None:
    """Quantize MODEL to the chip's integers, check it against SLAYER, and write the artifact."""
    from .export import export as run

    out = out or str(Path(model).with_suffix(".net"))
    report = run(model, out, data_root, split, limit=limit)
    if as_json:
        print_json(report)
        return
    table = new_table(
        f"{model} -> {out}",
        "layer",
        "neurons",
        "threshold",
        "i_decay",
        "weight error",
        "saturated",
        "u seen",
        "u bound",
        "wraps",
        "rate",
    )
    for row in report["layers"]:
        cell = lambda key, form: form.format(row[key]) if key in row else ""  # noqa: B023, E731
        add_row(
            table,
            row["layer"],
            str(row["neurons"]),
            cell("threshold", "{}"),
            ",".join(map(str, row.get("i_decay", []))),
            cell("weight_error", "{:.4f}"),
            cell("saturated", "{:.2%}"),
            cell("u_seen", "{:.3f}"),
            cell("u_bound", "{:.2f}"),
            cell("wraps", "{}"),
            cell("rate", "{:.3f}"),
        )
    show(table)
    sensor, *inner = report["stages"]
    show(
        f"tokens: {sensor['kept']:.3f} of them sent, at most {sensor['cap']:.3f} of a frame's, which"
        f" {sensor['full']:.3f} of the frames need; the same in training, by the same code"
    )
    for row in inner:
        show(f"stage {row['stage']}: {row['kept']:.3f} of the tokens go on, from {row['least']} spikes")
    names = {"float": "float, rounding off", "integer": "integer (what runs)"}
    if report["removed"]:
        show("synapses removed: " + ", ".join(f"{share:.0%} of {kind}" for kind, share in report["removed"].items()))
    for key, row in report["accuracy"].items():
        show(
            f"accuracy {names[key]:20s} {row['value']:.4f}  [{row['interval'][0]:.3f}, {row['interval'][1]:.3f}]  n ="
            f" {report['n']} ({report['split']})"
        )
    p, d = report["parity"], report["float_to_integer"]
    show(
        f"float to integer: {100 * d['difference']:+.2f} points, 95 % interval [{100 * d['interval'][0]:+.2f},"
        f" {100 * d['interval'][1]:+.2f}]"
    )
    show(
        f"SLAYER against engine: {p['compared']:,} values of {p['samples']} samples compared, {p['differences']} differ"
    )
    show(f"wrote {out}, digest {report['digest'][:16]}…")


@main.command(epilog="Example: python -m convert inspect models/digits-tiny.net")
@click.argument("net")
@click.option("--json", "as_json", is_flag=True, help="Print the layers as JSON.")
def inspect(net: str, as_json: bool) -> None:
    """Show every layer of NET: type, shape, bits, thresholds, decays, gate."""
    layers = netx.describe(netx.load(net))
    if as_json:
        print_json(layers)
        return
    columns = [
        "name",
        "type",
        "shape",
        "sources",
        "weight_bits",
        "threshold",
        "i_decay",
        "v_decay",
        "bias",
        "gate_threshold",
        "nonzero",
    ]
    table = new_table(net, *columns, left=len(columns))
    for row in layers:
        add_row(table, *(str(row.get(c, "")) for c in columns))
    show(table)


main.add_command(compare)
main.add_command(nir_export)
main.add_command(nir_import)


if __name__ == "__main__":
    run_command(main)
