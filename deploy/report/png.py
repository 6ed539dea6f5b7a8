"""Small pictures of events, as PNG files inside the page."""

import base64
import struct
import zlib

import numpy as np

# By ON + 2 * OFF: nothing (transparent), brighter, darker, both.
COLOURS = (0, 0, 0), (47, 129, 247), (229, 83, 75), (163, 113, 247)
WIDEST = 96  # pixels; larger frames are joined


def data_uri(pixels: np.ndarray) -> str:
    """uint8 [2, H, W] (OFF, ON) as a data: address of a PNG with four colours; uint8 [3, H, W] as one of a picture."""
    if len(pixels) == 3:
        return _address(pixels.transpose(1, 2, 0).reshape(pixels.shape[1], -1), pixels.shape[2], 8, 2)
    colour = (pixels[1] + 2 * pixels[0]).astype(np.uint8)
    height, width = colour.shape
    padded = np.pad(colour, ((0, 0), (0, -width % 4))).reshape(height, -1, 4)
    packed = (padded << np.array([6, 4, 2, 0], np.uint8)).sum(2, dtype=np.uint8)
    palette = (b"PLTE", bytes(v for c in COLOURS for v in c)), (b"tRNS", b"\0")
    return _address(packed, width, 2, 3, palette)


def _address(packed, width, depth, kind, more=()) -> str:
    """The data: address of the PNG with these rows, uint8 [H, bytes]; depth, kind: as in its header."""
    height = len(packed)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), packed], 1).tobytes()  # 0: a row without a filter
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)),
        *more,
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    content = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def joined(pixels: np.ndarray) -> tuple:
    """(uint8 [..., H', W'], squares of pixels joined so that no side is above `WIDEST`, 1 where any is; their side)."""
    by = max(1, -(-max(pixels.shape[-2:]) // WIDEST))
    h, w = pixels.shape[-2:]
    padded = np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, -h % by), (0, -w % by)])
    shape = (*pixels.shape[:-2], padded.shape[-2] // by, by, padded.shape[-1] // by, by)
    return padded.reshape(shape).max((-3, -1)), by
