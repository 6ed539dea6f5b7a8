"""SST-TP: the scores, their ties, the fixed gate and its calibration."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import events
from convert.to_net import to_net
from sim import engine
from sim.base.errors import UserError
from train import pruning
from train.config import Config
from train.loop import to_integers
from train.model import SmolMamba

PRUNERS = ("count+latency", "count", "latency", "random")


def spikes(counts):
    """[T][N] numbers of spikes -> [1, C, T*N] with that many channels firing."""
    c = torch.tensor(counts).reshape(-1)
    return (torch.arange(8)[:, None] < c[None]).float()[None]


def random_spikes(seed, batch=3):
    r = np.random.default_rng(seed)
    t, n = int(r.integers(1, 6)), int(r.integers(1, 9))
    x = r.random((batch, 4, t * n)) < r.random((batch, 1, t * n)) * r.random()
    return torch.from_numpy(x).float(), t, n


def test_a_silent_token_is_never_kept_and_ties_go_to_the_lower_index():
    mask = pruning.top_k(spikes([[0, 2, 2, 2]]), 0.5, 4, 4.0)
    assert mask.tolist() == [[0, 1, 1, 0]]
    assert pruning.top_k(spikes([[0, 0, 0, 1]]), 1.0, 4, 4.0).tolist() == [[0, 0, 0, 1]]
    assert pruning.top_k(spikes([[0, 0], [0, 0]]), 0.5, 2, 4.0).sum() == 0


def test_an_early_first_spike_beats_an_equal_count():
    x = spikes([[0, 3], [3, 0]])
    score = pruning.score(pruning.counts(x, 2), 4.0)
    assert score[0, 1].tolist() == [3 + 4 * 2 * 1 / 2, 3 + 4 * 2 * 2 / 2]
    assert pruning.top_k(x, 0.5, 2, 4.0).tolist() == [[0, 1, 0, 1]]
    assert pruning.top_k(x, 0.5, 2, 0.0).tolist() == [[0, 1, 1, 0]]  # without the bonus a tie, to the lower index


def test_count_and_latency_rank_by_nothing_else():
    x = spikes([[1, 0, 5, 0], [0, 8, 0, 2]])  # counts 1 8 5 2; first frames 0 1 0 1
    assert pruning.top_k(x, 0.5, 4, 4.0, "count")[0].tolist() == [1, 0, 1, 0, 0, 1, 1, 0]
    assert pruning.top_k(x, 0.5, 4, 4.0, "latency")[0].tolist() == [1, 0, 1, 0, 1, 0, 1, 0]
    assert pruning.top_k(x, 0.75, 4, 4.0, "latency")[0].tolist() == [
        1,
        0,
        1,
        0,
        1,
        1,
        1,
        0,
    ]  # tokens 1 and 3 tie, to the lower index


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0))
@settings(max_examples=50)
def test_all_pruners_keep_the_same_number_of_tokens_and_none_that_never_fired(seed, share):
    x, t, n = random_spikes(seed)
    fired = pruning.counts(x, n).cumsum(1) > 0
    wanted = fired.sum(2).clamp(max=max(1, round(share * n)))
    for pruner in PRUNERS:
        mask = pruning.top_k(x, share, n, 4.0, pruner, seed=seed).reshape(-1, t, n)
        assert (mask.sum(2) == wanted).all() and not (mask.bool() & ~fired).any(), pruner


@given(st.integers(0, 2**32 - 1), st.sampled_from(PRUNERS))
@settings(max_examples=50)
def test_a_mask_is_a_causal_function_of_the_sample_alone(seed, pruner):
    x, t, n = random_spikes(seed)
    mask = pruning.top_k(x, 0.5, n, 4.0, pruner, seed=3)
    order = torch.tensor([2, 0, 1])
    assert (pruning.top_k(x[order], 0.5, n, 4.0, pruner, seed=3) == mask[order]).all()
    later = x.clone()
    later[:, :, (t - 1) * n :] = 1 - later[:, :, (t - 1) * n :]
    assert (pruning.top_k(later, 0.5, n, 4.0, pruner, seed=3)[:, : (t - 1) * n] == mask[:, : (t - 1) * n]).all()


def test_random_changes_with_seed_sample_and_frame_and_favours_no_token():
    x = torch.ones(200, 1, 5 * 20)
    x[torch.arange(200), 0, torch.arange(200) % 20] = 0  # 20 different samples: one token silent in the first frame
    mask = pruning.top_k(x, 0.25, 20, 4.0, "random", seed=1).reshape(200, 5, 20)
    assert (mask[:20] == mask[20:40]).all() and not (mask[0] == mask[1]).all() and not (mask[0, 1] == mask[0, 2]).all()
    assert not (pruning.top_k(x, 0.25, 20, 4.0, "random", seed=2).reshape(200, 5, 20) == mask).all()
    many = torch.from_numpy(np.random.default_rng(0).random((400, 3, 100)) < 0.9).float()
    share = (
        pruning.top_k(many, 0.25, 20, 4.0, "random", seed=1).reshape(-1, 20).mean(0)
    )  # of 2,000 frames: standard error 0.01
    assert (share - 0.25).abs().max() < 0.05


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_fixed_gate_is_the_engines(seed):
    r = np.random.default_rng(seed)
    b, t, n, c = 2, int(r.integers(1, 5)), int(r.integers(1, 6)), 3
    x = (r.random((b, t * n, c)) < r.random()).astype(np.uint8)
    threshold = int(r.integers(1, 8))
    mask = pruning.fixed_gate(torch.from_numpy(x).float().transpose(1, 2), threshold, n)
    assert (mask.numpy() == engine.token_gate(x, threshold, n)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0))
@settings(max_examples=50)
def test_calibration_finds_the_closest_share(seed, share):
    c = torch.from_numpy(np.random.default_rng(seed).integers(0, 6, (4, 3, 5)))
    best = pruning.calibrate(pruning.histogram(c), share)
    error = [abs(float((c.cumsum(1) >= th).double().mean()) - share) for th in range(1, 30)]
    assert abs(error[best - 1] - min(error)) < 1e-12


@pytest.mark.parametrize("pruner", PRUNERS)
def test_only_pruners_by_count_get_gates_and_can_be_exported(pruner):
    encoder = events.Encoder(height=4, width=4, window=2, stride=2, frames=3, frame_us=1000)
    cfg = Config(encoder=dataclasses.asdict(encoder), stem=(), width=6, bank=8, pruner=pruner)
    torch.manual_seed(0)
    model = SmolMamba(cfg, encoder, 3)
    x = (np.random.default_rng(0).random((20, 12, 8)) < 0.4).astype(np.uint8)
    to_integers(model, x, cfg, "cpu")
    if pruner in pruning.FIXED_GATE:
        assert (model.thresholds > 0).all()
        assert [
            n.threshold for n in to_net(model, "abc", {}).nodes if n.name.endswith("sst")
        ] == model.thresholds.flatten().tolist()
    else:
        assert (model.thresholds == 0).all()
        with pytest.raises(
            UserError, match=f"prunes tokens by '{pruner}'.*only count.latency and count can be exported"
        ):
            to_net(model, "abc", {})
