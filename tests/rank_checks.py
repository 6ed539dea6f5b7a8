"""Run by torchrun, or alone: `python rank_checks.py FOLDER`. Gradients, norms and masks of one batch, written
to FOLDER/<rank>.pt for `test_train_distributed`.
"""

import dataclasses
import sys
from pathlib import Path

import torch
from trees import SMALL

from sim import prices
from sim.base.errors import UserError
from train import distributed
from train.data.batches import chunks
from train.dynamics import set_threads
from train.model.smolmamba import SmolMamba
from train.run.epoch import Energy, backward
from train.sparse.fold import reestimate_norms, to_integers

set_threads(1)
SMALL = dataclasses.replace(SMALL, sparsity=0.5)
encoder = SMALL.make_encoder()
random = torch.Generator().manual_seed(3)
frames = torch.rand(45, encoder.frames, 2, *encoder.frame_shape, generator=random) < 0.15
x = encoder.streams(frames.to(torch.uint8).numpy())  # 45: no rank has as many as another
y = torch.randint(0, 10, (45,), generator=random)


def fresh(ranks):
    torch.manual_seed(1)
    model = SmolMamba(SMALL, encoder, 10).train()
    if ranks.size > 1:
        distributed.share_norms(model)
    return model


def gradients(model, ranks, exact, accumulate):
    """Name -> gradient of the batch of all 45 samples; and [loss, hits, kept, rate]."""
    model.zero_grad()
    cfg = dataclasses.replace(SMALL, accumulate=accumulate)
    energy = Energy(prices.load(prices.USUAL), torch.tensor(0.1))
    mine = list(ranks.share(range(45)))
    sums = ranks.add(torch.tensor(backward(model, x[mine], y[mine], 45, cfg, exact, "cpu", energy)))
    ranks.add_gradients([p for p in model.parameters() if p.requires_grad])
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, sums


with distributed.ranks() as ranks:
    out = {}
    out["float"], out["float sums"] = gradients(fresh(ranks), ranks, False, 1)
    model = fresh(ranks)
    parts = [ranks.share(part) for part in chunks(range(45), 16, ranks.size)]
    reestimate_norms(model, x[[i for part in parts for i in part]], [len(part) for part in parts], "cpu")
    out["norms"] = {name: t for name, t in model.state_dict().items() if "running" in name}
    model = fresh(ranks)
    to_integers(model, x[list(ranks.share(range(45)))], "cpu", ranks)
    model.train()
    out["masks"] = {name: t for name, t in model.state_dict().items() if "mask" in name}
    for accumulate in (1, 3):
        out[f"integer {accumulate}"], out[f"integer sums {accumulate}"] = gradients(model, ranks, True, accumulate)

    out["noticed"] = False
    if ranks.size > 1:
        ranks.check_same(model)
        if not ranks.first:
            with torch.no_grad():
                model.readout["f"].weight.view(-1)[0] += 1e-6
        try:
            ranks.check_same(model)
        except RuntimeError:
            out["noticed"] = True
        out["from_first"] = ranks.from_first(lambda: {"a": [1, 2]})
        try:
            with ranks.together():
                if not ranks.first:
                    raise UserError("the second process has a complaint")
        except (UserError, SystemExit) as e:
            out["together"] = str(e)
    torch.save(out, Path(sys.argv[1], f"{ranks.rank}.pt"))
