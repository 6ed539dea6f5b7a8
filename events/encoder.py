"""Events to frames to the token stream that a net reads: one step carries one window of one frame, both polarities."""

from dataclasses import asdict, dataclass, fields

import numpy as np

from sim.base.errors import UserError

from .recordings import EVENT

# An encoder may come from a file: nothing is allocated for numbers beyond these.
_LIMITS = {
    "height": 4096,
    "width": 4096,
    "pool": 4096,
    "window": 256,
    "stride": 256,
    "frames": 65536,
    "frame_us": 2**31 - 1,
    "frame_events": 2**31 - 1,
}
_MAX_STREAM = 2**30


@dataclass(frozen=True)
class Encoder:
    """How a recording becomes spikes. All attributes are integers; `settings` (or `dataclasses.asdict`) gives what a
    file stores.

    Frames. Event (x, y, p, t) sets `frame[t // frame_us, p, y // pool, x // pool] = 1`; one or a hundred events are the
    same. Events at or after `frames * frame_us` (or before 0) are left out. A frame has `H = ceil(height / pool)` by `W
    = ceil(width / pool)` pixels. With `frame_events` = M > 0, frames hold a fixed count instead: the i-th event in
    order of time (equal times in the order given) belongs to frame `i // M`, whatever its time; events from the `frames
    * M`-th on are left out, and a recording that ends early leaves its last frames empty.

    Tokens. Token `n = row * cols + col` of the `rows x cols = ceil(H / stride) x ceil(W / stride)` grid owns the patch
    of `stride x stride` pixels at `(row * stride, col * stride)` and reads the `window x window` pixels around it, from

        top = row * stride - (window - stride) // 2,    left = col * stride - (window - stride) // 2,

    so windows overlap by `window - stride`; pixels outside the frame are 0. If `window - stride` is odd, the extra
    pixel is at the bottom and right.

    Stream. Step `k = t * N + n` carries token `n` of frame `t`; channel `c = p * window**2 + dy * window + dx` is the
    pixel `(top + dy, left + dx)` of polarity `p` (0 OFF, 1 ON).

    Attributes:
        height, width: the sensor, in pixels.
        pool: sensor pixels to a frame pixel, along each axis.
        window, stride: in frame pixels; window >= stride.
        frames: T.
        frame_us: length of a frame in microseconds; unused if `frame_events` is not 0.
        frame_events: events to a frame; 0: frames are cut by time. Files from before it was there have no such entry
            and mean 0.

    Raises:
        UserError: an attribute is not an integer, is out of range, or they do not fit together.
    """

    height: int = 34
    width: int = 34
    pool: int = 1
    window: int = 10
    stride: int = 5
    frames: int = 8
    frame_us: int = 40000
    frame_events: int = 0

    def __post_init__(self):
        for f in fields(self):
            value, least, limit = getattr(self, f.name), int(f.name != "frame_events"), _LIMITS[f.name]
            if type(value) is not int or not least <= value <= limit:
                raise UserError(f"encoder: {f.name} is {value!r}, expected an integer in {least}..{limit}")
        if self.window < self.stride:
            raise UserError(
                f"encoder: window {self.window} is smaller than stride {self.stride}, pixels would be lost; make the"
                " window larger"
            )
        if self.frames * self.tokens * self.channels > _MAX_STREAM:
            raise UserError(
                f"encoder: {self.frames} frames x {self.tokens} tokens x {self.channels} channels is more than"
                f" {_MAX_STREAM}; take a larger pool or stride, or fewer frames"
            )

    def settings(self):
        """What a file stores: `asdict`, less `frame_events` where it is 0, so that nothing changes for those who do
        not use it.
        """
        return {key: value for key, value in asdict(self).items() if key != "frame_events" or value}

    @property
    def frame_shape(self):
        """(H, W): pixels of a frame."""
        return -(-self.height // self.pool), -(-self.width // self.pool)

    @property
    def grid(self):
        """(rows, cols) of tokens."""
        h, w = self.frame_shape
        return -(-h // self.stride), -(-w // self.stride)

    @property
    def tokens(self):
        """N: tokens of a frame."""
        rows, cols = self.grid
        return rows * cols

    @property
    def channels(self):
        """C: spikes a step can carry."""
        return 2 * self.window**2

    def frames_of(self, events):
        """Binary frames of one recording.

        Args:
            events: structured [n] with fields x, y, p (0 or 1), t (microseconds), in any order of time; n may be 0.

        Returns:
            uint8 [T, 2, H, W].

        Raises:
            UserError: an event outside the sensor or a polarity other than 0 and 1, wherever in time.
        """
        out = np.zeros((self.frames, 2, *self.frame_shape), np.uint8)
        self._draw(events, out)
        return out

    def frames_of_all(self, recordings):
        """`frames_of` for a sequence of recordings: uint8 [n, T, 2, H, W]."""
        out = np.zeros((len(recordings), self.frames, 2, *self.frame_shape), np.uint8)
        for i, events in enumerate(recordings):
            self._draw(events, out[i])
        return out

    def _draw(self, events, out):
        columns = [
            events[name] if events.dtype == EVENT else events[name].astype(np.int64) for name in ("x", "y", "p", "t")
        ]
        length = self.frame_us
        if self.frame_events:
            columns[3], length = self._places(columns[3]), self.frame_events
        h, w = self.frame_shape
        from .kernels import draw  # numba is slow to import: not before it is needed

        bad = draw(*columns, length, self.pool, self.height, self.width, out.reshape(self.frames, 2, h, w))
        if bad >= 0:
            name, value, end = next(
                (name, column[bad], end)
                for name, column, end in zip("xyp", columns, (self.width, self.height, 2))
                if not 0 <= column[bad] < end
            )
            raise UserError(
                f"event {bad}: {name} = {value} is outside 0..{end - 1} of the encoder's {self.width} x {self.height}"
                " sensor; use the encoder of this recording's data set"
            )

    @staticmethod
    def _places(t):
        """The place of every event in the order of time: int64 [n]."""
        place = np.arange(len(t))
        if (np.diff(t) < 0).any():
            place[np.argsort(t, kind="stable")] = np.arange(len(t))
        return place

    def token_spikes(self, frames):
        """The token stream of frames.

        Args:
            frames: uint8 [..., T, 2, H, W]; T may differ from `self.frames`.

        Returns:
            uint8 [..., T*N, C].

        Raises:
            UserError: the last three axes are not 2, H, W.
        """
        h, w = self.frame_shape
        if frames.ndim < 4 or frames.shape[-3:] != (2, h, w):
            raise UserError(f"encoder: frames have shape {frames.shape}, expected (..., T, 2, {h}, {w})")
        (rows, cols), before = self.grid, (self.window - self.stride) // 2
        *lead, t = frames.shape[:-3]
        # The last window ends `window` pixels after its start; the frame may end before or after that.
        span_y, span_x = (rows - 1) * self.stride + self.window, (cols - 1) * self.stride + self.window
        padded = np.zeros((*lead, t, 2, max(span_y, before + h), max(span_x, before + w)), frames.dtype)
        padded[..., before : before + h, before : before + w] = frames
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.window, self.window), axis=(-2, -1))
        windows = windows[..., :: self.stride, :: self.stride, :, :][
            ..., :rows, :cols, :, :
        ]  # [..., T, 2, rows, cols, window, window]
        return np.moveaxis(windows, -5, -3).reshape(*lead, t * self.tokens, self.channels)

    def encode(self, events):
        """Token stream of one recording: uint8 [T*N, C]."""
        return self.token_spikes(self.frames_of(events))

    def encode_all(self, recordings):
        """Token streams of a sequence of recordings: uint8 [n, T*N, C] (n * T*N * C bytes: for large sets keep
        frames and encode by batch).
        """
        out = np.empty((len(recordings), self.frames * self.tokens, self.channels), np.uint8)
        for i, events in enumerate(recordings):
            out[i] = self.encode(events)
        return out
