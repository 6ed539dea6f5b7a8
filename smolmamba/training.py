"""Training and export. Imports torch and SLAYER."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, Union

import events
from sim.base.errors import UserError
from sim.base.plain import Json
from train.config import Config, preset

from .nets import Net, load

Setting: TypeAlias = Union[bool, int, float, str, Sequence["Setting"], Mapping[str, "Setting"]]  # noqa: UP007


@dataclass(frozen=True)
class Trained:
    """A run of training.

    Attributes:
        path: the best model, `model.pt`. config: what was trained.
        facts: accuracies, epochs, seconds, as they are stored with the model.
    """

    path: Path
    config: Config
    facts: dict[str, Json]

    def __repr__(self) -> str:
        return f"Trained({os.fspath(self.path)!r}, validation accuracy {self.facts['best_val']:.3f})"


def configuration(
    preset_name: str = "tiny", dataset: str = "digits", data_root: str | None = None, **changes: Setting
) -> Config:
    """A preset for a data set, with its usual encoder, and changes by name (`lr`, `float_epochs`, ...).

    Raises:
        UserError: an unknown preset, data set or entry.
    """
    values = {"encoder": events.default_encoder(dataset, data_root).settings()} | changes
    return Config.from_dict(preset(preset_name, dataset=dataset).to_dict() | values)


def train(
    config: Config | str = "tiny",
    run: str | os.PathLike | None = None,
    data_root: str | None = None,
    resume: bool = True,
    quiet: bool = False,
    threads: int | None = None,
    loaders: int | None = None,
    save_minutes: float | None = None,
    tensorboard: bool = False,
    skip_bad: bool = False,
    graph: bool = True,
) -> Trained:
    """Trains a model; goes on where an earlier call with the same folder was cut off.

    Args:
        config: of `configuration`, or the name of a preset for the embedded digits.
        run: folder to write; default: runs/DATASET-smolmamba.
        resume: go on from what the folder holds. quiet: show nothing. threads: of the CPU; default: all cores.
        loaders, save_minutes, tensorboard, skip_bad, graph: of `train.run.loop.train`.

    Raises:
        UserError: missing data, a run folder of another configuration.
    """
    from train.run.loop import train as loop

    config = configuration(config) if isinstance(config, str) else config
    if config.float_epochs + config.exact_epochs == 0:
        raise UserError("configuration: no epochs")
    folder = Path(run or f"runs/{config.dataset}-smolmamba")
    facts = loop(config, folder, data_root, resume, quiet, threads, loaders, save_minutes, tensorboard, skip_bad, graph)
    return Trained(folder / "model.pt", config, facts)


def export(
    model: Trained | str | os.PathLike,
    out: str | os.PathLike | None = None,
    data_root: str | None = None,
    split: str = "val",
    dataset: str | None = None,
    limit: int | None = None,
) -> Net:
    """Quantizes a model to the chip's integers, checks it against SLAYER, writes the net and loads it.

    Args:
        model: what `train` gives, or a checkpoint.
        out: the file to write; default: the checkpoint's name with the ending .net.
        split, dataset, limit: recordings that the report's accuracies are of: a part of the data set that the model was
            trained on, or of another, and how many at most.

    Returns:
        Net: its `report` says what was measured.

    Raises:
        UserError: the checkpoint, the data, or a layer that the chip cannot express.
    """
    from convert.export import export as write

    path = Path(model.path if isinstance(model, Trained) else model)
    place = Path(out) if out is not None else path.with_suffix(".net")
    report = write(path, place, data_root, split, dataset, limit)
    net = load(place)
    return Net(net.core, net.path, report)
