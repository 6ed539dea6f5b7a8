"""The Triton kernels, in Triton's interpreter on the CPU where there is no GPU: the same spikes and gradients as the
plain torch loops.
"""

import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
pytest.importorskip("triton", reason="triton is not installed (it comes with torch's CUDA builds)")

from train import dynamics
from train.dynamics import cuda as dynamics_cuda  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def case(seed, edge):
    """Dendritic input, bias, decays and gains of 40 channels, more than a program takes; edge: driven across the
    24-bit limit.
    """
    r = np.random.default_rng(seed)
    n = 40
    gain = torch.from_numpy(2.0 ** r.integers(0, 6, n)).float()
    mantissas = torch.from_numpy(
        r.integers(-(2**17), 2**17 + 1, (2, 21, n)) if edge else r.integers(-300, 300, (2, 21, n))
    )
    if edge:
        mantissas[:, ::5] = 2**17  # currents of 2**23, the one value whose magnitude takes 24 bits
    x = (mantissas.double() / (64 * gain)).float().transpose(1, 2)
    bias = (torch.from_numpy(r.integers(-4096, 4096, n)).double() / (64 * gain)).float()
    i_decay = torch.from_numpy(r.choice([1, 20, 600, 4096], n))
    return [t.to(DEVICE) for t in (x, bias, i_decay, gain)]


@pytest.mark.parametrize("edge", [False, True])
@pytest.mark.parametrize("v_decay,reset", [(4095, 0), (300, 5), (0, 0)])
def test_exact_forward(edge, v_decay, reset):
    x, bias, i_decay, gain = case(1, edge)
    v, s = dynamics_cuda.forward(x, bias, i_decay, v_decay, gain, reset)
    v_expected, s_expected = dynamics.forward_reference(x, bias, i_decay, v_decay, gain, reset)
    assert 0 < s.mean() < 1 and x.shape[2] % 8
    assert torch.equal(s, s_expected) and torch.equal(v, v_expected)


@pytest.mark.parametrize("reset", [0, 5])
def test_float_forward_and_gradients(reset):
    x, bias, i_decay, gain = case(2, False)
    v, s = dynamics_cuda.forward(x, bias, i_decay, 300, None, reset)
    v_expected, s_expected = dynamics.forward_reference(x, bias, i_decay, 300, None, reset)
    assert (s != s_expected).float().mean() < 0.01  # a sum that rounds the other way at the threshold
    torch.testing.assert_close(v[s == s_expected], v_expected[s == s_expected], rtol=1e-4, atol=1e-4)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    for a, b in zip(
        dynamics_cuda.backward(g, v, i_decay, 300, 0.5, 1.0, reset),
        dynamics.backward_reference(g, v, i_decay, 300, 0.5, 1.0, reset),
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for reverse in (False, True):
        torch.testing.assert_close(
            dynamics_cuda.leak(x, i_decay, reset, reverse), dynamics.leak_reference(x, i_decay, reset, reverse)
        )


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("reset", [0, 5])
def test_the_state_is_handed_on(exact, reset):
    x, bias, i_decay, gain = case(3, False)
    gain = gain if exact else None
    v, s = dynamics_cuda.forward(x, bias, i_decay, 300, gain, reset)
    state, parts = [torch.zeros(2, 40, device=DEVICE) for _ in range(2)], []
    for begin, end in ((0, 10), (10, 21)):
        parts.append(dynamics_cuda.forward(x[..., begin:end], bias, i_decay, 300, gain, reset, state))
    for whole, i in ((v, 0), (s, 1)):
        assert torch.equal(torch.cat([p[i] for p in parts], 2), whole)
    expected = [torch.zeros(2, 40, device=DEVICE) for _ in range(2)]
    dynamics.forward_reference(x, bias, i_decay, 300, gain, reset, expected)
    for a, b in zip(state, expected):
        torch.testing.assert_close(a, b, rtol=0 if exact else 1e-4, atol=0 if exact else 1e-4)
    first = dynamics_cuda.leak(x[..., :10], i_decay, reset, False)
    later = dynamics_cuda.leak(x[..., 10:], i_decay, reset, False, first[..., -1].contiguous())
    assert torch.equal(torch.cat([first, later], 2), dynamics_cuda.leak(x, i_decay, reset, False))
