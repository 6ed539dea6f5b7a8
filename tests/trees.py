"""Tiny data sets on disk and a small model, for tests of training."""

import numpy as np
import torch

from events import Encoder
from train.config import Config
from train.data.batches import to_device

# No augmentation: runs on different numbers of processes then see the same samples.
SMALL = Config(
    dataset="nmnist",
    encoder=Encoder(window=8, stride=8, pool=2, frames=3, frame_us=100_000).settings(),
    stem=(8,),
    width=8,
    bank=8,
    gate="read",
    batch=16,
    float_epochs=2,
    exact_epochs=2,
    shift=0.0,
    rotate=0.0,
    zoom=0.0,
    drop=0.0,
)


def random_batch(model, n, rate=0.2, random=None):
    """What a model is called with (see `train.data.to_device`): random spikes, some places empty where there may be."""
    encoder = model.encoder
    frames = torch.rand(n, encoder.frames, 2, *encoder.frame_shape, generator=random) < rate
    frames &= torch.rand(n, encoder.frames, 1, 1, 1, generator=random) < 0.8
    return to_device(encoder.streams(frames.to(torch.uint8).numpy()), "cpu")


def nmnist(root, each=10, events=300):
    """`each` recordings of every digit below `root/NMNIST/Train`, a blob per class among noise: seven of ten for
    training, one for validation, two for testing.
    """
    random = np.random.RandomState(0)
    for digit in range(10):
        folder = root / "NMNIST" / "Train" / str(digit)
        folder.mkdir(parents=True)
        for number in range(each):
            blob = random.rand(events) < 0.7
            x = np.where(blob, 4 + 6 * (digit % 5) + random.randint(0, 4, events), random.randint(0, 34, events))
            y = np.where(blob, 6 + 16 * (digit // 5) + random.randint(0, 4, events), random.randint(0, 34, events))
            t, p = np.sort(random.randint(0, 300_000, events)), random.randint(0, 2, events)
            np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1).astype(np.uint8).tofile(
                folder / f"{number:05d}.bin"
            )
    return root
