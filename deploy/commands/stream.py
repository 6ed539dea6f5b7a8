"""`python -m deploy stream`: live inference on a recording played in real time, or on a camera."""

import sys
from contextlib import contextmanager, nullcontext
from dataclasses import asdict

import click
from rich.console import Console

from events.commands import unit_option
from sim.base.console import note as errors_note
from sim.base.console import print_json, say
from sim.base.errors import Ended, UserError

from .options import only


@click.command(
    epilog="Example: python -m deploy stream clip.npy --net runs/dvs128-small/model.net --record decisions.jsonl"
)
@click.argument("file", required=False)
@click.option("--net", default=None, help="The net, a model.net; default: the newest in runs/, else in models/.")
@click.option(
    "--camera", default=None, metavar="SERIAL", help="Instead of FILE: a camera by its serial number, or 'any'."
)
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Times real time; 0 does not wait for the clock.",
)
@click.option(
    "--window",
    type=click.IntRange(0),
    default=None,
    help="Sum the read-out over so many frames; default: as many as a sample has; 0: since the beginning.",
)
@click.option(
    "--reset/--run-on",
    default=True,
    show_default=True,
    help="States and token counts start anew after as many frames as a sample has, as in training; or they run on.",
)
@click.option(
    "--fit", "fitted", is_flag=True, help="Events of another sensor: take the middle of its picture and join pixels."
)
@click.option("--frames", type=click.IntRange(1), default=None, help="End after so many frames.")
@click.option("--record", default=None, metavar="OUT", help="Write every decision as a line of JSON.")
@click.option(
    "--serve",
    type=click.IntRange(0, 65535),
    is_flag=False,
    flag_value=0,
    default=None,
    metavar="[PORT]",
    help="Show the stream on a page for browsers of this machine, at the printed address; default: any free port.",
)
@click.option(
    "--step-us",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="For nets of others: microseconds of a step; default: 1000.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=None,
    help="For nets of others: a frame is so many steps, with a decision at its end; default: 50.",
)
@unit_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON; nothing is displayed.")
def stream(
    file: str | None,
    net: str | None,
    camera: str | None,
    speed: float,
    window: int | None,
    reset: bool,
    fitted: bool,
    frames: int | None,
    record: str | None,
    serve: int | None,
    step_us: float | None,
    steps: int,
    unit_us: float | None,
    as_json: bool,
) -> None:
    """Play FILE (of any format in docs/data.md) as if it happened now, and decide after every frame. Ctrl-C or SIGTERM
    ends it in good order.
    """
    if (file is None) == (camera is None):
        raise UserError("name one file, or a camera with --camera")
    if camera is not None and speed != 1:
        raise UserError("a camera runs in real time; leave out --speed")
    only(file is not None, "FILE", time_unit_us=unit_us)
    from rich.live import Live

    from sim import netx

    from ..find import find
    from ..live.display import class_name, view
    from ..live.player import Player, one_thread, recorder
    from ..live.summary import Tally

    path = find(net)
    classifier = _classifier(netx.load(path), window, reset, step_us, steps)
    source = _source(file, camera, unit_us)
    player = Player(classifier, source, speed, frames, fitted)
    console = Console()
    # The picture is drawn here, after each decision, and not in a thread that would take time from the net at moments
    # of its own.
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    tally = Tally()
    with one_thread(), recorder(record) as note, live or nullcontext(), _page(serve, classifier, path, source) as show:
        try:
            for decision in player:
                tally.add(decision)
                note(decision)
                if live is not None:
                    live.update(view(classifier, decision, classifier.classes, speed), refresh=True)
                if show is not None:
                    show.put(classifier, decision)
        except (KeyboardInterrupt, Ended):
            pass
        summary = tally.summary(classifier.encoder.frame_us, player.dropped)
        if show is not None:
            show.finish(asdict(summary))
    if as_json:
        named = dict(net=path, source=source.name, speed=speed, reset=reset, window=window)
        named["class_name"] = class_name(classifier.classes, summary.label)
        print_json(named | asdict(summary))
        return
    _print_summary(summary, source, class_name(classifier.classes, summary.label))


def _source(file, camera, unit_us):
    from ..live import sources

    return sources.open_camera(camera) if file is None else sources.open_file(file, unit_us)


def _classifier(net, window, reset, step_us, steps):
    """A net at work: ours with its encoder, or one of others, which sees the sensor's pixels."""
    from sim.net import Net

    if not isinstance(net, Net):
        from ..live.others import StepClassifier

        return StepClassifier(net, step_us, steps, window, reset)
    only(False, "nets without an encoder of their own", step_us=step_us, steps=steps)
    from ..live.player import Classifier

    return Classifier(net, window, reset)


@contextmanager
def _page(port, classifier, path, source):
    """The page for browsers, or None if none is asked for."""
    if port is None:
        yield None
        return
    from ..live.serve import Show

    show = Show(classifier, dict(net=path, source=source.name), port)
    errors_note(f"watch it at {show.address}")
    try:
        yield show
    finally:
        show.finish(None)


def _print_summary(s, source, name):
    for line in (
        f"{source.name}: {s.frames} frames of {s.frame_ms:g} ms, {s.dropped} dropped, {s.events:,} events",
        (
            f"latency p50 {s.latency_ms['p50']:.1f} ms, p99 {s.latency_ms['p99']:.1f} ms; busy {s.busy_ms['mean']:.1f}"
            f" ms a frame, {s.real_time_factor:.1f} times real time"
        ),
        f"tokens sent: {s.kept:.0%}",
        f"at the end: {name}",
    ):
        say(line, file=sys.stdout)
