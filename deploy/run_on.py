"""A net that runs on: recordings one after the other without a reset, as from a sensor that is never turned off."""

from sim import engine
from sim.base.errors import UserError
from sim.net import Net

from .samples import Samples


def run_on(net: Net, samples: Samples, progress=None) -> engine.Result:
    """Runs recordings as one stream: neither the net's states nor the encoder's counts start anew.

    Each recording takes the net's T frames and has the read-out summed over these.

    Args:
        net: the net.
        samples: recordings of a data set (`deploy.samples.from_dataset`).
        progress: called with the number of recordings done.

    Returns:
        `sim.engine.Result`, logits int64 [recordings, classes].

    Raises:
        UserError: the samples are no recordings.
    """
    if samples.encoder is None:
        raise UserError("only recordings run on, one after the other; a golden input is a sample by itself")
    session, selector, results = engine.Session(net), samples.encoder.selector(), []
    for i, events in enumerate(samples.source, 1):
        results.append(session.take(selector.stream(samples.encoder.frames_of(events))))
        if progress:
            progress(i)
    return engine.merge(results)
