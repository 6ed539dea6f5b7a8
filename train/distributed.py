"""One run on several processes (torchrun): each takes its share of every batch, and all hold the same weights at every
step.

What is added up between the processes: the gradients (one sum of one flat vector a step), the statistics of the norms,
the rates by which synapses are removed, and the numbers that are shown. The first process alone reads checkpoints and
writes files. Without torchrun all of this does nothing.

The gradient is added up here rather than by torch's `DistributedDataParallel`, because which parameters train changes
with the phase (norms, then biases), which that wrapper does not take, and for a net of some hundred thousand weights
there is nothing to gain from sending parts early."""

# torch says of every attribute of a module that it may be a module itself.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportOperatorIssue=false, reportOptionalMemberAccess=false

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed.nn
from torch import distributed as dist
from torch import nn

from sim.base.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    Attributes:
        rank, size: its number and how many there are. local_size: how many of them share this machine.
        device: where it computes.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, items: Any) -> Any:
        """This process's part of a sequence; the first processes have one more where it does not divide."""
        n, more = divmod(len(items), self.size)
        start = self.rank * n + min(self.rank, more)
        return items[start : start + n + (self.rank < more)]

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place and returned; bit for bit the same on all of them."""
        if self.size > 1:
            there = tensor.to(self.device)
            dist.all_reduce(there)
            tensor.copy_(there)
        return tensor

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What the first process's `make()` returns, on all."""
        if self.size == 1:
            return make()
        with self.together():
            box = [make() if self.first else None]
        dist.broadcast_object_list(box, 0)
        return box[0]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around work that all processes do: a `UserError` of any of them ends all, and the first alone reports it."""
        error = None
        try:
            yield
        except UserError as e:
            if self.size == 1:
                raise
            error = str(e)
        if self.size > 1:
            errors = [None] * self.size
            dist.all_gather_object(errors, error)
            error = next((e for e in errors if e), None)
        if error and self.first:
            raise UserError(error)
        if error:
            self._leave()

    def _leave(self):
        """Ends this process after the first: torchrun ends all as soon as one has, and the first has something to
        say.
        """
        try:
            dist.barrier()
        except RuntimeError:
            pass
        sys.exit(2)

    def add_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        """Sums the gradients over the processes; a parameter that had none here counts as zero."""
        if self.size == 1:
            return
        flat = self.add(
            torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])
        )
        for p, g in zip(parameters, flat.split([p.numel() for p in parameters])):
            p.grad = g.view_as(p)

    def check_same(self, model: nn.Module) -> None:
        """RuntimeError if the model's state is not bit for bit that of the other processes."""
        if self.size == 1:
            return
        bits = torch.cat([t.to(self.device).double().flatten().view(torch.int64) for t in model.state_dict().values()])
        mine = torch.stack([bits.sum(), (bits * torch.arange(1, len(bits) + 1, device=bits.device)).sum()])
        low, high = mine.clone(), mine.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
        if not torch.equal(low, high):
            raise RuntimeError(
                "the processes of this run no longer hold the same weights, which is a defect of this program"
            )


ALONE = Ranks()


@contextmanager
def ranks() -> Iterator[Ranks]:
    """The processes that torchrun started, connected (gloo on CPUs, nccl on GPUs), or this one alone."""
    cuda = torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield Ranks(device="cuda" if cuda else "cpu")
        return
    local = int(os.environ["LOCAL_RANK"])
    if cuda:
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local} of this machine has no GPU of its own ({torch.cuda.device_count()} found); lower"
                " torchrun's --nproc-per-node"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Ranks(
            dist.get_rank(), size, int(os.environ.get("LOCAL_WORLD_SIZE", size)), f"cuda:{local}" if cuda else "cpu"
        )
    finally:
        dist.destroy_process_group()


class SharedNorm(nn.BatchNorm1d):
    """`BatchNorm1d` whose statistics are those of all processes' rows together. torch's `SyncBatchNorm` does the same,
    but on GPUs only; here both run the same code. Parameters and buffers are a `BatchNorm1d`'s."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(rows)
        rows, c = rows.float(), self.num_features
        # Sums in float64, so that one exchange is enough: the variance is a difference of large numbers.
        count = rows.new_full((1,), len(rows), dtype=torch.float64)
        sums = torch.cat([rows.sum(0, dtype=torch.float64), rows.double().square().sum(0), count])
        sums = dist.nn.functional.all_reduce(sums)
        n = sums[2 * c].detach()
        mean = sums[:c] / n
        var = (sums[c : 2 * c] / n - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.float(), momentum)
            self.running_var.lerp_((var * n / (n - 1)).float(), momentum)
        self.seen = mean.detach().float(), var.detach().float()
        factor = self.weight / torch.sqrt(var + self.eps).float()
        return (rows - mean.float()) * factor + self.bias


def share_norms(model: nn.Module) -> None:
    """Every norm of a model becomes a `SharedNorm` with the same parameters and buffers."""
    for layer in model.layers():
        new = SharedNorm(layer.norm.num_features, eps=layer.norm.eps, momentum=layer.norm.momentum)
        new.weight, new.bias = layer.norm.weight, layer.norm.bias
        for name, buffer in layer.norm.named_buffers():
            setattr(new, name, buffer)
        layer.norm = new
