"""Is a unit of time the right one? Files of mere numbers do not say, and what is usual may be wrong by thousands."""

import numpy as np

from sim.base.errors import UserError

from .source import Columns

_FEW, _SHORT_US, _LONG_US = 100, 20_000, 100_000_000
_SMALL = 200_000  # pixels of the sensors of the classification sets
_EPOCH = (1e9, 4e9)  # seconds of the years 2001 to 2096


class Watch:
    """Looks at the columns of a file whose unit is only assumed, and at the end says whether a camera can be like that.

    Rates are of all events by the pixels that hold them: recordings have 0.1 to 100 events a second and pixel.
    """

    def __init__(self, unit_us):
        self.unit_us = unit_us
        self.n, self.fractions, self.low, self.high, self.right, self.bottom = 0, False, None, None, 0, 0

    def see(self, columns: Columns) -> None:
        t = columns.t
        if not len(t):
            return
        low, high = t.min(), t.max()
        self.low = low if self.low is None else min(low, self.low)
        self.high = high if self.high is None else max(high, self.high)
        self.n += len(t)
        self.right, self.bottom = max(self.right, float(columns.x.max())), max(self.bottom, float(columns.y.max()))
        if t.dtype.kind == "f" and not self.fractions:
            self.fractions = bool((t != np.floor(t)).any())

    def check(self, where: object) -> None:
        """Raises UserError if nobody records like that; which asks for the unit."""
        wrong = self._wrong()
        if wrong:
            raise UserError(
                f"{where}: {wrong} if a unit of its times is {_name(self.unit_us)}; say what it is with time_unit_us"
                " (folder.json, or --time-unit-us; seconds are 1000000, milliseconds 1000, nanoseconds 0.001)"
            )

    def _wrong(self):
        low, high = self.low, self.high
        if low is None or high is None or not np.isfinite([low, high]).all():
            return None
        start, span = float(low) * self.unit_us, float(high - low) * self.unit_us
        rate = self.n / (float(self.right + 1) * float(self.bottom + 1)) / max(span / 1e6, 1e-9)
        small = (self.right + 1) * (self.bottom + 1) < _SMALL
        text = f"{self.n:,} events last {_length(span)}"
        if self.unit_us == 1 and self.fractions:
            return f"times have fractions, such as {float(high):.12g}, and {text},"
        if start > 1e6 * _EPOCH[1] and any(_EPOCH[0] < start * u < _EPOCH[1] for u in (1e-9, 1e-12)):
            return f"times begin {start / 1e6 / 31_557_600:,.0f} years after 1970"
        if self.n >= _FEW and (rate > 300 or (span < _SHORT_US and small and rate > 8)):
            return f"{text}, {rate:,.0f} a second and pixel,"
        if self.n >= 10 and span > _LONG_US and rate < 0.02:
            return f"{text}, {rate:.2g} a second and pixel,"
        return None


def _length(us):
    for limit, unit, by in ((1e3, "us", 1), (1e6, "ms", 1e3), (1e8, "s", 1e6)):
        if us < limit:
            return f"{us / by:.4g} {unit}"
    return f"{us / 1e6:,.0f} s"


def _name(unit_us):
    return {1: "a microsecond", 1000: "a millisecond", 1e6: "a second", 1e-3: "a nanosecond"}.get(
        unit_us, f"{unit_us:g} us"
    )
