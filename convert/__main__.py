"""`python -m convert`: from a trained model to the artifact. Example: `python -m convert export
runs/digits-tiny/model.pt`.
"""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from sim import netx
from sim.base.errors import run_command

from .compare import compare
from .nir.commands import nir_export, nir_import


@click.group()
def main():
    """Turn a trained model into a quantized netx HDF5 file, and look into such files."""


@main.command(epilog="Example: python -m convert export runs/nmnist-small/model.pt --data-root data")
@click.argument("model")
@click.option("--out", default=None, help="The file to write; default: MODEL with the suffix .net.")
@click.option("--data-root", default=None, help="Folder with the data set; default: $DATA_ROOT, then ./data.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="What the report's accuracies are measured on.",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first so many samples of it.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def export(model, out, data_root, split, limit, as_json):
    """Quantize MODEL to the chip's integers, check it against SLAYER, and write the artifact."""
    from .export import export as run

    out = out or str(Path(model).with_suffix(".net"))
    report = run(model, out, data_root, split, limit=limit)
    if as_json:
        print(json.dumps(report))
        return
    console = Console(width=None if sys.stdout.isatty() else 150)
    table = Table(title=f"{model} -> {out}")
    for column in (
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
    ):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for row in report["layers"]:
        show = lambda key, form: form.format(row[key]) if key in row else ""  # noqa: B023, E731
        table.add_row(
            row["layer"],
            str(row["neurons"]),
            show("threshold", "{}"),
            ",".join(map(str, row.get("i_decay", []))),
            show("weight_error", "{:.4f}"),
            show("saturated", "{:.2%}"),
            show("u_seen", "{:.3f}"),
            show("u_bound", "{:.2f}"),
            show("wraps", "{}"),
            show("rate", "{:.3f}"),
        )
    console.print(table)
    for row in report["stages"]:
        console.print(
            f"stage {row['stage']}: {row['kept']:.3f} of the tokens sent, at most {row['cap']:.3f} of a frame's, which"
            f" {row['full']:.3f} of the frames need; the same in training, by the same code"
        )
    names = {"float": "float, rounding off", "integer": "integer (what runs)"}
    for key, row in report["accuracy"].items():
        console.print(
            f"accuracy {names[key]:20s} {row['value']:.4f}  [{row['interval'][0]:.3f}, {row['interval'][1]:.3f}]  n ="
            f" {report['n']} ({report['split']})"
        )
    p, d = report["parity"], report["float_to_integer"]
    console.print(
        f"float to integer: {100 * d['difference']:+.2f} points, 95 % interval [{100 * d['interval'][0]:+.2f},"
        f" {100 * d['interval'][1]:+.2f}]"
    )
    console.print(
        f"SLAYER against engine: {p['compared']:,} values of {p['samples']} samples compared, {p['differences']} differ"
    )
    console.print(f"wrote {out}, digest {report['digest'][:16]}…")


@main.command(epilog="Example: python -m convert inspect models/digits-tiny.net")
@click.argument("net")
@click.option("--json", "as_json", is_flag=True, help="Print the layers as JSON.")
def inspect(net, as_json):
    """Show every layer of NET: type, shape, bits, thresholds, decays, gate."""
    layers = netx.describe(netx.load(net))
    if as_json:
        print(json.dumps(layers))
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
    table = Table(title=net)
    for column in columns:
        table.add_column(column)
    for row in layers:
        table.add_row(*(str(row.get(c, "")) for c in columns))
    Console(width=None if sys.stdout.isatty() else 180).print(table)


main.add_command(compare)
main.add_command(nir_export)
main.add_command(nir_import)


if __name__ == "__main__":
    run_command(main)
