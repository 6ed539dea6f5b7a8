"""`python -m train`: trains a model. Example: `python -m train --dataset digits --preset tiny`."""

import importlib
import json
import sys
from functools import partial

import click

import events
from sim.errors import UserError, run_command

from .config import PRESETS, Config, preset


@click.command(epilog="Example: python -m train --dataset nmnist --data-root data --preset small")
@click.option("--dataset", default="digits", show_default=True, help="Name in the data registry.")
@click.option("--preset", "preset_name", default="tiny", show_default=True, help=f"One of {', '.join(PRESETS)}.")
@click.option("--data-root", default=None, help="Folder with the data set; default: $DATA_ROOT, then ./data.")
@click.option("--name", default=None, help="Run folder under runs/; default: DATASET-PRESET.")
@click.option("--seed", type=int, default=None, help="Seed of weights, order and augmentation.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Changes an entry of the configuration; VALUE is JSON. May be repeated.")
@click.option("--fresh", is_flag=True, help="Start anew although the run folder holds a checkpoint (which is kept until overwritten).")
@click.option("--threads", type=int, default=None, help="Torch and kernel threads; default: the number of cores.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def main(dataset, preset_name, data_root, name, seed, changes, fresh, threads, as_json):
    """Train Vision SmolMamba on DATASET; resumes where runs/NAME holds a checkpoint. Writes runs/NAME/model.pt.

    Other commands: python -m train ablate, energy, spikformer (each with --help).
    """
    values = _changes(changes)
    if seed is not None:
        values["seed"] = seed
    values.setdefault("encoder", events.default_encoder(dataset, data_root).settings())
    cfg = preset(preset_name, dataset=dataset)
    cfg = Config.from_dict(cfg.to_dict() | values)
    from .loop import train
    run_dir = f"runs/{name or f'{dataset}-{preset_name}'}"
    facts = train(cfg, run_dir, data_root, resume=not fresh, threads=threads)
    if as_json:
        print(json.dumps(facts | {"run": run_dir}))
    else:
        integer = f", integer {facts['best_val']:.3f} (epoch {facts['best_epoch']}), kept share {facts['kept']:.2f}" if facts["best_epoch"] >= 0 else ""
        print(f"{run_dir}/model.pt: validation accuracy" + (f" float {facts['float_val']:.3f}" if "float_val" in facts else "") + integer)


def _changes(items):
    out = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--set {item}: expected KEY=VALUE")
        try:
            out[key] = json.loads(text)
        except json.JSONDecodeError:
            out[key] = text
        if isinstance(out[key], list):
            out[key] = tuple(out[key])
    return out


COMMANDS = {"ablate": "train.ablate", "energy": "train.energy", "spikformer": "train.spikformer_train"}

if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else None
    if word in COMMANDS:
        del sys.argv[1]
        run_command(partial(importlib.import_module(COMMANDS[word]).main, prog_name=f"python -m train {word}"))
    else:
        run_command(main)
