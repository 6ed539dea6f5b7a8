"""What can be said of a net before there is a chip: executors agree, it fits, it costs."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

from sim import netx
from sim.net import Net as Core

from .nets import Net, Samples, as_net, encode

if TYPE_CHECKING:
    from deploy.chip.results import ChipPlan
    from deploy.verify.results import Verification


def verify(
    net: Net | Core | str | os.PathLike,
    samples: int | None = None,
    executors: tuple[str, ...] = ("engine", "fused", "stock"),
    threads: bool = False,
    timeout_s: float | None = None,
) -> Verification:
    """Compares the executors on the net's golden samples, or on `samples` samples (golden ones first, then an empty
    one, one of all ones, random ones).

    Args:
        threads, timeout_s: as of `smolmamba.simulate`.

    Returns:
        Verification: true if all agree, else with the `first_difference`; `to_json()` is what `smolmamba deploy verify
            --json` prints.

    Raises:
        UserError: the net, or an unknown executor. SimulationError: Lava ended before its time.
    """
    from deploy.verify import verify as compare

    net = as_net(net)
    if net.path is not None:
        return compare(net.path, samples, executors, threads, timeout_s=timeout_s)
    with tempfile.TemporaryDirectory() as folder:
        netx.write(net.core, f"{folder}/model.net")
        found = compare(f"{folder}/model.net", samples, executors, threads, timeout_s=timeout_s)
    return replace(found, net=repr(net.core))


def plan(
    net: Net | Core | str | os.PathLike,
    board: str = "oheo-gulch",
    samples: Samples | None = None,
    packing: str = "separate",
    tables: tuple[str, ...] = ("loihi1-davies2018", "cmos-45nm"),
) -> ChipPlan:
    """Plans a net on a board: neurocores, memory, the bottleneck, and, on samples, operations, energy and time.

    Args:
        board: loihi1, oheo-gulch, kapoho-point, hala-point, or a .toml file of one's own.
        samples: as of `smolmamba.encode`; default: the golden sample of the file, else no cost.
        packing: `separate`, as Lava's compiler places, or `shared`.
        tables: prices per operation: names, or files of one's own.

    Returns:
        ChipPlan: `fits`, or the `reason` why not, `sizes`, `layers`, `placed`, `costs`; `to_json()` is what
            `smolmamba deploy plan --json` prints.

    Raises:
        UserError: the net, the board or a table.
    """
    from deploy.chip.board import load as load_board
    from deploy.chip.plan import plan as place

    net = as_net(net)
    x, data = (None, None) if samples is None else (encode(net, samples), "samples")
    if samples is None and net.path is not None:
        golden = netx.read_golden(net.path)
        x, data = (None, None) if golden is None else (golden.stream, "golden input of the file")
    return place(net.core, load_board(board), packing, x, data, tables)
