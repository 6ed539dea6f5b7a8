"""`python -m train`: trains a model. Example: `python -m train --dataset digits --preset tiny`."""

import sim.base.start  # noqa: F401  # isort: skip

import json
import os
import time

import click

import events
from events.commands import clip_options
from sim.base.command import run_command
from sim.base.console import data_root_option, print_json, say
from sim.base.errors import UserError
from sim.base.lazy import LazyGroup

from .config import PRESETS, Config, preset

COMMANDS = {
    "ablate": ("train.studies.ablate:main", "The net without, or with another kind of, each of its parts."),
    "curve": ("train.studies.curve:main", "Accuracy against energy: one run for each target."),
    "energy": ("train.studies.energy:main", "Operations and energy as the literature counts them."),
    "spikformer": ("train.studies.spikformer_train:main", "Train the spiking transformer to compare with."),
}


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND [ARGS]...]",
    epilog="Example: python -m train --dataset nmnist --data-root data --preset small",
)
@click.option("--dataset", default="digits", show_default=True, help="Name in the data registry.")
@click.option("--preset", "preset_name", default="tiny", show_default=True, help=f"One of {', '.join(PRESETS)}.")
@data_root_option
@clip_options
@click.option("--name", default=None, help="Run folder under runs/; default: DATASET-PRESET.")
@click.option("--seed", type=int, default=None, help="Seed of weights, order and augmentation.")
@click.option(
    "--epochs",
    type=click.IntRange(0),
    default=None,
    help="Epochs of both phases, in the preset's proportion; 0 trains nothing and evaluates the run's model.pt.",
)
@click.option(
    "--accumulate",
    type=int,
    default=None,
    help="Parts that a batch is cut into to save memory; the optimiser's steps stay the same.",
)
@click.option("--amp", is_flag=True, help="Mixed precision; the integer phase's forward pass stays exact.")
@click.option(
    "--patience",
    type=int,
    default=None,
    help="End after so many integer epochs without a better net; 0, the default: never.",
)
@click.option(
    "--energy-uj",
    type=float,
    default=None,
    help="Microjoules that a sample may cost on the chip, by the table of prices; training steers to it. 0: no target.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Changes an entry of the configuration; VALUE is JSON. May be repeated.",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Start anew although the run folder holds a checkpoint (which is kept until overwritten).",
)
@click.option(
    "--save-minutes",
    type=click.FloatRange(0),
    default=None,
    help="Save the state within an epoch, too, every so many minutes.",
)
@click.option(
    "--tensorboard", is_flag=True, help="Log for TensorBoard, too, into the run folder (needs the package tensorboard)."
)
@click.option(
    "--skip-bad", is_flag=True, help="Leave out recordings whose files are broken, instead of ending with their name."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="With --epochs 0: the part to evaluate on.",
)
@click.option(
    "--loaders",
    type=click.IntRange(1),
    default=None,
    help="Threads that read and augment batches ahead; default: 2, on a GPU the process's cores, 16 at most.",
)
@click.option("--threads", type=int, default=None, help="Torch and kernel threads; default: the number of cores.")
@click.option(
    "--graph/--no-graph",
    default=True,
    show_default=True,
    help="On a GPU, record a step as a CUDA graph and replay it: the same numbers, sooner.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
@click.pass_context
def main(
    context: click.Context,
    dataset: str,
    preset_name: str,
    data_root: str | None,
    clip_ms: float | None,
    stride_ms: float | None,
    name: str | None,
    seed: int,
    epochs: int | None,
    accumulate: int | None,
    amp: bool,
    patience: int | None,
    energy_uj: float | None,
    changes: tuple[str, ...],
    fresh: bool,
    save_minutes: float | None,
    tensorboard: bool,
    skip_bad: bool,
    split: str | None,
    loaders: int | None,
    threads: int | None,
    graph: bool,
    as_json: bool,
) -> None:
    """Train Vision SmolMamba on DATASET; resumes where runs/NAME holds a checkpoint. Writes runs/NAME/model.pt.

    Several processes: torchrun --nproc-per-node 2 -m train, with the same options (docs/training.md). With a COMMAND
    it does that instead.
    """
    if context.invoked_subcommand:
        return
    run_dir = f"runs/{name or f'{dataset}-{preset_name}'.replace(':', '-')}"
    dataset = events.with_clips(dataset, clip_ms, stride_ms)
    try:
        values = {
            key: value
            for key, value in dict(
                seed=seed, accumulate=accumulate, amp=amp or None, patience=patience, energy_uj=energy_uj
            ).items()
            if value is not None
        }
        cfg = _config(preset(preset_name, dataset=dataset), _changes(changes), values, epochs, dataset, data_root)
    except UserError:
        if _first():
            raise
        time.sleep(60)  # the first process says so, and when it has ended torchrun ends this one
        raise
    if cfg.float_epochs + cfg.exact_epochs == 0:
        if _first():
            _evaluate(run_dir, dataset, split, data_root, skip_bad, as_json)
        return
    from .run.loop import train

    facts = train(
        cfg,
        run_dir,
        data_root,
        resume=not fresh,
        threads=threads,
        loaders=loaders,
        save_minutes=save_minutes,
        tensorboard=tensorboard,
        skip_bad=skip_bad,
        graph=graph,
    )
    if not _first():
        return
    if as_json:
        print_json(facts | {"run": run_dir})
    else:
        for line in _report(run_dir, facts, cfg):
            say(line)


def _report(run_dir, facts, cfg) -> list[str]:
    """What is said of a run that has ended, in lines."""
    text = f"{run_dir}/model.pt: validation accuracy"
    if "float_val" in facts:
        text += f" float {facts['float_val']:.3f}"
    if facts["best_epoch"] >= 0:
        text += (
            f", integer {facts['best_val']:.3f} (epoch {facts['best_epoch']}), share of tokens sent"
            f" {facts['kept']:.2f}, {facts['uj']:.1f} uJ a sample by {facts['prices']}"
        )
    out = [text]
    if cfg.energy_uj and facts["best_epoch"] >= 0 and facts["uj"] > cfg.energy_uj:
        out.append(
            f"the target of {cfg.energy_uj:g} uJ was not reached: this is the integer epoch that came nearest"
            " (log.jsonl has all of them); train longer, send fewer tokens (share), or take a smaller net"
        )
    if "removed" in facts:
        out.append("synapses removed: " + ", ".join(f"{share:.0%} of {k}" for k, share in facts["removed"].items()))
    if "stopped_early" in facts:
        out.append(f"stopped after epoch {facts['stopped_early']}: {cfg.patience} epochs without a better net")
    if "skipped" in facts:
        out.append(f"{facts['skipped']} broken recordings left out")
    return out


def _first():
    """Whether this is the first of torchrun's processes, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


def _config(base, changes, values, epochs, dataset, data_root):
    """The preset with `values` (options of their own), `changes` (--set) and the number of epochs put in."""
    twice = sorted(set(changes) & set(values)) + [
        key for key in ("float_epochs", "exact_epochs") if key in changes and epochs
    ]
    if twice:
        raise UserError(f"--set {twice[0]}: given by another option, too; leave one of them out")
    if epochs is not None:
        values |= dict(zip(("float_epochs", "exact_epochs"), _share_epochs(epochs, base)))
    parts = {key: changes.pop(key) for key in list(changes) if key.startswith("encoder.")}
    if "encoder" not in changes and epochs != 0:
        values["encoder"] = events.default_encoder(dataset, data_root).settings()
        values["encoder"] |= {key.removeprefix("encoder."): value for key, value in parts.items()}
    elif parts:
        raise UserError(f"--set {next(iter(parts))}: given together with encoder or --epochs 0; leave it out")
    cfg = Config.from_dict(base.to_dict() | changes | values)
    cfg.make_encoder()
    return cfg


def _share_epochs(epochs, base):
    """(float, integer) epochs in the preset's proportion, of two or more at least one each."""
    exact = round(epochs * base.exact_epochs / (base.float_epochs + base.exact_epochs))
    exact = min(max(exact, 1), epochs - 1) if epochs > 1 else 0
    return epochs - exact, exact


def _evaluate(run_dir, dataset, split, data_root, skip_bad, as_json):
    from .evaluate import evaluate

    out = evaluate(run_dir, dataset, split, data_root, skip_bad)
    if as_json:
        print_json(out)
        return
    for name in ("integer", "float"):
        if out[name]:
            low, high = out[name]["interval"]
            say(
                f"{out['model']} on {dataset}, {split}: {name} {out[name]['value']:.1%}, {out[name]['hits']} of"
                f" {out['n']}, interval {low:.1%} to {high:.1%}"
            )
        else:
            say(f"{out['model']}: a model of the float phase, without integers yet")
    if skip_bad:
        say(f"{len(out['skipped'])} broken recordings left out")


def _changes(items):
    out = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--set {item}: expected KEY=VALUE")
        try:
            out[key] = json.loads(text)
        except (ValueError, RecursionError):  # numbers of thousands of digits, and brackets, too
            out[key] = text
        if isinstance(out[key], list):
            out[key] = tuple(out[key])
    return out


if __name__ == "__main__":
    run_command(main)
