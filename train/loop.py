"""The training loop, from top to bottom.

Two phases. First float: norms, dynamics without rounding; SST-TP by top-k, from `gate_from` on by fixed gates calibrated after each epoch. Then
the norms are folded, and the rest of the epochs run the chip's integers forward (quantization-aware, straight-through backward).
After each epoch a complete state is written; a killed run goes on from there with the same numbers.
"""

import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional as F

import events
from sim.errors import UserError

from . import checkpoint, pruning
from .augment import augment
from .dynamics import set_threads
from .model import SmolMamba


def train(cfg, run_dir, data_root=None, resume=True, quiet=False, threads=None):
    """Trains a model as `cfg` says and writes `model.pt` (best on validation), `float.pt`, `last.pt` and `log.jsonl` into `run_dir`.

    Returns the facts that are stored with the model. Raises `UserError` for missing data or a run folder of another configuration.
    """
    run_dir = Path(run_dir)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_flush_denormal(True)
    set_threads(threads or os.cpu_count())
    console = Console(stderr=True, quiet=quiet)

    train_set, val_set = (events.load(cfg.dataset, split, data_root) for split in ("train", "val"))
    encoder = events.Encoder(**cfg.encoder)
    x_train, y_train = encoder.encode_all(train_set.events), torch.from_numpy(train_set.labels)
    x_val, y_val = encoder.encode_all(val_set.events), torch.from_numpy(val_set.labels)

    run_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(cfg.seed)
    model = SmolMamba(cfg, encoder, len(train_set.classes)).to(device)
    facts = {"dataset": cfg.dataset, "seed": cfg.seed, "n_train": len(train_set), "n_val": len(val_set), "device": device,
             "parameters": sum(p.numel() for p in model.parameters()), "best_val": -1.0, "best_epoch": -1, "seconds": 0.0}
    optimizer, start, total = None, 0, cfg.float_epochs + cfg.exact_epochs
    last = run_dir / "last.pt"
    if resume and last.exists():
        model, facts, optimizer, start = _resume(last, cfg, device, console)
    log = run_dir / "log.jsonl"
    _cut_log(log, start)

    steps = math.ceil(len(train_set) / cfg.batch)
    with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("training", total=total * steps, completed=start * steps, state="")
        for epoch in range(start, total):
            began = time.time()
            exact = epoch >= cfg.float_epochs
            if exact and not model.folded:
                to_integers(model, x_train, cfg, device)
                optimizer = None
            if optimizer is None:
                optimizer = _optimizer(model, cfg.exact_lr if exact else cfg.lr, cfg.weight_decay)
            model.train()
            losses, hits, seen = [], 0, {}
            for step, (x, y) in enumerate(_batches(train_set, encoder, cfg, epoch)):
                _set_lr(optimizer, cfg, epoch + step / steps)
                x, y = to_stream(x, device), y.to(device)
                logits = model(x, exact=exact)
                loss = F.cross_entropy(logits, y, label_smoothing=cfg.label_smoothing)
                if not torch.isfinite(loss):
                    raise UserError(f"{run_dir}: the loss is {float(loss.detach())} in epoch {epoch + 1}; start again with a smaller lr (--set lr=...)")
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
                optimizer.step()
                losses.append(float(loss.detach()))
                hits += int((logits.detach().argmax(1) == y).sum())
                for gate, spikes in model.gate_inputs.items():
                    seen.setdefault(gate, []).append(pruning.counts(spikes, model.n_tokens).cpu())
                kept, rate = _kept(model), np.mean([layer.rate for layer in model.layers()])
                progress.update(bar, advance=1, description=f"epoch {epoch + 1}/{total} {'integer' if exact else 'float'}",
                                state=f"loss {np.mean(losses):.3f} kept {kept:.2f} rate {rate:.3f}")
            if cfg.gate_from * cfg.float_epochs <= epoch + 1 <= cfg.float_epochs + cfg.exact_epochs // 2:     # then the thresholds hold still
                for (tower, block), c in seen.items():
                    model.set_threshold(tower, block, pruning.calibrate(pruning.histogram(torch.cat(c)), cfg.keep[block]))
            if not exact:
                _reestimate_norms(model, x_train, cfg, device)
            val = accuracy(model, x_val, y_val, exact, cfg.batch, device)
            facts["seconds"] += time.time() - began
            row = {"epoch": epoch + 1, "phase": "integer" if exact else "float", "loss": float(np.mean(losses)), "train": hits / len(train_set),
                   "val": val, "kept": kept, "rate": float(rate), "seconds": round(time.time() - began, 2)}
            with open(log, "a") as file:
                file.write(json.dumps(row) + "\n")
            progress.console.print(f"epoch {epoch + 1:3d} {row['phase']:7s} loss {row['loss']:.3f} train {row['train']:.3f} val {val:.3f} "
                                   f"kept {kept:.2f} rate {row['rate']:.3f} {row['seconds']:.1f} s", highlight=False)
            if epoch + 1 == cfg.float_epochs:
                facts["float_val"] = val
                checkpoint.save(run_dir / "float.pt", model, train_set.classes, facts)
            if exact and val >= facts["best_val"]:
                facts |= {"best_val": val, "best_epoch": epoch + 1, "kept": kept}
                checkpoint.save(run_dir / "model.pt", model, train_set.classes, facts)
            checkpoint.save(last, model, train_set.classes, facts, loop={"epoch": epoch + 1, "optimizer": optimizer.state_dict()})
    if facts["best_epoch"] < 0:                 # no integer epoch: the float model, which export folds and calibrates
        checkpoint.save(run_dir / "model.pt", model, train_set.classes, facts)
    return facts


def _resume(last, cfg, device, console):
    model, content = checkpoint.load(last)
    if model.cfg != cfg:                    # not the stored dictionary: it lacks entries that came later, with their defaults
        changed = [k for k, v in cfg.to_dict().items() if getattr(model.cfg, k) != v]
        raise UserError(f"{last.parent}: holds a run with another configuration ({', '.join(changed)} differ); take another --name or delete the folder")
    if "loop" not in content:
        raise UserError(f"{last}: holds a model but no state of a training run; delete it or train with --fresh")
    model.to(device)
    start = content["loop"]["epoch"]
    optimizer = _optimizer(model, cfg.lr, cfg.weight_decay)
    optimizer.load_state_dict(content["loop"]["optimizer"])
    console.print(f"going on from epoch {start} of {last}")
    return model, content["facts"], optimizer, start


def _cut_log(log, epochs):
    """Leaves the rows of the first `epochs` epochs: those that a killed run has logged but not saved come again."""
    rows = log.read_text().splitlines()[:epochs] if log.exists() else []
    temporary = log.with_suffix(".tmp")
    temporary.write_text("".join(row + "\n" for row in rows))
    os.replace(temporary, log)


def _optimizer(model, lr, weight_decay):
    """AdamW; no weight decay on norms, biases and skips."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
              {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    for group in optimizer.param_groups:
        group["base_lr"] = lr
    return optimizer


def _set_lr(optimizer, cfg, epoch):
    """Warm-up and cosine over the float phase, cosine over the integer phase. `epoch` counts in fractions."""
    if epoch < cfg.float_epochs:
        warm = cfg.warmup * cfg.float_epochs
        factor = min(1.0, (epoch + 0.05) / warm if warm else 1.0) * 0.5 * (1 + math.cos(math.pi * epoch / cfg.float_epochs))
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (epoch - cfg.float_epochs) / cfg.exact_epochs))
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * max(factor, 0.01)


def _batches(recordings, encoder, cfg, epoch):
    """Shuffled, augmented batches (token spikes uint8 [B, T*N, C], labels), prepared one ahead; the same for the same seed and epoch."""
    order = np.random.default_rng((cfg.seed, epoch)).permutation(len(recordings))
    chunks = [order[i:i + cfg.batch] for i in range(0, len(order), cfg.batch)]

    def make(i):
        rng = np.random.default_rng((cfg.seed, epoch, i))
        batch = [augment(recordings.events[j], recordings.height, recordings.width, cfg, rng) for j in chunks[i]]
        return encoder.encode_all(batch), torch.from_numpy(recordings.labels[chunks[i]])

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(make, 0)
        for i in range(len(chunks)):
            ready = ahead.result()
            ahead = pool.submit(make, i + 1) if i + 1 < len(chunks) else None
            yield ready


def to_stream(x, device):
    """uint8 [B, K, C] -> float [B, C, K], channels-last."""
    return torch.from_numpy(x).to(device).float().transpose(1, 2)


def _kept(model):
    return float(np.mean(list(model.kept.values()))) if model.kept else 1.0


@torch.no_grad()
def _reestimate_norms(model, x, cfg, device):
    """Statistics of the norms over the whole training set: lagging averages are far off in a net of binary activations."""
    norms = [layer.norm for layer in model.layers()]
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for i in range(0, len(x), cfg.batch):
        model(to_stream(x[i:i + cfg.batch], device))
    for norm in norms:
        norm.momentum = 0.1
    model.eval()


@torch.no_grad()
def to_integers(model, x, cfg, device):
    """Folds the norms, then sets the gates' thresholds on the training set, block after block: a gate sees what the earlier gates leave."""
    model.eval()
    model.fold()
    for block in range(cfg.blocks if pruning.has_gate(cfg) else 0):
        seen = {t: [] for t in model.towers}
        for i in range(0, len(x), cfg.batch):
            model(to_stream(x[i:i + cfg.batch], device), exact=True)
            for t in model.towers:
                seen[t].append(pruning.counts(model.gate_inputs[t, block], model.n_tokens))
        for t in model.towers:
            model.set_threshold(t, block, pruning.calibrate(pruning.histogram(torch.cat(seen[t]).cpu()), cfg.keep[block]))


@torch.no_grad()
def predict(model, x, exact, batch=64, device="cpu"):
    """Class scores for token spikes uint8 [n, K, C]."""
    model.eval()
    return torch.cat([model(to_stream(x[i:i + batch], device), exact=exact).cpu() for i in range(0, len(x), batch)])


def accuracy(model, x, y, exact, batch=64, device="cpu"):
    """Share of right predictions."""
    return float((predict(model, x, exact, batch, device).argmax(1) == y).double().mean())
