"""A picture of a plan: the chips in use, core by core, coloured by layer and filled by what is used most."""

from pathlib import Path

from sim.base import files
from sim.base.errors import UserError

from .results import ChipPlan

CHIPS_SHOWN = 8
SUFFIXES = (".png", ".svg", ".pdf")


def draw(plan: ChipPlan, path: str | Path) -> None:
    """Writes the picture of a plan that has been placed; the format follows the suffix: .png, .svg or .pdf.

    Raises:
        UserError: another suffix, or the file cannot be written.
        ValueError: the net was not placed.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: a picture is {', '.join(SUFFIXES)}")
    board, placed = plan.board, plan.placed
    if placed is None:
        raise ValueError("the plan has no placement to draw")
    layers = dict.fromkeys(row.layer for row in plan.layers)
    colours = {layer: colormaps["tab20"](i % 20) for i, layer in enumerate(layers)}
    of_population = {p.name: colours[row.layer] for row in plan.layers for p in row.populations}
    shown = min(max(placed.chips_used, 1), board["chips"], CHIPS_SHOWN)
    across = min(shown, 4)
    down = -(-shown // across)
    figure = Figure(figsize=(4.2 * across + 3.2, 0.9 + 3.0 * down), layout="constrained")
    for chip, ax in enumerate(figure.subplots(down, across, squeeze=False).ravel()):
        ax.set_aspect("equal")
        ax.axis("off")
        if chip < shown:
            _draw_chip(ax, [core for core in placed.cores if core.chip == chip], board, of_population)
            ax.set_title(
                f"chip {chip}: {sum(c.chip == chip for c in placed.cores)} of {board['cores_per_chip']} cores",
                fontsize=9,
            )
    more = placed.chips_used - shown
    fit = "fits" if plan.fits else "does not fit"
    hidden = f" ({more} more chips not shown)" if more > 0 else ""
    figure.suptitle(
        f"{board.title}: {placed.cores_used:,} of {board.cores:,} cores, {fit}{hidden}",
        fontsize=10,
    )
    figure.supxlabel("filled: the resource used most on each core; the order of cores on the chip is ours", fontsize=7)
    labels = [Patch(color=colour, label=layer) for layer, colour in list(colours.items())[:40]]
    figure.legend(handles=labels, loc="outside right upper", fontsize=6, ncols=1 if len(labels) < 22 else 2)
    files.fill(path, lambda file: figure.savefig(file, format=path.suffix[1:].lower(), dpi=130))


def _draw_chip(ax, cores, board, colours):
    """The cores of a chip, tile by tile; colours: population -> colour."""
    from matplotlib.patches import Rectangle

    per_tile, columns = board["cores_per_tile"], board["tile_columns"]
    side = max(1, round(per_tile**0.5))
    for k in range(board["cores_per_chip"]):
        tile, inside = divmod(k, per_tile)
        x, y = tile % columns * (side + 0.3) + inside % side, -(tile // columns) * (side + 0.3) - inside // side
        ax.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor="#f2f2f2", edgecolor="#bbbbbb", linewidth=0.4))
        if k < len(cores):
            colour = colours[max(cores[k].parts, key=lambda p: p.neurons).population]
            filled = 0.9 * min(1.0, max(cores[k].share.values()))
            ax.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor=colour, alpha=0.3, linewidth=0))
            ax.add_patch(Rectangle((x, y), 0.9, filled, facecolor=colour, linewidth=0))
    ax.autoscale_view()
