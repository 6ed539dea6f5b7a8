"""A net that runs on: recordings one after the other without a reset, as from a sensor that is never turned off."""

import time
from collections.abc import Callable

from sim import engine
from sim.base.errors import UserError
from sim.net import Net

from ..samples import Samples
from .results import Run, summary


def run_on(net: Net, samples: Samples, progress: Callable[[float], object] | None = None) -> Run:
    """Runs recordings as one stream: neither the net's states nor the encoder's counts start anew.

    Each recording takes the net's T frames and has the read-out summed over these.

    Args:
        net: the net.
        samples: recordings of a data set (`deploy.samples.from_dataset`).
        progress: called with the number of recordings done.

    Returns:
        As `deploy.run.run`; `run_on` is true among its facts.

    Raises:
        UserError: the samples are no recordings.
    """
    if samples.encoder is None:
        raise UserError("--run-on takes the recordings of a data set, one after the other; name one with --dataset")
    start = time.monotonic()
    session, selector, results = engine.Session(net), samples.encoder.selector(), []
    for i in range(len(samples)):
        results.append(session.take(selector.stream(samples.encoder.frames_of(samples.source[i]))))
        if progress:
            progress(i + 1)
    facts = dict(backend="fast", run_on=True)
    return summary(net, samples, engine.merge(results), facts, time.monotonic() - start)
