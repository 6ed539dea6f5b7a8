"""SST-TP: the score, its ties, the fixed gate and its calibration."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import engine
from train import pruning


def spikes(counts):
    """[T][N] numbers of spikes -> [1, C, T*N] with that many channels firing."""
    c = torch.tensor(counts).reshape(-1)
    return (torch.arange(8)[:, None] < c[None]).float()[None]


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
    assert pruning.top_k(x, 0.5, 2, 0.0).tolist() == [[0, 1, 1, 0]]      # without the bonus a tie, to the lower index


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_fixed_gate_is_the_engines(seed):
    r = np.random.default_rng(seed)
    b, t, n, c = 2, int(r.integers(1, 5)), int(r.integers(1, 6)), 3
    x = (r.random((b, t * n, c)) < r.random()).astype(np.uint8)
    threshold = int(r.integers(1, 8))
    mask = pruning.fixed_gate(torch.from_numpy(x).float().transpose(1, 2), threshold, n)
    assert (mask.numpy() == engine.token_gate(x, threshold, n)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0))
@settings(max_examples=50, deadline=None)
def test_calibration_finds_the_closest_share(seed, share):
    c = torch.from_numpy(np.random.default_rng(seed).integers(0, 6, (4, 3, 5)))
    best = pruning.calibrate(pruning.histogram(c), share)
    error = [abs(float((c.cumsum(1) >= th).double().mean()) - share) for th in range(1, 30)]
    assert abs(error[best - 1] - min(error)) < 1e-12
