"""`python -m convert compare`: SLAYER against the engine on a whole data set."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sim.base.console import bar, data_root_option, print_json, say
from sim.base.errors import UserError

BATCH = 32


def compare_all(
    model_path: str | Path,
    dataset: str | None = None,
    split: str = "test",
    data_root: str | Path | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Runs a model's own integer mode, on the GPU if there is one, and its net in the engine on recordings, and
    compares every layer, step and neuron.

    Args:
        model_path: checkpoint of a model that training has folded.
        dataset: default: what the model was trained on. split, data_root, limit: which recordings.
        progress: called with (samples done, samples in all).

    Returns:
        dict of JSON values: model, device (cpu or cuda), dataset, split, samples, layers (compared), compared
            (neuron-steps and read-outs), differences, first_difference (None, or dict(layer, sample, step, neuron,
            slayer, engine, history)), seconds.

    Raises:
        UserError: the checkpoint or the data.
    """
    import torch

    import events
    from sim import engine
    from sim.compare.history import history, sample_traces
    from train import checkpoint

    from . import parity
    from .to_net import to_net

    model, content = checkpoint.load(model_path)
    net = to_net(model, content["classes"], content["facts"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    name = dataset or model.cfg.dataset
    recordings = events.load(name, split, data_root)
    if recordings.height != model.encoder.height or recordings.width != model.encoder.width:
        raise UserError(
            f"data set {name!r} is {recordings.width} x {recordings.height} pixels, the model takes"
            f" {model.encoder.width} x {model.encoder.height}"
        )
    clips = recordings.events[:limit]
    compared, differences, first, start = 0, 0, None, time.monotonic()
    for begin in range(0, len(clips), BATCH):
        tokens = model.encoder.encode_all(clips[begin : begin + BATCH])
        found = parity.compare(model, net, tokens)
        compared, differences = compared + found["compared"], differences + found["differences"]
        if found["first_difference"] and first is None:
            first = found["first_difference"]
            one = tokens[first["sample"] : first["sample"] + 1]
            sides = {"slayer": parity.slayer_traces(model, one)[0], "engine": engine.run(net, one, trace="all").traces}
            past = history(
                net,
                first["layer"],
                first["neuron"],
                first["step"],
                {k: sample_traces(net, one, v, 0) for k, v in sides.items()},
            )
            first |= dict(sample=begin + first["sample"], history=past)
        if progress:
            progress(begin + len(tokens), len(clips))
    return dict(
        model=str(model_path),
        device=device,
        dataset=name,
        split=split,
        samples=len(clips),
        layers=[n.name for n in net.nodes],
        compared=compared,
        differences=differences,
        first_difference=first,
        seconds=time.monotonic() - start,
    )


@click.command(epilog="Example: python -m convert compare models/digits-tiny.pt --split train")
@click.argument("model")
@click.option("--dataset", default=None, help="Name in the data registry; default: what the model was trained on.")
@data_root_option
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first so many samples.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def compare(model: str, dataset: str, data_root: str | None, split: str, limit: int | None, as_json: bool) -> None:
    """Compare SLAYER's integer mode of MODEL with the engine on a whole data set, at every layer, step and neuron.

    The first difference is shown with what led to it. Exit code 0 if they agree, 1 if they do not.
    """
    from sim.compare.history import lines

    with bar(model) as progress:
        result = compare_all(model, dataset, split, data_root, limit, progress)
    if as_json:
        print_json(result)
    else:
        say(
            f"SLAYER against engine, {result['samples']} samples of {result['dataset']} {result['split']},"
            f" {len(result['layers'])} layers: {result['compared']:,} values compared, {result['differences']:,}"
            f" differ; {result['seconds']:.1f} s, {result['compared'] / result['seconds']:,.0f} per second"
        )
        first = result["first_difference"]
        if first:
            say(
                f"first difference: layer {first['layer']}, sample {first['sample']}, step {first['step']}, neuron"
                f" {first['neuron']}: slayer {first['slayer']}, engine {first['engine']}"
            )
            for line in lines(first["history"]):
                say(line)
    sys.exit(1 if result["differences"] else 0)
