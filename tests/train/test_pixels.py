"""A model on pixels: its first layer in integers, rounded weights, the frames that are the same picture."""

import dataclasses

import numpy as np
import pytest
import torch

from convert import parity
from convert.to_net import to_net
from events import Encoder
from sim.base.errors import UserError
from train.config import Config
from train.data.augment import augment_pictures, is_off
from train.data.batches import to_device
from train.model.pixels import rounded, whitening
from train.model.smolmamba import SmolMamba
from train.sparse import cost
from train.sparse.fold import reestimate_norms

ENCODER = dict(height=12, width=12, window=6, stride=4, frames=2, message_bits=8)
CFG = Config(encoder=ENCODER, stem=(24,), width=12, bank=16, blocks=1, gate="none", share=1.0)


def pictures(n, seed=0):
    """Smooth, as photographs are: uint8 [n, 3, 12, 12]."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[:12, :12] / 12
    waves = np.sin(6 * (r.random((n, 3, 1, 1)) * x + r.random((n, 3, 1, 1)) * y + r.random((n, 1, 1, 1))))
    return (110 + 100 * waves + r.integers(-9, 10, (n, 3, 12, 12))).clip(0, 255).astype(np.uint8)


def trained(cfg=CFG, n=48):
    """(a folded model whose norms have seen pictures, their stream, scores before it was folded)."""
    torch.manual_seed(0)
    encoder = cfg.make_encoder()
    model, stream = SmolMamba(cfg, encoder, 4), encoder.encode_all(pictures(n))
    x, _ = to_device(stream, "cpu")
    model.stem[0].whitening.copy_(whitening(x.transpose(1, 2).flatten(0, 1), 8))
    reestimate_norms(model, stream, [16] * (n // 16), "cpu")
    before = model(*to_device(stream, "cpu"))
    model.fold()
    return model, stream, before


@pytest.mark.parametrize(
    "changes", [dict(), dict(scan="twin"), dict(share=0.5), dict(encoder=ENCODER | {"message_bits": 3})]
)
def test_the_model_is_the_chips_net(changes):
    model, stream, _ = trained(dataclasses.replace(CFG, **changes))
    net = to_net(model, ["a", "b", "c", "d"], {})
    assert net.message_bits == model.encoder.message_bits
    assert 0 < net.nodes[0].synapses[0].shift == model.stem[0].shift <= 8
    found = parity.compare(model, net, stream)
    assert found["differences"] == 0 and found["compared"] > 10_000


def test_messages_in_integers_are_the_definition():
    model, stream, _ = trained()
    layer = model.stem[0]
    weight = (layer.weight("tokens", True) * layer.token_gain * 64).round().long()
    wanted = (torch.from_numpy(stream.tokens).long() @ weight.T) >> layer.shift
    x = to_device(stream, "cpu")[0].transpose(1, 2)
    found = layer._graded(x, layer.weight("tokens", True), True) * 64 * layer.gain
    assert torch.equal(found.double(), wanted.double()) and wanted.min() < 0 < wanted.max()


def test_weights_are_rounded_for_what_they_meet():
    rows = torch.from_numpy(token_rows())
    white = whitening(rows, 8)
    x = rows.double() / 256
    before, after = (torch.linalg.eigvalsh(torch.cov(rows.T)) for rows in (x, x @ white.double()))
    assert 0.9 < after.max() < 1.01 and after.median() / after.max() > 10 * before.median() / before.max()
    torch.manual_seed(1)
    weight = torch.randn(8, rows.shape[1]) @ white
    step = float(weight.abs().max()) / 127
    found, plain = rounded(weight, white, step, -128, 127), (weight / step).round() * step
    assert torch.allclose(found / step, (found / step).round(), atol=1e-3) and (found / step).abs().max() <= 128.001
    error = lambda w: float(((w - weight).double() @ (x - x.mean(0)).T).square().mean().sqrt())  # noqa: E731
    assert error(found) < 0.4 * error(plain)
    again = rounded(found, white, step, -128, 127)
    assert torch.allclose(again, found, atol=step / 100)


def token_rows():
    stream = Encoder(**ENCODER).encode_all(pictures(64))
    return stream.tokens.reshape(-1, stream.tokens.shape[2]).astype(np.float32)


def test_folding_keeps_most_of_what_the_float_model_says():
    model, stream, before = trained()
    after = model(*to_device(stream, "cpu"))
    assert (before.argmax(1) == after.argmax(1)).float().mean() > 0.7


def test_one_look_at_a_picture_is_enough(monkeypatch):
    torch.manual_seed(0)
    cfg = dataclasses.replace(CFG, scan="cross", encoder=ENCODER | {"frames": 5})
    encoder = cfg.make_encoder()
    model, x = SmolMamba(cfg, encoder, 4), to_device(encoder.encode_all(pictures(8)), "cpu")
    model.eval()
    model.stem[0].v_decay = model.stem[1].v_decay = 4096  # a membrane that keeps nothing at all
    once = model(*x)
    monkeypatch.setattr(model, "_again", lambda *_: None)
    assert torch.equal(once, model(*x)) and once.std() > 0


def test_synapses_of_messages_are_counted_apart():
    model, stream, _ = trained()
    model(*to_device(stream, "cpu"), exact=True)
    counted = cost.counts(model, len(stream), True)
    weight = model.stem[0].weight("tokens", True) != 0
    wanted = float((torch.from_numpy(stream.tokens) != 0).sum((0, 1)).float() @ weight.sum(0).float()) / len(stream)
    assert counted["graded_synops"] == pytest.approx(wanted, rel=1e-5) and counted["synops"] > 0


def test_pictures_are_moved_and_mirrored():
    given = pictures(40) | 1
    cfg = Config(shift=3.0, mirror=0.5)
    found = augment_pictures(given, cfg, np.random.default_rng(0))
    again = augment_pictures(given, cfg, np.random.default_rng(0))
    assert np.array_equal(found, again) and not is_off(cfg, True)
    ways = set()
    for before, after in zip(given, found):
        fits = [
            (mirror, dy, dx)
            for mirror in (0, 1)
            for dy in range(-3, 4)
            for dx in range(-3, 4)
            if np.array_equal(np.roll(before[:, :, :: 1 - 2 * mirror], (dy, dx), (1, 2)) * inside(dy, dx), after)
        ]
        assert len(fits) == 1
        ways.add(fits[0])
    assert len(ways) > 25 and is_off(Config(shift=0.9, mirror=0.0), True)


def inside(dy, dx):
    mask = np.zeros((12, 12), np.uint8)
    mask[max(dy, 0) : 12 + min(dy, 0), max(dx, 0) : 12 + min(dx, 0)] = 1
    return mask


def test_pixels_are_no_witnesses():
    with pytest.raises(UserError, match="inner counts the spikes of pixels"):
        dataclasses.replace(CFG, stem=(), inner=(2,)).make_encoder()
