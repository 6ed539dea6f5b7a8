"""What the loop is fed with: augmented batches, prepared ahead."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch

from events import Encoder
from events.recordings import Recordings
from sim.net.tokens import Stream

from ..distributed import ALONE, Ranks
from .augment import augment, augment_pictures, is_off


def chunks(items: Any, size: int, least: int = 1) -> list:
    """Cuts a sequence into parts of `size`; a last one of fewer than `least` joins the one before."""
    starts = list(range(0, len(items), size))
    if len(starts) > 1 and len(items) - starts[-1] < least:
        starts.pop()
    return [items[a:b] for a, b in zip(starts, [*starts[1:], len(items)])]


def batches(
    recordings: Recordings,
    encoder: Encoder,
    cfg: Any,
    epoch: int,
    ranks: Ranks = ALONE,
    first: int = 0,
    loaders: int | None = 1,
    streams: Any = None,
    chain: int = 1,
) -> Iterator[tuple]:
    """This process's share of the epoch's shuffled, augmented batches from number `first` on, prepared ahead by
    `loaders` threads.

    streams: `events.token_streams` of the recordings, which are taken where nothing is to be augmented, and of
    pictures, so that no file is read again. chain: augmented recordings that the encoder's choice of tokens runs on
    over, as their streams do (`train.run.epoch.chained`).

    Batch i is a function of (seed, epoch, i, rank), whatever the number of threads. Yields (`sim.net.tokens.Stream`,
    labels [b], samples of the whole batch, seconds waited for it)."""
    order = np.random.default_rng((cfg.seed, epoch)).permutation(len(recordings))
    parts = chunks(order, cfg.batch, ranks.size * cfg.accumulate)
    pictures = bool(encoder.message_bits)
    unchanged = streams if is_off(cfg, pictures) else None

    def make(i):
        rng = np.random.default_rng((cfg.seed, epoch, i, ranks.rank))
        mine = ranks.share(parts[i])
        labels = torch.from_numpy(recordings.labels[mine])
        if unchanged is not None:
            return unchanged[mine], labels, len(parts[i])
        if pictures:
            assert streams is not None  # whoever has pictures has them kept
            return encode(encoder, augment_pictures(streams.pictures(mine), cfg, rng), chain), labels, len(parts[i])
        changed = [augment(recordings.events[j], recordings.height, recordings.width, cfg, rng) for j in mine]
        return encode(encoder, changed, chain), labels, len(parts[i])

    with ThreadPoolExecutor(loaders) as pool:
        todo = iter(range(first, len(parts)))
        ahead = deque(pool.submit(make, i) for i in islice(todo, loaders))
        while ahead:
            began = time.perf_counter()
            ready = ahead.popleft().result()
            waited = time.perf_counter() - began
            ahead.extend(pool.submit(make, i) for i in islice(todo, 1))
            yield *ready, waited


def encode(encoder: Encoder, recordings: Any, chain: int = 1) -> Stream:
    """A stream for each recording. The choice of tokens goes on from the one before, but for every `chain`-th, if
    `chain` divides their number.
    """
    if chain == 1 or len(recordings) % chain:
        return encoder.streams(encoder.frames_of_all(recordings))
    frames = encoder.frames_of_all(recordings)
    whole = encoder.streams(frames.reshape(-1, chain * encoder.frames, *frames.shape[2:]))
    return Stream(whole.tokens.reshape(len(recordings), -1, encoder.channels), whole.which.reshape(len(recordings), -1))


def to_device(stream: Stream, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """What a model is called with: (tokens float [B, C, K], channels-last, spikes or messages, which int64 [B, K]) of a
    `Stream`.
    """
    return torch.from_numpy(stream.tokens).to(device).float().transpose(1, 2), torch.from_numpy(stream.which).to(
        device
    ).long()
