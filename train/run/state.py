"""A training run: the model, its optimiser and where they stand; how that is kept, and taken up again."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from sim import prices
from sim.base import files
from sim.base.errors import UserError

from .. import checkpoint, distributed
from ..checkpoint import schema
from ..config import Config
from ..data.batches import to_device
from ..distributed import Ranks
from ..model.pixels import whitening
from ..model.smolmamba import SmolMamba
from ..sparse import cost
from ..sparse import removal as sparsity
from ..sparse.fold import to_integers
from . import precision
from .epoch import Energy, Tally, passes
from .graphs import Recorded
from .logs import Log
from .optimizer import adamw

WHITENING = 1024  # pictures
REMEDY = "copy it back from where it is whole, or start anew with --fresh"


@dataclass
class Run:
    """What training changes, and where it is written.

    Attributes:
        facts: of the model, stored with it. classes: names.
        state: `epoch`s and `step`s of the next one done, `stale` integer epochs since the best, `factor` of the energy.
        energy: the term of the loss, None without one. rates: spikes that the last float epoch's norms have seen.
        recorded: steps as a CUDA graph, or None. log: None of all processes but the first.
    """

    cfg: Config
    folder: Path
    classes: tuple
    model: SmolMamba
    ranks: Ranks
    table: prices.Table
    facts: dict
    state: dict
    save_minutes: float | None = None
    optimizer: Any = None
    energy: Energy | None = None
    recorded: Recorded | None = None
    log: Log | None = None
    tally: Tally = field(default_factory=Tally)
    rates: dict = field(default_factory=dict)
    saved: float = field(default_factory=time.monotonic)
    kept: tuple[int, int] | None = None  # epochs and steps of the next one that `last.pt` has

    @property
    def device(self) -> torch.device:
        return self.ranks.device  # pyright: ignore[reportReturnType]

    def epochs(self) -> Iterator[int]:
        """Those that are left; ends when `facts` say that training has stopped early."""
        for epoch in range(self.state["epoch"], self.cfg.float_epochs + self.cfg.exact_epochs):
            if "stopped_early" in self.facts:
                return
            yield epoch

    def begin(self, epoch: int, x_train: Any) -> None:
        """Brings model and optimiser into the epoch's phase. x_train: this process's streams."""
        cfg, exact = self.cfg, epoch >= self.cfg.float_epochs
        if exact and not self.model.folded:
            to_integers(self.model, x_train, self.device, self.ranks)
            self.optimizer = None
            if cfg.removed():
                self.facts["removed"] = sparsity.removed(self.model)
        if self.optimizer is None:
            self.optimizer = adamw(self.model, cfg.exact_lr if exact else cfg.lr, cfg.weight_decay)

    def update(self) -> None:
        """A step of the optimiser on the gradients of all processes."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.ranks.add_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()

    def save(self, name: str, loop: dict | None = None) -> None:
        if self.ranks.first:
            checkpoint.save(self.folder / name, self.model, self.classes, self.facts, loop=loop)

    def save_is_due(self) -> bool:
        return self.save_minutes is not None and time.monotonic() - self.saved >= 60 * self.save_minutes

    def save_within(self, step: int) -> None:
        """The state after `step` steps of an epoch, as `last.pt`."""
        self._save_last(step=step, tally=asdict(self.tally))

    def _save_last(self, **more):
        rows = {"rows": self.log.rows} if self.log else {}
        self.save("last.pt", loop=self.state | {"optimizer": self.optimizer.state_dict()} | rows | more)
        self.saved = time.monotonic()
        self.kept = self.state["epoch"], more.get("step", 0)

    def words(self) -> str:
        """What a signal leaves of the run."""
        if self.kept is None:
            return f"{self.folder}: nothing of the run is kept yet, the same command begins anew"
        epochs, steps = self.kept
        within = f" and {steps} steps of the next" if steps else ""
        return f"{self.folder}: {epochs} epochs{within} are kept, the same command goes on from there"

    def end(self, epoch: int, row: dict) -> None:
        """After an epoch: logs it, keeps its model if it is the best, removes synapses, steers the energy's factor, and
        saves.
        """
        cfg, exact = self.cfg, epoch >= self.cfg.float_epochs
        if self.log:
            self.log.add(row)
        if epoch + 1 == cfg.float_epochs:
            self.facts["float_val"] = row["val"]
            self.save("float.pt")
        if exact:
            self._judge(epoch, row)
        elif cfg.removed():
            sparsity.remove(self.model, sparsity.together(self.rates, self.ranks), sparsity.grown(cfg, epoch + 1))
        self.state |= {"epoch": epoch + 1, "step": 0, "factor": cost.steer(self.state["factor"], row["uj"], cfg)}
        if self.energy:
            self.energy.factor.fill_(self.state["factor"])
        self.tally = Tally()
        self._save_last()

    def _judge(self, epoch, row):
        """Keeps the integer net of an epoch if none is better (`train.sparse.cost.rank`)."""
        cfg, facts = self.cfg, self.facts
        own = cost.rank(row["val"], row["uj"], cfg)
        best = cost.rank(facts["best_val"], facts["uj"], cfg) if facts["best_epoch"] >= 0 else (-1,)
        self.state["stale"] = 0 if own > best else self.state["stale"] + 1
        if own >= best:
            facts |= {"best_val": row["val"], "best_epoch": epoch + 1, "kept": row["kept"], "uj": row["uj"]}
            self.save("model.pt")
        if cfg.patience and self.state["stale"] >= cfg.patience:
            facts["stopped_early"] = epoch + 1

    def close(self) -> dict:
        """The facts, which `model.pt` has when this is done."""
        if self.facts["best_epoch"] < 0:  # no integer epoch: the float model, which export folds
            self.save("model.pt")
        elif "stopped_early" in self.facts and self.ranks.first:
            best, _ = checkpoint.load(self.folder / "model.pt")
            checkpoint.save(self.folder / "model.pt", best, self.classes, self.facts)
        return self.facts


def open_run(cfg: Config, folder: Path, data: Any, ranks: Ranks, options: Any, console: Console) -> Run:
    """A new run, or the one whose state `folder` holds.

    Raises:
        UserError: the folder holds another configuration's run, or no state; an energy that no net can reach.
    """
    torch.manual_seed(cfg.seed)
    model = SmolMamba(cfg, data.encoder, len(data.classes)).to(ranks.device)
    table = prices.load(cfg.prices)
    with ranks.together():
        cost.check_target(model, table)
    state = {"epoch": 0, "step": 0, "stale": 0, "factor": cost.first_factor(cfg)}
    run = Run(cfg, folder, data.classes, model, ranks, table, _facts(cfg, data, model, ranks), state)
    run.save_minutes = options.save_minutes
    content = ranks.from_first(lambda: _read(folder, cfg, options.resume, console))
    if content:
        _take_up(run, content)
    elif data.encoder.message_bits:
        _whiten(run, data)
    if ranks.size > 1:
        distributed.share_norms(model)
    if content:
        run.optimizer = adamw(model, cfg.lr, cfg.weight_decay)
        with ranks.together():
            _load_optimizer(run, folder / "last.pt", data.steps)
    rows = run.state.pop("rows", None)
    with ranks.together():
        run.log = Log(folder, run.state["epoch"], options.tensorboard, rows) if ranks.first else None
    precision.prepare(ranks.device, cfg.amp, console)
    if run.state["factor"]:
        run.energy = Energy(table, torch.tensor(run.state["factor"], device=ranks.device))
    if options.graph and ranks.device != "cpu" and ranks.size == 1:
        run.recorded = Recorded(model, partial(passes, cfg=cfg, energy=run.energy))
    run.saved = time.monotonic()
    return run


def _whiten(run, data):
    """Has the first layer's weights trained before what whitens some of the training pictures."""

    def look():
        x, _ = to_device(data.x_train[: min(WHITENING, len(data.x_train))], "cpu")
        return whitening(x.transpose(1, 2).flatten(0, 1), data.encoder.message_bits)

    run.model.stem[0].whitening.copy_(run.ranks.from_first(look))


def _load_optimizer(run, path, steps):
    state = run.state.pop("optimizer")
    try:
        schema.check_optimizer(state, run.optimizer)
        schema.require(run.state["step"] < steps, f"loop: step {run.state['step']} of an epoch of {steps}")
    except UserError as e:
        raise UserError(f"{path}: {e}; {REMEDY}") from None
    run.optimizer.load_state_dict(state)
    run.kept = run.state["epoch"], run.state["step"]


def _facts(cfg, data, model, ranks):
    facts = {
        "dataset": cfg.dataset,
        "seed": cfg.seed,
        "n_train": data.n_train,
        "n_val": data.n_val,
        "device": torch.device(ranks.device).type,
        "processes": ranks.size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "best_val": -1.0,
        "best_epoch": -1,
        "seconds": 0.0,
        "prices": cfg.prices,
    }
    if cfg.energy_uj:
        facts["energy_uj"] = cfg.energy_uj
    if data.skip_bad:
        facts["skipped"] = len(data.skipped)
    return facts


def _take_up(run, content):
    """Puts what `last.pt` holds into the run; the optimiser's state stays in `run.state`."""
    run.facts = content["facts"] | {key: run.facts[key] for key in ("device", "processes")}
    run.state |= content["loop"]
    run.tally = Tally(**run.state.pop("tally", {}))
    run.model.load_state_dict(content["model"])
    for layer in run.model.layers():
        layer.train_what_counts()


def _read(folder, cfg, resume, console):
    """The state to go on from, or None; makes the folder and removes what a killed run has left half written."""
    last = folder / "last.pt"
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_unfinished(folder)
    if not (resume and last.exists()):
        return None
    model, content = checkpoint.load(last, REMEDY)
    changed = [k for k, v in cfg.to_dict().items() if model.cfg.to_dict()[k] != v]
    if changed:
        raise UserError(
            f"{folder}: holds a run with another configuration ({', '.join(changed)} differ); take another --name or"
            " delete the folder"
        )
    if "loop" not in content:
        raise UserError(f"{last}: holds a model but no state of a training run; delete it or train with --fresh")
    step = content["loop"].get("step", 0)
    console.print(f"going on from epoch {content['loop']['epoch']}{f' and step {step}' if step else ''} of {last}")
    return content
