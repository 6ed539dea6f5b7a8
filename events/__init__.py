"""Ground floor: event recordings, and the encoder that makes token streams of them. Imports no torch and nothing
above `sim`.
"""

import sim.base.start  # noqa: F401  # isort: skip

from .cache import TokenStreams, token_streams
from .encoder import Encoder
from .recordings import EVENT, Files, Recordings
from .registry import DATASETS, Dataset, default_encoder, load, with_clips

__all__ = [
    "DATASETS",
    "EVENT",
    "Dataset",
    "Encoder",
    "Files",
    "Recordings",
    "TokenStreams",
    "default_encoder",
    "load",
    "token_streams",
    "with_clips",
]
