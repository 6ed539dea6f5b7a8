"""A report in a few lines, for the terminal."""

from .content import Report


def summary(r: Report) -> list[str]:
    """The lines."""
    lines = [_accuracy(r), _simulator(r), _parity(r), _cost(r), _chip(r)]
    return [line for line in lines if line]


def _accuracy(r):
    if r.accuracy is None:
        return None
    (low, high), a = r.accuracy.interval, r.accuracy
    what = f"{a.split} samples" if a.split else "samples"
    interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
    return f"accuracy   {100 * a.value:.1f} % of {a.n} {what} ({interval}), integers"


def _simulator(r):
    p = r.parity
    if p is None or p.simulated is None:
        return None
    how = (
        "every layer's spikes and all predictions equal the engine's"
        if p.simulated_equal
        else "DIFFERENT from the engine"
    )
    return f"simulator  {p.simulated} samples in Lava: {how}"


def _parity(r):
    p = r.parity
    if p is None:
        return None
    first = f", first {p.first}" if p.first else ""
    return f"parity     {' = '.join(p.executors)}: {p.compared:,} values compared, {p.differences} differ{first}"


def _cost(r):
    c = r.counted
    if c is None:
        return None
    return f"cost       {c.spikes:,.0f} spikes and {c.synops:,.0f} synaptic operations a sample, {c.steps} steps"


def _chip(r):
    p = r.plan
    if p is None:
        return None
    if not p.fits:
        return f"chip       does not fit {p.board.title}: {p.reason.text}"
    return f"chip       {p.placed.cores_used} of {p.board.cores} neurocores of {p.board.title}"
