"""Stage 0 of the token pruning on a stream of frames that need not end."""

import numpy as np

from sim.base.errors import UserError
from sim.net.tokens import Stream

from .encoder import PRUNERS, Encoder


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
        """The next frames, uint8 [F, 2, H, W], as a `Stream` of one sample and F*K steps.

        Raises:
            UserError: frames of another shape.
        """
        e = self.encoder
        h, w = e.frame_shape
        if frames.ndim != 4 or frames.shape[1:] != (2, h, w):
            raise UserError(f"encoder: frames have shape {frames.shape}, expected (F, 2, {h}, {w})")
        tokens = np.zeros((1, len(frames) * e.per_frame, e.channels), np.uint8)
        which = np.empty((1, len(frames) * e.per_frame), np.int16)
        self.fill(frames, tokens[0], which[0])
        return Stream(tokens, which)

    def fill(self, frames, tokens, which):
        """`stream` into arrays: tokens uint8 [F*K, C], zeros; which int16 [F*K]."""
        from .kernels import cut  # numba is slow to import: not before it is needed

        e = self.encoder
        rule = e.places, PRUNERS.index(e.pruner), e.early, e.leak, e.least, e.frames
        frames = np.ascontiguousarray(frames, np.uint8)
        cut(frames, e.stride, e.window, self._orders, self.frame, rule, self._count, self._since, tokens, which)
        self.frame += len(frames)
