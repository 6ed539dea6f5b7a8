"""The training kernels: forward bit-identical to SLAYER's own loop and to plain torch, gradients equal, and the
chip's wrap where SLAYER has none.
"""

import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.base.errors import UserError
from sim.integer import cuba_step
from train import dynamics
from train.model.slayer import slayer

TAU, SCALE = 0.5, 1.0


def stream(r, batch, n, steps, top=40):
    """[B, n, K] dendritic input in multiples of the weight step, channels-last in memory."""
    return torch.from_numpy(r.integers(-top, top + 1, (batch, steps, n)).astype(np.float32) * 2 / 64).transpose(1, 2)


def slayer_neuron(i_decay, v_decay, gain=1.0):
    return slayer.neuron.cuba.Neuron(
        threshold=gain,
        current_decay=i_decay / 4096,
        voltage_decay=v_decay / 4096,
        tau_grad=TAU / 100,
        scale_grad=SCALE * 10,
    )


@pytest.mark.parametrize("i_decay,v_decay,gain", [(4096, 4095, 1.0), (20, 4095, 1.0), (512, 300, 4.0), (2048, 0, 16.0)])
def test_forward_and_gradient_are_slayers(i_decay, v_decay, gain):
    x = stream(np.random.default_rng(1), 3, 5, 60)
    ours, theirs = x.clone().requires_grad_(), (x * gain).clone().requires_grad_()
    g = torch.randn(3, 5, 60)
    s = dynamics.cuba(ours, torch.zeros(5), torch.full((5,), i_decay), v_decay, torch.full((5,), gain), TAU, SCALE)
    neuron = slayer_neuron(i_decay, v_decay, gain)
    expected = neuron(theirs)
    assert expected.sum() > 0
    assert torch.equal(s, expected)
    s.backward(g)
    expected.backward(g)
    # The gain cancels: SLAYER's surrogate is `gain` times as wide and as much lower, its input `gain` times as large.
    # float32 sums may round differently, and SLAYER's threshold lies 0.01/4096 higher.
    torch.testing.assert_close(ours.grad, theirs.grad * gain, rtol=1e-4, atol=2e-5 * float(ours.grad.abs().max()))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_kernel_is_the_definition(seed):
    r = np.random.default_rng(seed)
    batch, n, steps = 2, 6, 30
    gain = torch.from_numpy(2.0 ** r.integers(0, 6, n)).float()
    mantissas = (
        r.integers(-(2**17), 2**17 + 1, (batch, steps, n))
        if r.random() < 0.5
        else r.integers(-300, 300, (batch, steps, n))
    )
    bias = r.integers(-4096, 4096, n)
    i_decay, v_decay, reset = (
        torch.from_numpy(r.choice([1, 20, 600, 4096], n)),
        int(r.choice([0, 300, 4095])),
        int(r.choice([0, 5])),
    )
    x = (torch.from_numpy(mantissas).double() / (64 * gain)).float().transpose(1, 2)
    b = (torch.from_numpy(bias).double() / (64 * gain)).float()
    s = dynamics.cuba(x, b, i_decay, v_decay, gain, TAU, SCALE, reset)
    _, reference = dynamics.forward_reference(x, b, i_decay, v_decay, gain, reset)
    assert torch.equal(s, reference)
    u = v = np.zeros((batch, n), np.int64)
    for k in range(steps):
        if reset and k % reset == 0:
            u = v = np.zeros((batch, n), np.int64)
        u, v, spikes = cuba_step(u, v, mantissas[:, k], i_decay.numpy(), v_decay, (64 * gain).long().numpy(), bias)
        assert (s[..., k].numpy() == spikes).all()


@pytest.mark.parametrize("reset", [0, 7])
def test_backward_kernels_are_plain_torch(reset):
    r = np.random.default_rng(2)
    g = torch.from_numpy(r.normal(size=(2, 30, 6)).astype(np.float32)).transpose(1, 2)
    v = torch.from_numpy(r.normal(1, 3, size=(2, 30, 6)).astype(np.float32)).transpose(1, 2)
    i_decay = torch.tensor([1, 20, 600, 2048, 4095, 4096])
    arguments = (g, v, i_decay, 300, TAU, SCALE, reset)
    for a, b in zip(dynamics.cpu.backward(*arguments), dynamics.backward_reference(*arguments)):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("tau", [0.01, 0.5, 3.0])
def test_surrogate_of_the_kernel_is_torchs(tau):
    """With both decays full the gradient at the input is the surrogate times the gradient at the spike."""
    v = torch.linspace(-40, 42, 4096).reshape(1, 1, -1)
    full, one = torch.tensor([4096]), torch.ones_like(v)
    ours, _ = dynamics.cpu.backward(one, v, full, 4096, tau, SCALE, 0)
    torch.testing.assert_close(ours, dynamics.surrogate(v, 1.0, tau, SCALE), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("reset", [0, 5])
def test_float_dynamics_and_their_gradient_by_autograd(reset):
    """Without rounding and without spikes the kernel is a linear filter, which autograd differentiates by itself."""
    r = np.random.default_rng(3)
    i_decay = torch.tensor([20, 600, 4096])
    x = stream(r, 2, 3, 20).requires_grad_()
    y = x.detach().clone().requires_grad_()
    out = dynamics.leak(x, i_decay, reset)
    u, steps = torch.zeros(2, 3), []
    for k in range(20):
        u = (torch.zeros_like(u) if reset and k % reset == 0 else u) * (1 - i_decay / 4096) + y[..., k]
        steps.append(u)
    expected = torch.stack(steps, -1)
    torch.testing.assert_close(out, expected)
    w = torch.randn(2, 3, 20)
    (out * w).sum().backward()
    (expected * w).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_current_wraps_at_24_bits_where_slayers_does_not():
    x = torch.full((1, 1, 400), 4.0)  # slow decay, strong drive: crosses 2**23
    gain = torch.ones(1) * 32
    _, s = dynamics.cpu.forward(x, torch.zeros(1), torch.tensor([1]), 4095, gain, 0)
    theirs = slayer_neuron(1, 4095, 32.0)(x * 32)
    assert theirs.all() and not s.all()


@pytest.mark.parametrize(
    "triton, message",
    [
        (None, "needs the package triton"),
        (types.SimpleNamespace(__version__="3.1.0"), "needs triton 3.2 or later .*3.1.0 is installed"),
    ],
)
def test_cuda_without_a_triton_that_will_do_is_one_clear_line(monkeypatch, triton, message):
    """Releases before 3.2 compute something else from our kernels, without a word."""
    monkeypatch.setitem(sys.modules, "triton", triton)
    dynamics.functions._cuda_kernels.cache_clear()
    with pytest.raises(UserError, match=message):
        dynamics.functions._kernels(torch.device("cuda"))


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("reset", [0, 5])
def test_a_stream_in_parts_is_the_stream(exact, reset):
    """With the state handed on; parts are a whole number of resets long."""
    r = np.random.default_rng(5)
    gain = torch.from_numpy(2.0 ** r.integers(0, 6, 6)).float()
    x = (torch.from_numpy(r.integers(-(2**16), 2**16, (2, 30, 6))).double() / (64 * gain)).float().transpose(1, 2)
    i_decay, bias = torch.tensor([1, 20, 600, 2048, 4095, 4096]), torch.linspace(-0.5, 0.5, 6)
    for forward in (dynamics.forward_reference, dynamics.cpu.forward):
        g = gain if exact else None
        v, s = forward(x, bias, i_decay, 300, g, reset)
        state, parts = (torch.zeros(2, 6), torch.zeros(2, 6)), []
        for begin, end in ((0, 10), (10, 15), (15, 30)):
            parts.append(forward(x[..., begin:end], bias, i_decay, 300, g, reset, state))
        assert torch.equal(torch.cat([p[0] for p in parts], 2), v) and torch.equal(
            torch.cat([p[1] for p in parts], 2), s
        )
        assert state[0].abs().sum() > 0
    for leak in (dynamics.leak_reference, dynamics.cpu.leak):
        whole = leak(x, i_decay, reset, False)
        first = leak(x[..., :10], i_decay, reset, False)
        later = leak(x[..., 10:], i_decay, reset, False, first[..., -1].contiguous())
        assert torch.equal(torch.cat([first, later], 2), whole)
