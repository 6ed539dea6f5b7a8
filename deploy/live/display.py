"""A stream in the terminal: what the sensor sees, which tokens are sent, what the net thinks, and how fast."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Group
from rich.text import Text

from sim.base.console import harmless

COLUMNS = 64  # characters that the event view may be wide
BAR = 30
# By ON + 2 * OFF: nothing, brighter, darker, both.
COLOURS = ("black", "green", "red", "yellow")


def view(classifier: Any, decision: Any, classes: Sequence[str], speed: float) -> Any:
    """A rich renderable of the state after one decision."""
    encoder = classifier.encoder
    facts = (
        f"{decision.end_us / 1e6:6.2f} s  frame {decision.frame}  {decision.events * 1e6 / encoder.frame_us:,.0f}"
        f" events/s\nlatency {decision.latency_ms:.1f} ms, busy {decision.busy_ms:.1f} of"
        f" {encoder.frame_us / 1e3 / (speed or 1):.0f} ms  dropped {decision.dropped}"
    )
    sent = np.zeros(encoder.tokens, bool)
    sent[classifier.which[classifier.which >= 0]] = True
    grid = Text(f"tokens sent: {decision.kept:.0%}\n") + tokens(sent.reshape(encoder.grid))
    return Group(
        Columns(
            [picture(classifier.pixels), Group(Text(facts), Text(), bars(decision.scores, decision.label, classes))],
            padding=(0, 3),
        ),
        grid,
    )


def picture(pixels: np.ndarray) -> Any:
    """Half blocks, two pixels a character, green where it grows brighter and red where it grows darker; joined to fit
    the width.

    pixels: uint8 [2, H, W].
    """
    pixels = shrunk(pixels, -(-pixels.shape[2] // COLUMNS))
    colour = pixels[1] + 2 * pixels[0]
    colour = np.pad(colour, ((0, len(colour) % 2), (0, 0)))
    text = Text()
    for upper, lower in zip(colour[::2], colour[1::2]):
        for a, b in zip(upper, lower):
            text.append("▀", f"{COLOURS[a]} on {COLOURS[b]}")
        text.append("\n")
    return text


def shrunk(pixels: np.ndarray, by: int) -> np.ndarray:
    """[2, H, W] with squares of `by` x `by` pixels joined: 1 where any is."""
    _, h, w = pixels.shape
    padded = np.pad(pixels, ((0, 0), (0, -h % by), (0, -w % by)))
    return padded.reshape(2, -(-h // by), by, -(-w // by), by).max((2, 4))


def tokens(opened: np.ndarray) -> Any:
    """bool [rows, columns] as squares."""
    return Text("\n".join("".join("■ " if x else "· " for x in row) for row in opened) + "\n")


def bars(scores: Any, label: int, classes: Sequence[str]) -> Any:
    """One line a class: from the lowest score, no bar, to the highest, a full one."""
    low, high = min(scores), max(scores)
    text = Text()
    for i, score in enumerate(scores):
        length = round(BAR * (score - low) / max(high - low, 1))
        text.append(
            f"{harmless(class_name(classes, i))[:28]:28s} {'█' * length:{BAR}s} {score:,}\n",
            "bold green" if i == label else "",
        )
    return text


def class_name(classes: Sequence[str], i: int) -> str:
    """The class's name, or its number where the net has none."""
    return classes[i] if i < len(classes) else str(i)
