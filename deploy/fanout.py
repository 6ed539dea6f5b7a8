"""Runs batches on the workers of an existing Dask scheduler, by the integer engine. Optional: needs the extra
`cluster`.

Dask's `distributed`, not Ray, because it is two pure Python wheels of 2.5 MB where Ray is one of 79 MB for each
platform and Python, and because it runs on whatever scheduler a site has already (SLURM, Kubernetes, SSH). Client and
workers send each other pickled Python: use a scheduler that you trust as you trust a shell. The workers need this
package, in the same version, and nothing else of ours: no data, no file of the net."""

import gc
import threading
from collections.abc import Callable
from typing import Any

from sim import engine
from sim.base.errors import UserError
from sim.net import Net
from sim.net.tokens import Stream

CONNECT_S = 10
RETRIES = 3  # of a batch that raises; one whose worker is lost goes to another worker without being asked for
_one_at_a_time = threading.Lock()  # numba's threads serve one caller at a time, and a worker may have several threads


def missing() -> bool:
    """Whether the extra is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        return True
    return False


def run_part(net: Net, encode: Callable[[Any], Stream], items: Any) -> engine.Result:
    """On a worker: `sim.engine.Result` without traces."""
    stream = encode(items)
    with _one_at_a_time:
        return engine.run(net, stream)


def run_parts(
    net: Net,
    samples: Any,
    parts: list[tuple[int, int]],
    address: str,
    progress: Callable[..., object] | None = None,
) -> list[engine.Result]:
    """Runs parts of some samples on a cluster.

    Args:
        net: `sim.net.Net`. samples: `deploy.samples.Samples`.
        parts: list of (begin, end).
        address: of the scheduler, as `tcp://host:8786`.
        progress: called with the number of samples done.

    Returns:
        list of `sim.engine.Result` in the order of `parts`, the same as the engine gives here.

    Raises:
        UserError: the extra is not installed; no scheduler there, or none with workers; the workers cannot run the
            batches.
    """
    if missing():
        raise UserError(
            "--scheduler needs Dask, which is not installed: pip install 'distributed>=2024.1', or this package with"
            " its extra [cluster]"
        )
    from distributed import Client, as_completed

    client, problem = None, ""
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as e:
        problem = str(e).splitlines()[0][:120]
    if client is None:
        # closes the client that failed: Dask does so whenever it is collected, and if that is while another one starts,
        # both wait for ever
        gc.collect()
        raise UserError(f"no Dask scheduler answers at {address!r} within {CONNECT_S} s ({problem})")
    with client:
        if not client.scheduler_info()["workers"]:
            raise UserError(f"the Dask scheduler at {address!r} has no workers; start some with: dask worker {address}")
        (shared,) = client.scatter(  # pyright: ignore[reportGeneralTypeIssues]
            [(net, samples.encode)], broadcast=True
        )  # on every worker, so that none that is lost takes it along
        futures = [
            client.submit(_run_shared, shared, samples.source[begin:end], pure=False, retries=RETRIES)
            for begin, end in parts
        ]
        done, finished = 0, as_completed(futures, loop=client.loop)
        try:
            for future in finished:
                done += len(future.result().logits)
                if progress:
                    progress(done)
        except Exception as e:
            client.cancel(futures)
            raise UserError(
                f"the workers at {address!r} cannot run the batches: {type(e).__name__}:"
                f" {(str(e).splitlines() or [''])[0][:200]}; they need this package in the same version"
            ) from e
        return [f.result() for f in futures]


def _run_shared(shared, items):
    net, encode = shared
    return run_part(net, encode, items)
