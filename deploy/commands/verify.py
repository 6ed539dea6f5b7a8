"""`python -m deploy verify`: do all executors agree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sim.base.console import add_row, bar, data_root_option, new_table, note, print_json, show
from sim.base.errors import UserError

from .html import html_option, write_verify
from .options import NET_HELP, access, loihi2_options, net_path, only

if TYPE_CHECKING:  # a command that is refused imports nothing heavy
    from ..verify.results import Verification


@click.command(
    epilog=(
        "Example: python -m deploy verify runs/digits-tiny/model.net --samples 3, or --dataset digits, or --random 30"
        " without a net"
    )
)
@click.argument("path", metavar="[NET]", required=False)
@click.option("--net", "option", default=None, help=NET_HELP)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=None,
    help="Golden ones first, then an empty one, all ones, random ones; default: the golden ones.",
)
@click.option(
    "--input",
    "input_file",
    default=None,
    metavar="X.npy",
    help="For a net that SLAYER or NIR made: compare on this array, [samples, steps, ...] or [steps, ...].",
)
@click.option(
    "--dataset",
    default=None,
    help="Compare on the recordings of this data set: engine and step function on all, Lava on some.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default=None,
    help="With --dataset: which part; default: test.",
)
@data_root_option
@click.option("--limit", type=click.IntRange(1), default=None, help="With --dataset: only the first so many samples.")
@click.option(
    "--lava-samples",
    type=click.IntRange(0),
    default=None,
    help="With --dataset: how many of them in Lava, or on the chip; default: 4.",
)
@click.option(
    "--random",
    "random_nets",
    type=click.IntRange(1),
    default=None,
    help="Compare on so many random nets, without NET; Lava's models run as threads.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=None, help="With --random: seed of the first of them; default: 0."
)
@click.option(
    "--executors",
    default=None,
    help="Which to compare, of engine,fused,stock,loihi2; default: engine,fused,stock; with --dataset engine,fused."
    " For a net that SLAYER or NIR made: of engine,steps,stock,netx; default: all that run it.",
)
@click.option(
    "--backend", type=click.Choice(["sim", "loihi2"]), default=None, help="loihi2: short for --executors engine,loihi2."
)
@click.option(
    "--threads", is_flag=True, help="Lava's process models as threads of one process: faster, without Lava's runtime."
)
@loihi2_options
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=None, help="End a simulation after so many seconds."
)
@html_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(
    path: str | None,
    option: str | None,
    samples: int | None,
    input_file: str | None,
    dataset: str,
    split: str | None,
    data_root: str | None,
    limit: int | None,
    lava_samples: int | None,
    random_nets: int | None,
    seed: int,
    executors: str | None,
    backend: str | None,
    threads: bool,
    partition: str | None,
    board: str | None,
    host: str | None,
    timeout: float | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Prove that the integer engine, the fused and the stock Lava net agree with the file and each other, at every
    layer, step and neuron.

    The first difference is shown with what led to it. Exit code 0 if they agree, 1 if they do not.
    """
    if executors and backend:
        raise UserError("--backend is short for --executors: name one of the two")
    usual = (
        "engine,loihi2"
        if backend == "loihi2"
        else "engine,fused"
        if dataset
        else "engine,stock"
        if random_nets
        else "engine,fused,stock"
    )
    chosen = tuple(e.strip() for e in (executors or usual).split(","))
    on_chip = "loihi2" in chosen
    only(on_chip, "the executor loihi2", partition=partition, board=board, host=host)
    only(dataset is not None, "--dataset", split=split, data_root=data_root, limit=limit, lava_samples=lava_samples)
    only(random_nets is not None, "--random", seed=seed)
    only(random_nets is None, "a net", html=html)
    if (samples is not None) + (dataset is not None) + (random_nets is not None) > 1:
        raise UserError("--samples, --dataset and --random exclude each other")
    if random_nets and (path or option or on_chip):
        raise UserError("--random makes its own nets and runs in the simulator: leave NET and loihi2 out")
    chip = _chip(partition, board, host, timeout) if on_chip else None
    if random_nets:
        from ..verify.many import verify_random

        with bar("comparing", random_nets) as progress:
            result = verify_random(random_nets, seed or 0, chosen, timeout, lambda what, done, total: progress(done))
    elif dataset:
        from ..verify.many import LAVA_SAMPLES, verify_dataset

        path = net_path(path, option)
        with bar(path, None) as progress:
            result = verify_dataset(
                path,
                dataset,
                split or "test",
                data_root,
                limit,
                LAVA_SAMPLES if lava_samples is None else lava_samples,
                chosen,
                threads,
                timeout,
                lambda what, done, total: progress(done, total, f"{path}: {what}"),
                chip,
            )
    else:
        path = net_path(path, option)
        result = _verify_file(path, input_file, samples, executors, chosen, threads, timeout, chip)
    write_verify(html, path, result)
    if as_json:
        print_json(result.to_json())
    else:
        _print_verify(result)
    sys.exit(0 if result else 1)


def _chip(partition, board, host, timeout):
    found = access(partition, board, host)
    from ..loihi2.run import Chip

    return Chip(found, timeout_s=timeout)


def _verify_file(path, input_file, samples, executors, chosen, threads, timeout, chip):
    """On what the file carries, on made-up samples, or on the user's."""
    from sim import netx
    from sim.net import Net

    say = lambda text: note(f"running: {text}")  # noqa: E731
    net = netx.load(path)
    if isinstance(net, Net):
        from ..verify import verify as compare

        only(False, "a net that SLAYER or NIR made", input=input_file)
        return compare(path, samples, chosen, threads, timeout_s=timeout, progress=say, chip=chip)
    from .. import arrays
    from ..verify.chain import verify_chain

    if chip:
        raise UserError("the executor loihi2 runs our own nets only; leave it out")
    x = None if input_file is None else arrays.load_input(input_file, net)
    return verify_chain(path, net, x, samples, chosen if executors else None, threads, timeout, say)


def _print_verify(r: Verification):
    table = new_table(f"{r.net}: {' = '.join(r.executors)}", "samples", "values compared", "differences", left=0)
    samples = f"{r.samples} ({', '.join(sorted(set(r.inputs)))})"
    add_row(table, samples, f"{r.compared:,}", f"{r.differences:,}")
    show(table)
    from sim.compare.history import lines

    from ..verify.results import ChainVerification, ScaleVerification

    if r.first_difference:
        show(f"first difference: {r.first_difference}")
        for line in lines(r.first_difference.history):
            show(line)
    if isinstance(r, ChainVerification):
        for name, reason in r.left_out.items():
            show(f"not compared with {name}: {reason}")
        for line in r.notes:
            show(line)
    if isinstance(r, ScaleVerification):
        for name, steps in r.neuron_steps.items():
            spent = r.seconds[name]
            show(f"{name}: {steps:,} neuron-steps in {spent:.1f} s, {steps / max(spent, 1e-9):,.0f} per second")
