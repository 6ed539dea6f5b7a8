"""A picture of a plan: the chips in use, core by core, coloured by layer and filled by what is used most."""

from pathlib import Path

from sim.base import files
from sim.base.errors import UserError

CHIPS_SHOWN = 8
SUFFIXES = (".png", ".svg", ".pdf")


def draw(plan, board, path):
    """Writes the picture of a plan (`deploy.chip.plan.plan`) that has been placed; the format follows the suffix: .png,
    .svg or .pdf.

    Raises:
        UserError: another suffix, or the file cannot be written.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: a picture is {', '.join(SUFFIXES)}")
    layer_of = {p["name"]: row["layer"] for row in plan["layers"] for p in row["populations"]}
    shown = min(max(plan["chips_used"], 1), board["chips"], CHIPS_SHOWN)
    across = min(shown, 4)
    down = -(-shown // across)
    per_chip, tiles = board["cores_per_chip"], board["tile_columns"]
    side = max(1, round(board["cores_per_tile"] ** 0.5))
    colours = {layer: colormaps["tab20"](i % 20) for i, layer in enumerate(dict.fromkeys(layer_of.values()))}
    figure = Figure(figsize=(4.2 * across + 3.2, 0.9 + 3.0 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for chip, ax in enumerate(axes):
        ax.set_aspect("equal")
        ax.axis("off")
        if chip >= shown:
            continue
        used = plan["cores"][chip * per_chip : (chip + 1) * per_chip]
        for k in range(per_chip):
            tile, inside = divmod(k, board["cores_per_tile"])
            x, y = tile % tiles * (side + 0.3) + inside % side, -(tile // tiles) * (side + 0.3) - inside // side
            ax.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor="#f2f2f2", edgecolor="#bbbbbb", linewidth=0.4))
            if k < len(used):
                colour = colours[layer_of[max(used[k]["parts"], key=lambda p: p["neurons"])["population"]]]
                ax.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor=colour, alpha=0.3, linewidth=0))
                ax.add_patch(
                    Rectangle(
                        (x, y), 0.9, 0.9 * min(1.0, max(used[k]["share"].values())), facecolor=colour, linewidth=0
                    )
                )
        ax.autoscale_view()
        ax.set_title(f"chip {chip}: {len(used)} of {per_chip} cores", fontsize=9)
    more = plan["chips_used"] - shown
    fit = "fits" if plan["fits"] else "does not fit"
    hidden = f" ({more} more chips not shown)" if more > 0 else ""
    figure.suptitle(
        f"{plan['title']}: {plan['cores_used']:,} of {plan['cores_available']:,} cores, {fit}{hidden}", fontsize=10
    )
    figure.supxlabel("filled: the resource used most on each core; the order of cores on the chip is ours", fontsize=7)
    labels = [Patch(color=colour, label=layer) for layer, colour in list(colours.items())[:40]]
    figure.legend(handles=labels, loc="outside right upper", fontsize=6, ncols=1 if len(labels) < 22 else 2)
    files.fill(path, lambda file: figure.savefig(file, format=path.suffix[1:].lower(), dpi=130))
