"""Events to frames to the token stream that a net reads: one step carries one window of one frame, both polarities;
or a picture, shown for every frame, with its pixels as graded spikes.

This is also stage 0 of the token pruning: which tokens are sent at all, and in which order, is decided here, for
training and running alike (`events.kernels.cut` is the one definition of the rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.net.nodes import STREAM_LIMIT, TOKENS_LIMIT
from sim.net.tokens import Stream

from . import pixels
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
_DRAWING = ("height", "width", "pool", "frames", "frame_us", "frame_events")  # what the frames depend on
_SHOWING = ("height", "width")  # what a kept picture depends on
_RULE = {"early": 2**20, "leak": 256, "least": 2**31 - 1}  # of stage 0, each with its largest value
SCANS = ("forward", "alternate", "cross")
PRUNERS = ("count", "latency", "random")


def _names():
    return [f.name for f in fields(Encoder)]


@dataclass(frozen=True)
class Encoder:
    """How a recording becomes spikes. `settings` gives what a file stores.

    Frames. Event (x, y, p, t) sets `frame[t // frame_us, p, y // pool, x // pool] = 1`; one or a hundred events are the
    same. Events at or after `frames * frame_us` (or before 0) are left out. A frame has `H = ceil(height / pool)` by `W
    = ceil(width / pool)` pixels. With `frame_events` = M > 0, frames hold a fixed count instead: the i-th event in
    order of time (equal times in the order given) belongs to frame `i // M`, whatever its time; events from the `frames
    * M`-th on are left out, and a recording that ends early leaves its last frames empty.

    Pictures. With `message_bits` = b > 0 a recording is a picture, uint8 [3, height, width], and every frame is the
    picture: `frame[t, colour, y, x] = pixel >> (8 - b)`, the message of a graded spike (0 sends none). `pool` is 1, and
    `frame_us` and `frame_events` are unused. Planes are colours in place of polarities.

    Tokens. Token `n = row * cols + col` of the `rows x cols = ceil(H / stride) x ceil(W / stride)` grid owns the patch
    of `stride x stride` pixels at `(row * stride, col * stride)` and reads the `window x window` pixels around it, from

        top = row * stride - (window - stride) // 2,    left = col * stride - (window - stride) // 2,

    so windows overlap by `window - stride`; pixels outside the frame are 0. If `window - stride` is odd, the extra
    pixel is at the bottom and right. Channel `c = p * window**2 + dy * window + dx` is the pixel `(top + dy, left +
    dx)` of plane `p` (0 OFF, 1 ON; of pictures 0 red, 1 green, 2 blue).

    Scan. Frame `t` is read in `orders[t mod n]`: "forward" row by row; "alternate" by turns forward and backward;
    "cross" row by row, column by column backward, row by row backward, column by column.

    Stage 0. With `places` = 0 every token of every frame is sent. With `places` = K > 0 at most K are: those with the
    highest score among the tokens whose count has reached the gate, ties to the lower token number. They stand in the
    order of the scan, empty places after them. With `e` the token's own events in this frame (pixels that are 1 in its
    window; of a picture the sum over its window of each pixel's distance from its colour's mean over the frame, that
    mean rounded down), in integers,

        count <- count - ceil(count * leak / 256) + e
        since <- 0 if count == 0 else min(since + 1, frames)      (frames since its first event)
        gate: count >= max(least, 1)
        score = count + early * since     (pruner "count": with `early` an early first spike counts)
                since                     (pruner "latency": the earliest first spike alone)
                a hash of all counts, the frame's number and the token's     (pruner "random")

    The counts begin at 0 with a recording, and go on from frame to frame (`selector` for streams that never end).

    Stream. Step `k = t * K + i` carries the token at place `i` of frame `t` (`sim.net.tokens`).

    Attributes:
        height, width: the sensor, in pixels.
        pool: sensor pixels to a frame pixel, along each axis.
        window, stride: in frame pixels; window >= stride.
        frames: T.
        frame_us: length of a frame in microseconds; unused if `frame_events` is not 0.
        frame_events: events to a frame; 0: frames are cut by time.
        scan: "forward", "alternate" or "cross".
        places: K, tokens of a frame that are sent at most; 0 for all N, whether anything happens in them or not.
        pruner, early, leak (in 256ths, 0: none, 256: this frame's events alone), least: of stage 0.
        message_bits: 0 for events; 1 to 8 for pictures, bits of a pixel that are sent.

    Entries from `frame_events` on are not in the files of earlier releases, and mean their defaults there.

    Raises:
        UserError: an attribute is not of its type, is out of range, or they do not fit together.
    """

    height: int = 34
    width: int = 34
    pool: int = 1
    window: int = 10
    stride: int = 5
    frames: int = 8
    frame_us: int = 40000
    frame_events: int = 0
    scan: str = "forward"
    places: int = 0
    pruner: str = "count"
    early: int = 0
    leak: int = 0
    least: int = 0
    message_bits: int = 0

    def __post_init__(self):
        for name, limit in _LIMITS.items():
            self._require_integer(name, int(name != "frame_events"), limit)
        for name, allowed in (("scan", SCANS), ("pruner", PRUNERS)):
            if getattr(self, name) not in allowed:
                raise UserError(f"encoder: {name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        if self.window < self.stride:
            raise UserError(
                f"encoder: window {self.window} is smaller than stride {self.stride}, pixels would be lost; make the"
                " window larger"
            )
        if self.tokens > TOKENS_LIMIT or self.frames * self.tokens * self.channels > STREAM_LIMIT:
            raise UserError(
                f"encoder: {self.frames} frames x {self.tokens} tokens x {self.channels} channels is more than"
                f" {STREAM_LIMIT}, or the tokens more than {TOKENS_LIMIT}; take a larger pool, stride, or fewer frames"
            )
        self._require_integer("message_bits", 0, pixels.BITS)
        if self.message_bits and (self.pool != 1 or self.frame_events):
            raise UserError(
                "encoder: pool and frame_events are for events, but message_bits asks for pictures; leave pool at 1 and"
                " frame_events at 0, or message_bits at 0"
            )
        self._require_integer("places", 0, self.tokens, f" (a frame has {self.tokens} tokens; 0 sends all of them)")
        for name, limit in _RULE.items():
            self._require_integer(name, 0, limit)
        if not self.places and (self.early or self.leak or self.least or self.pruner != "count"):
            raise UserError(
                "encoder: pruner, early, leak and least choose among tokens, but places is 0, which sends all of them;"
                " set places"
            )

    @staticmethod
    def of(settings: dict) -> Encoder:
        """The encoder that a file's or a configuration's `settings` describe.

        Raises:
            UserError: there are none, an entry that there is not, or one that is out of range.
        """
        if not settings:
            raise UserError("the net has no encoder, so it cannot run on events; export it again")
        unknown = sorted(str(key) for key in set(settings) - set(_names()))
        if unknown:
            raise UserError(f"encoder: unknown entry {unknown[0]!r}, expected of {', '.join(_names())}")
        return Encoder(**settings)

    def _require_integer(self, name, least, limit, why=""):
        value = getattr(self, name)
        if type(value) is not int or not least <= value <= limit:
            raise UserError(f"encoder: {name} is {value!r}, expected an integer in {least}..{limit}{why}")

    def settings(self) -> dict:
        """What a file stores: all attributes less those that came later and are at their defaults, so that nothing
        changes for those who do not use them.
        """
        later = [f.name for f in fields(self)][7:]
        defaults = {f.name: f.default for f in fields(self)}
        return {k: v for k, v in asdict(self).items() if k not in later or v != defaults[k]}

    def drawing(self) -> dict:
        """The entries that decide what `frames_of` gives; of pictures, what is kept of one."""
        return {name: getattr(self, name) for name in (_SHOWING if self.message_bits else _DRAWING)}

    @property
    def planes(self) -> Any:
        """Planes of a frame: two polarities or three colours."""
        return pixels.COLOURS if self.message_bits else 2

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(H, W): pixels of a frame."""
        return -(-self.height // self.pool), -(-self.width // self.pool)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, cols) of tokens."""
        h, w = self.frame_shape
        return -(-h // self.stride), -(-w // self.stride)

    @property
    def tokens(self) -> int:
        """N: tokens of a frame."""
        rows, cols = self.grid
        return rows * cols

    @property
    def channels(self) -> int:
        """C: spikes a step can carry."""
        return self.planes * self.window**2

    @property
    def per_frame(self) -> int:
        """K: steps of a frame."""
        return self.places or self.tokens

    @property
    def steps(self) -> int:
        """T*K: steps of a sample."""
        return self.frames * self.per_frame

    @property
    def orders(self) -> np.ndarray:
        """int16 [n, N]: the orders in which frames are read by turns, no more of them than there are frames."""
        rows = np.arange(self.tokens, dtype=np.int16)
        cols = np.ascontiguousarray(rows.reshape(self.grid).T).reshape(-1)
        every = {
            "forward": [rows],
            "alternate": [rows, rows[::-1]],
            "cross": [rows, cols[::-1], rows[::-1], cols],
        }
        return np.stack(every[self.scan][: self.frames])

    def frames_of(self, recording: Any) -> np.ndarray:
        """Frames of one recording: binary of events, messages of a picture.

        Args:
            recording: structured [n] with fields x, y, p (0 or 1), t (microseconds), in any order of time; n may be 0.
                With `message_bits` a picture, uint8 [3, height, width].

        Returns:
            uint8 [T, planes, H, W].

        Raises:
            UserError: an event outside the sensor or a polarity other than 0 and 1, wherever in time; a picture of
                another size; one where the other is expected.
        """
        return self.frames_of_all([recording])[0]

    def frames_of_all(self, recordings: Sequence) -> np.ndarray:
        """`frames_of` for a sequence of recordings: uint8 [n, T, planes, H, W]."""
        out = np.zeros((len(recordings), self.frames, self.planes, *self.frame_shape), np.uint8)
        for i, recording in enumerate(recordings):
            if self.message_bits:
                out[i] = pixels.shown(recording, self.frame_shape, self.message_bits)
            else:
                self._draw(recording, out[i])
        return out

    def _draw(self, events, out):
        if events.dtype.names is None:
            raise UserError(
                f"this encoder reads events, and was given {events.dtype} {events.shape}; of photographs the set with"
                " ':saccade' behind its name has events"
            )
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

    def selector(self) -> Selector:
        """What turns frames into a stream, frame after frame, without end."""
        return Selector(self)

    def streams(self, frames: np.ndarray) -> Stream:
        """The token streams of samples: frames uint8 [n, T, planes, H, W], T may differ from `self.frames`.

        Raises:
            UserError: the last three axes are not planes, H, W.
        """
        h, w = self.frame_shape
        if frames.ndim != 5 or frames.shape[-3:] != (self.planes, h, w):
            raise UserError(f"encoder: frames have shape {frames.shape}, expected (n, T, {self.planes}, {h}, {w})")
        steps = frames.shape[1] * self.per_frame
        tokens = np.zeros((len(frames), steps, self.channels), np.uint8)
        which = np.empty((len(frames), steps), np.int16)
        for i in range(len(frames)):
            self.selector().fill(frames[i], tokens[i], which[i])
        return Stream(tokens, which)

    def encode(self, events: np.ndarray) -> Stream:
        """The token stream of one recording, a `Stream` of one sample."""
        return self.streams(self.frames_of(events)[None])

    def encode_all(self, recordings: Sequence) -> Stream:
        """The token streams of a sequence of recordings (n * T*K * C bytes: for large sets keep frames and encode by
        batch).
        """
        tokens = np.zeros((len(recordings), self.steps, self.channels), np.uint8)
        which = np.empty((len(recordings), self.steps), np.int16)
        for i, events in enumerate(recordings):
            self.selector().fill(self.frames_of(events), tokens[i], which[i])
        return Stream(tokens, which)


class Selector:
    """Chooses and orders the tokens of frame after frame; what it gives is what `Encoder.streams` gives for all frames
    at once, however they are cut into calls.

    Attributes:
        frame: number of the next frame.
    """

    def __init__(self, encoder: Encoder):
        self.encoder, self.frame = encoder, 0
        self._count, self._since = np.zeros((2, encoder.tokens), np.int64)
        self._orders = encoder.orders

    def stream(self, frames: np.ndarray) -> Stream:
        """The next frames, uint8 [F, planes, H, W], as a `Stream` of one sample and F*K steps.

        Raises:
            UserError: frames of another shape.
        """
        e = self.encoder
        h, w = e.frame_shape
        if frames.ndim != 4 or frames.shape[1:] != (e.planes, h, w):
            raise UserError(f"encoder: frames have shape {frames.shape}, expected (F, {e.planes}, {h}, {w})")
        tokens = np.zeros((1, len(frames) * e.per_frame, e.channels), np.uint8)
        which = np.empty((1, len(frames) * e.per_frame), np.int16)
        self.fill(frames, tokens[0], which[0])
        return Stream(tokens, which)

    def fill(self, frames: np.ndarray, tokens: np.ndarray, which: np.ndarray) -> None:
        """`stream` into arrays: tokens uint8 [F*K, C], zeros; which int16 [F*K]."""
        from .kernels import cut  # numba is slow to import: not before it is needed

        e = self.encoder
        rule = e.places, PRUNERS.index(e.pruner), e.early, e.leak, e.least, e.frames
        frames = np.ascontiguousarray(frames, np.uint8)
        counted = pixels.contrast(frames) if e.message_bits and e.places else frames
        cut(
            frames, counted, e.stride, e.window, self._orders, self.frame, rule, self._count, self._since, tokens, which
        )
        self.frame += len(frames)
