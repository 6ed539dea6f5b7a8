"""Nets that read pictures, on the way through deploy: counts, films, files of pictures."""

import base64
import io

import numpy as np
import pytest
from nets import random_net, random_stream
from PIL import Image

from deploy import samples
from deploy.report.film import painted
from deploy.report.png import data_uri
from deploy.run.executors import Traces, counted
from events import Encoder
from sim import engine
from sim.base.errors import UserError
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout

SEED = next(seed for seed in range(60) if random_net(seed).message_bits == 8)
PICTURE = np.random.default_rng(0).integers(0, 256, (3, 8, 8)).astype(np.uint8)
ENCODER = Encoder(height=8, width=8, window=6, stride=4, frames=1, message_bits=8)


def net_for_pictures():
    full, none = np.full(3, 4096, np.int32), np.zeros(3, np.int32)
    weight = (np.random.default_rng(1).integers(-60, 60, (3, ENCODER.channels)) * 2).astype(np.int16)
    layer = Cuba("layer", (Dense(TOKENS, weight, 6),), full, none, 4095, 50)
    out = Readout("out", (Dense("layer", np.full((2, 3), 2, np.int16)),))
    inputs = Input(TOKENS, ENCODER.channels, message_bits=8), Input(PHASE, 4, PHASE)
    return Net((layer, out), inputs, 4, 1, encoder=ENCODER.settings(), classes=("a", "b"))


def test_a_message_is_one_spike_whoever_counts():
    net, stream = random_net(SEED), random_stream(random_net(SEED), 5)
    found = engine.run(net, stream, trace="all")
    layers = {n.name: found.traces[n.name] for n in net.nodes}
    again = counted(net, stream, Traces(found.logits, layers, 0.0))
    assert again.spikes == found.spikes and again.synops == found.synops
    assert found.spikes[TOKENS] == int((stream.tokens != 0).sum()) < int(stream.tokens.sum())


def test_a_picture_file_is_a_sample(tmp_path):
    net = net_for_pictures()
    Image.fromarray(np.moveaxis(PICTURE, 0, -1)).save(tmp_path / "a.png")
    taken = samples.from_file(net, tmp_path / "a.png")
    assert np.array_equal(taken.streams(0, 1).tokens, ENCODER.encode(PICTURE).tokens)
    assert engine.run(net, taken.streams(0, 1)).spikes["layer"] > 0
    with pytest.raises(UserError, match="is not a readable picture"):
        (tmp_path / "b.png").write_bytes(b"no picture")
        samples.from_file(net, tmp_path / "b.png").streams(0, 1)


def test_the_report_shows_the_picture():
    assert np.array_equal(painted(ENCODER, ENCODER.encode(PICTURE))[0], PICTURE)
    png = base64.b64decode(data_uri(PICTURE).partition(",")[2])
    assert np.array_equal(np.moveaxis(np.asarray(Image.open(io.BytesIO(png))), -1, 0), PICTURE)
