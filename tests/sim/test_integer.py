"""The integer semantics: the definition on its edges, the compiled kernel against it, and against Lava's own model."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim import integer
from sim.engine import kernels
from sim.integer import STATE_LIMIT, clip24, cuba_step, decay, wrap24

EDGES = [0, 1, 4095, 4096, STATE_LIMIT - 1, STATE_LIMIT]
state = st.one_of(
    st.integers(-STATE_LIMIT + 1, STATE_LIMIT), st.sampled_from([s * e for e in EDGES[:-1] for s in (1, -1)])
)


def test_decay_rounds_toward_zero():
    assert decay([-1, 1, -4097, 4097], 1).tolist() == [0, 0, -4095, 4095]
    assert decay([12345, -12345], 0).tolist() == [12345, -12345]
    assert decay([STATE_LIMIT, -STATE_LIMIT + 1], 4096).tolist() == [0, 0]


def test_wrap_and_clip_at_the_edge():
    assert wrap24([STATE_LIMIT, STATE_LIMIT + 1, -STATE_LIMIT + 1, -STATE_LIMIT]).tolist() == [
        STATE_LIMIT,
        -STATE_LIMIT + 1,
        -STATE_LIMIT + 1,
        STATE_LIMIT,
    ]
    assert clip24([STATE_LIMIT, -STATE_LIMIT]).tolist() == [STATE_LIMIT - 1, -STATE_LIMIT + 1]


def test_a_voltage_on_the_threshold_does_not_fire():
    u, v, s = cuba_step(np.zeros(2, int), np.zeros(2, int), [6, 8], 4096, 4096, 6, 0)
    assert u.tolist() == [384, 512] and v.tolist() == [384, 0] and s.tolist() == [False, True]


@example(STATE_LIMIT, 0)
@example(-STATE_LIMIT, 0)
@example(1 - STATE_LIMIT, 0)
@given(st.integers(-3 * STATE_LIMIT + 1, 3 * STATE_LIMIT - 1), st.integers(0, 4096))
def test_kernel_functions_are_the_definition(x, d):
    assert kernels.decay64.py_func(float(x), float(kernels.keep_share(d))) == decay(x, d)
    assert kernels.wrap64.py_func(float(x)) == wrap24(x)
    assert kernels.clip64.py_func(float(x)) == clip24(x)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_scan_is_the_definition_step_by_step(seed):
    r = np.random.default_rng(seed)
    batch, steps, n = 3, 40, int(r.choice([7, 16]))
    top = int(r.choice([100, 5000, integer.INPUT_LIMIT]))
    a = r.integers(-top, top + 1, (batch, steps, n))
    i_decay, bias = r.choice([1, 2, 20, 600, 4095, int(r.choice([600, 4096]))], n), r.integers(-4096, 4096, n)
    v_decay, v_th, reset = (
        int(r.choice([0, 1, 300, 4095, 4096])),
        int(r.choice([0, 1, 64, 5000, 2**17 - 1])),
        int(r.choice([0, 1, 8])),
    )
    spikes = np.empty((batch, steps, n), np.uint8)
    currents, last_u, last_v = a.astype(np.float32), np.zeros((batch, n)), np.zeros((batch, n))
    kernels.cuba_scan(
        currents,
        kernels.keep_share(i_decay),
        bias * 64.0,
        float(kernels.keep_share(v_decay)),
        v_th * 64.0,
        reset,
        last_u,
        last_v,
        spikes,
    )
    u = v = np.zeros((batch, n), np.int64)
    for k in range(steps):
        if reset and k % reset == 0:
            u = v = np.zeros((batch, n), np.int64)
        u, v, s = cuba_step(u, v, a[:, k], i_decay, v_decay, v_th, bias)
        assert (s == spikes[:, k]).all() and (u == currents[:, k]).all()
    assert (u == last_u).all() and (v == last_v).all()


@pytest.mark.parametrize("i_decay,v_decay,v_th", [(1, 0, 2**17 - 1), (20, 4095, 100), (4096, 4096, 0), (2000, 1, 5000)])
def test_definition_is_lavas_bit_accurate_model(i_decay, v_decay, v_th):
    """The step function against `PyLifModelBitAcc.subthr_dynamics` itself, with states driven over the 24-bit edge."""
    from sim.lava import compat

    compat.apply()
    from lava.proc.lif.models import PyLifModelBitAcc

    r = np.random.default_rng(0)
    n = 200
    bias = r.integers(-4096, 4096, n)
    lava = PyLifModelBitAcc({})
    lava.u, lava.v = np.zeros(n, np.int32), np.zeros(n, np.int32)
    lava.du, lava.dv, lava.vth = i_decay - 1, v_decay, v_th
    lava.bias_mant, lava.bias_exp = bias.astype(np.int16), np.full(n, 6, np.int16)
    lava.scale_bias()
    lava.scale_threshold()
    u = v = np.zeros(n, np.int64)
    for k in range(300):
        a = r.integers(-integer.INPUT_LIMIT, integer.INPUT_LIMIT + 1, n) if k % 3 else np.full(n, integer.INPUT_LIMIT)
        lava.subthr_dynamics(a.astype(np.int32))
        spikes = lava.spiking_activation()
        lava.reset_voltage(spikes)
        u, v, s = cuba_step(u, v, a, i_decay, v_decay, v_th, bias)
        assert (u == lava.u).all() and (v == lava.v).all() and (s == spikes).all()


def test_weight_histogram():
    """Equal bins, ends included, zeros apart, nothing lost."""
    counts, zeros = integer.weight_histogram([np.array([[0, -256, 254], [2, 0, -2]]), np.array([300.0, -1000.0, 0.5])])
    assert zeros == 2 and sum(counts) == 7 and len(counts) == integer.WEIGHT_BINS
    assert counts[0] == 2 and counts[-1] == 2 and counts[16] == 2 and counts[15] == 1
    assert integer.weight_histogram([]) == ([0] * integer.WEIGHT_BINS, 0)
