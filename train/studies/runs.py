"""Sets of training runs, which the ablation and the curve over energies are made of: one run for each variant and seed,
in OUT/<folder>/seed<k>. A run is held by a lock on its folder while a process works on it: several processes may share
one OUT, each takes the runs that are free, and a run that was cut off goes on."""

import dataclasses
from pathlib import Path
from typing import Any

from sim.base import files, locks, seals
from sim.base.console import bar, note
from sim.base.errors import UserError

from ..config import Config

DONE, PLAN = "numbers.json", "plan.json"


def numbers(run_dir: Path, cfg: Config, data_root: str | Path | None = None) -> dict:
    """What the tables need of a trained run, on validation data.

    `float_val` is the float model's accuracy at the end of the float phase. All else is of the net in the chip's
    integers; operations are per sample, `uj` is what `train.sparse.cost` says that a sample costs by `cfg.prices`."""
    import torch

    import events
    from sim import prices

    from .. import checkpoint
    from ..evaluate import accuracy, accuracy_and_energy
    from ..sparse.fold import to_chip
    from .energy import per_sample
    from .literature import operations

    model, _ = checkpoint.load(run_dir / "model.pt")
    recordings = events.load(cfg.dataset, "val", data_root)
    x, y = events.token_streams(recordings, model.encoder, progress=False), torch.from_numpy(recordings.labels)
    out: dict[str, Any] = {"float_val": None}
    if (run_dir / "float.pt").exists():
        out["float_val"] = accuracy(checkpoint.load(run_dir / "float.pt")[0], x, y, exact=False, batch=cfg.batch)  # pyright: ignore[reportArgumentType]
    to_chip(model, data_root)
    total = per_sample(operations(model, x, cfg.batch), len(x))["total"]
    right, uj = accuracy_and_energy(model, x, y, True, prices.load(cfg.prices), cfg.batch)  # pyright: ignore[reportArgumentType]
    return out | {
        "integer_val": right,
        "kept": x[range(len(y))].sent / (len(y) * model.n_frames * model.n_tokens),
        "uj": uj,
        "steps": model.steps,
        "synops": total["synops"],
        "acs": total["acs"],
        "macs": total["macs"],
        "nanojoule": total["nanojoule"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "n_val": len(y),
    }


def run(folder: Path, cfg: Config, data_root: str | Path | None = None, threads: int = 1) -> dict | None:
    """Trains what is left of a run, measures it, notes the numbers in its folder, and returns them; None while another
    process is at it.
    """
    from ..run.loop import train

    done = folder / DONE
    try:
        with locks.held(folder, "trains and measures", "wait for it", locks.STUDY):
            if done.exists():
                return finished(folder, cfg)
            train(cfg, folder, data_root, resume=True, quiet=True, threads=threads)
            content = {"config": cfg.to_dict(), **numbers(folder, cfg, data_root)}
            files.write(done, seals.to_json(content))
    except locks.Held:  # by a process of another study, or by `python -m train`
        return None
    return content


def finished(folder: Path, cfg: Config) -> dict | None:
    """The numbers of a finished run, None if it is not. Raises `UserError` if they are of another configuration."""
    try:
        remedy = "delete it, the run will be measured again"
        content = seals.from_json((folder / DONE).read_bytes(), folder / DONE, remedy)
        same = Config.from_dict(content["config"]) == cfg
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f"{folder / DONE}: not readable ({e}); delete it, the run will be measured again") from None
    if not same:
        raise UserError(f"{folder}: holds a run of another configuration; take another --out or delete the folder")
    return content


def work(jobs: dict, data_root: str | Path | None = None, threads: int = 1) -> int:
    """Trains what is left of the runs, folder -> configuration. Returns how many are in another process's hands."""
    busy = 0
    with bar("", len(jobs)) as progress:
        for done, (folder, job) in enumerate(jobs.items()):
            progress(done, what=f"{folder.parent.name} {folder.name}")
            if finished(folder, job):
                continue
            result = run(folder, job, data_root, threads)
            busy += result is None
            if result:
                value = "" if result["float_val"] is None else f"float {result['float_val']:.3f} "
                note(
                    f"{folder}: {value}integers {result['integer_val']:.3f} {result['uj']:.1f} uJ kept"
                    f" {result['kept']:.2f} synops {result['synops']:,.0f}"
                )
    return busy


def jobs_of(out: Path, cfg: Config, groups: dict, seeds: list[int]) -> dict:
    """Folder -> configuration of each run, seed after seed, so that an early table holds every variant.

    groups: group -> {label: (folder, entries that differ from `cfg`)}.
    """
    return {
        out / folder / f"seed{seed}": dataclasses.replace(cfg, **changed, seed=seed)
        for seed in seeds
        for labels in groups.values()
        for folder, changed in labels.values()
    }


def collect(out: Path, cfg: Config, groups: dict, seeds: list[int]) -> list:
    """Rows dict(group, variant, folder, seeds, runs=[numbers]) of what is finished, in the order of `groups` (see
    `jobs_of`); variants without a run are left out.
    """
    rows = []
    for group, labels in groups.items():
        for label, (folder, changes) in labels.items():
            runs = {s: finished(out / folder / f"seed{s}", dataclasses.replace(cfg, **changes, seed=s)) for s in seeds}
            runs = {s: r for s, r in runs.items() if r}
            if runs:
                row = {"group": group, "variant": label, "folder": folder}
                rows.append(row | {"seeds": list(runs), "runs": list(runs.values())})
    return rows


def parse_seeds(text: str) -> list[int]:
    """'5' -> 1 to 5, '4-6' -> 4, 5, 6, '1,3' -> 1, 3."""
    try:
        if "," in text or "-" not in text and not text.strip().isdigit():
            seeds = [int(part) for part in text.split(",") if part]
        elif "-" in text:
            first, last = map(int, text.split("-"))
            seeds = list(range(first, last + 1))
        else:
            seeds = list(range(1, int(text) + 1))
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0:
        raise UserError(f"--seeds {text}: expected a number (5), a range (4-6) or a list (1,3)")
    return seeds


def claim(out: Path, cfg: Config) -> None:
    """Makes OUT for this configuration. Raises `UserError` if it holds runs of another."""
    plan = out / PLAN
    own = dataclasses.replace(cfg, seed=0)
    with locks.in_turn(out, "begins a study", locks.STUDY, note):
        if not plan.exists():
            files.write(plan, seals.to_json(own.to_dict()))
            return
    try:
        there = Config.from_dict(seals.from_json(plan.read_bytes(), plan, "take another --out"))
    except seals.Damaged:
        raise
    except (ValueError, UserError) as e:
        raise UserError(f"{plan}: not readable ({e}); take another --out") from None
    other = [f.name for f in dataclasses.fields(own) if getattr(own, f.name) != getattr(there, f.name)]
    if other:
        raise UserError(f"{out}: holds runs of another configuration ({', '.join(other)} differ); take another --out")
