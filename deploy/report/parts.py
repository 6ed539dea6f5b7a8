"""The parts of a report, each from what one command measured: `start`, then what is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sim.net import Net
from sim.sequential import Sequential
from sim.sequential.graph import Graph

from ..samples import Samples
from ..verify.results import ChainVerification, Verification
from .beside import beside
from .content import Accuracy, Counted, Parity, Report
from .digest import digest_of
from .film import choose, films
from .numbers import layer_numbers
from .trace import of_net
from .versions import command_line, versions


def start(path: str | Path, net: Net | Sequential | Graph) -> Report:
    """What the file itself says."""
    digest = digest_of(path, net)
    found = beside(path, digest)
    return Report(
        str(path),
        digest,
        repr(net),
        command_line(),
        versions(),
        about=dict(net.facts) if isinstance(net, Net) else {},
        classes=tuple(net.classes) if isinstance(net, Net) else (),
        layers=layer_numbers(net, None, found.export),
        beside=found,
        notes=() if isinstance(net, Net) else tuple(net.notes),
    )


def of_run(report: Report, net: Net, samples: Samples, result: dict) -> Report:
    """Adds what a run (`deploy.run.run`) of a net of ours gave."""
    labels, predictions = result["labels"], result["predictions"]
    shown = choose(predictions, labels)
    names = [*net.classes, *map(str, range(len(net.classes), net.nodes[-1].size))]
    strips = films(net, samples, shown)
    counted = Counted(
        result["spikes"] / result["n"],
        result["synops"] / result["n"],
        result["steps_per_sample"],
        result["latency_steps"],
        result["kept"],
    )
    watched = [i for i in shown if labels is None or predictions[i] == labels[i]][:1]
    watched += [i for i in shown if labels is not None and predictions[i] != labels[i]][:1]
    titles = [_title(i, names, predictions, labels) for i in watched]
    return replace(
        report,
        accuracy=accuracy(result),
        counted=counted,
        confusion=confusion(labels, predictions, len(names)),
        classes=tuple(names),
        films=strips,
        traces=tuple(of_net(net, samples.streams(i, i + 1), title) for i, title in zip(watched, titles)),
        layers=layer_numbers(net, result["layers"], report.beside.export),
        raw={**report.raw, "fast": result},
    )


def _title(i, names, predictions, labels):
    said = f"sample {i}: the net says {names[predictions[i]]}"
    return said if labels is None else f"{said}, it is {names[labels[i]]}"


def accuracy(result: dict) -> Accuracy | None:
    """Of a run with labels (`deploy.run.run`, `deploy.run.chain.result`); None without."""
    if result["accuracy"] is None:
        return None
    n = result["n"]
    return Accuracy(
        result.get("dataset") or "the given array",
        result.get("split"),
        n,
        round(result["accuracy"] * n),
        result["accuracy"],
        tuple(result["accuracy_interval"]),
        result.get("backend", "fast"),
    )


def confusion(labels: list | None, predictions: list, classes: int) -> np.ndarray | None:
    """int [classes, classes], or None without labels."""
    if labels is None:
        return None
    out = np.zeros((classes, classes), int)
    np.add.at(out, (labels, predictions), 1)
    return out


def of_verify(report: Report, result: Verification) -> Report:
    """Adds what a comparison gave."""
    parity = Parity(
        result.executors,
        result.samples,
        result.inputs,
        result.compared,
        result.differences,
        result.first_difference,
        result.left_out if isinstance(result, ChainVerification) else {},
    )
    return replace(report, parity=parity, raw={**report.raw, "parity": result.to_json()})
