"""Real populations as integers. The rule stands in docs/nir.md."""

from dataclasses import dataclass

import numpy as np

from sim.base.errors import UserError
from sim.integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, INPUT_LIMIT, THRESHOLD_MAX, WEIGHT_MAX, WEIGHT_MIN, WEIGHT_STEP
from sim.sequential import THRESHOLD_NEVER, Neuron

from .maps import as_matrix
from .populations import Population
from .values import CLOSE

WORST_WEIGHTS = 0.1  # RMS error of a layer's weights over their RMS, above which the rounding has ruined it
WORST_DECAY = 0.25  # relative


class Ruined(UserError):
    """A layer that rounding would make another one."""


@dataclass(frozen=True, eq=False)
class Integers:
    """A population in integers.

    Attributes:
        weights: int16, for each edge the kernel's weight or a matrix.
        neuron: with biases [1], [channels] or [neurons].
        row: of the report.
    """

    weights: tuple
    neuron: Neuron
    row: dict


def quantized(p: Population) -> Integers:
    """If weights (even), biases and one threshold are integers in range already, they stay. Otherwise each row (of a
    channel where all edges are kernels, else of a neuron) is scaled so that its threshold becomes the layer's, which is
    the largest integer at which no weight, bias and sum of weights leaves its range; then weights are rounded to even
    integers, biases to integers. Neurons that never spike are scaled as one.

    Raises:
        UserError: something that the chip cannot have. `Ruined`: rounding would change the layer beyond use.
    """
    d, n = p.dynamics, int(np.prod(p.shape))
    kernels = all(m.kernel is not None for _, m in p.edges) and _alike(d, p)
    rows = p.shape[0] if kernels else n
    parts = [m.kernel.weight if kernels else as_matrix(m, p.where) for _, m in p.edges]
    i_decay, v_decay = (np.rint(DECAY_ONE * x).astype(np.int32) for x in (d.du, d.dv))
    if len(np.unique(v_decay)) > 1:
        raise UserError(f"node {p.name!r}: has several membrane time constants, a layer of the chip has one; split it")
    gain = d.gain.reshape(rows, -1)[:, 0]
    threshold = None if d.threshold is None else d.threshold.reshape(rows, -1)[:, 0]
    real = np.concatenate([part.reshape(rows, -1) for part in parts], 1) * gain[:, None]
    bias, notes = _bias(p, rows)
    exact = _exact(real, bias, threshold)
    v_th, scale = _scale(real, bias, threshold, exact, p)
    w, b = real * scale[:, None], bias * scale
    rounded = np.clip(np.rint(w / WEIGHT_STEP) * WEIGHT_STEP, WEIGHT_MIN, WEIGHT_MAX).astype(np.int16)
    rounded_bias = np.clip(np.rint(b), BIAS_MIN, BIAS_MAX).astype(np.int32)
    row = dict(
        layer=p.name,
        exact=bool(exact),
        threshold=v_th,
        i_decay=np.unique(i_decay).tolist(),
        v_decay=int(v_decay[0]),
        weight_error=float(np.sqrt(((rounded - w) ** 2).sum() / max((w**2).sum(), 1e-300))),
        decay_error=max(_relative(q, x) for q, x in ((i_decay, d.du), (v_decay, d.dv))),
        bias_error=float(np.abs(rounded_bias - b).max() / max(v_th, 1)),
        notes=[*d.notes, *notes],
    )
    if threshold is None:
        row["scale"] = float(scale[0])
    _require_use(row, p, w)
    cut = np.cumsum([part.reshape(rows, -1).shape[1] for part in parts])[:-1]
    weights = tuple(
        np.ascontiguousarray(x.reshape(part.shape)) for x, part in zip(np.split(rounded, cut, axis=1), parts)
    )
    return Integers(weights, Neuron(_one(i_decay), row["v_decay"], v_th, _one(rounded_bias)), row)


def _alike(d, p):
    """Whether neurons of a channel have the same parameters, biases of the edges included."""
    found = [d.gain, d.bias, *(m.bias for _, m in p.edges)] + ([] if d.threshold is None else [d.threshold])
    per = (x.reshape(p.shape[0], -1) for x in found)
    return all((np.abs(x - x[:, :1]) <= CLOSE * np.abs(x[:, :1])).all() for x in per)


def _bias(p, rows):
    """([rows], notes): what is added to the membrane at every step."""
    d = p.dynamics
    drive = sum((m.bias for _, m in p.edges), np.zeros(len(d.bias)))
    bias, notes = d.bias + d.gain * drive / d.du, []
    if (drive != 0).any() and (d.du != 1).any():
        notes.append(
            f"node {p.where!r}: its bias enters a current that leaks; the chip adds it to the membrane, as the current"
            f" would when it has settled ({1 / d.du.min():.3g} steps)"
        )
    return bias.reshape(rows, -1)[:, 0], notes


def _exact(rows, bias, threshold):
    return (
        _integers(rows, WEIGHT_MIN, WEIGHT_MAX, WEIGHT_STEP)
        and _integers(bias, BIAS_MIN, BIAS_MAX)
        and (
            threshold is None or (_integers(threshold, 0, THRESHOLD_NEVER) and len(np.unique(np.rint(threshold))) == 1)
        )
    )


def _integers(x, low, high, step=1):
    return bool(
        (np.abs(x / step - np.rint(x / step)) <= CLOSE * np.maximum(np.abs(x), 1)).all()
        and np.rint(x.min()) >= low
        and np.rint(x.max()) <= high
    )


def _scale(rows, bias, threshold, exact, p):
    """(the layer's threshold, [rows] by which weights and biases are multiplied)."""
    ones = np.ones(len(rows))
    if exact:
        return THRESHOLD_NEVER if threshold is None else int(np.rint(threshold[0])), ones
    limit = _largest(rows, bias)
    if threshold is None:
        scale = float(limit.min())
        return THRESHOLD_NEVER, ones * (scale if np.isfinite(scale) else 1)
    if (threshold <= 0).any():
        raise UserError(f"node {p.name!r}: v_threshold must be positive")
    v_th = int(np.floor(min(float((threshold * limit).min()), THRESHOLD_MAX)))
    if v_th < 1:
        raise UserError(
            f"node {p.name!r}: its threshold is less than 1/{WEIGHT_MAX} of a weight or 1/{BIAS_MAX} of a bias, which"
            " the chip's integers do not reach"
        )
    return v_th, v_th / threshold


def _largest(rows, bias):
    """[rows]: the largest factors at which everything stays in range; rounding to even adds at most one to a weight."""
    room = (
        (WEIGHT_MAX, rows.max(1, initial=0)),
        (-WEIGHT_MIN, (-rows).max(1, initial=0)),
        (BIAS_MAX, np.abs(bias)),
        (INPUT_LIMIT - rows.shape[1], np.abs(rows).sum(1)),
    )
    with np.errstate(divide="ignore"):
        return np.min([np.where(value > 0, limit / np.where(value > 0, value, 1), np.inf) for limit, value in room], 0)


def _relative(rounded, x):
    return float(np.abs(rounded / DECAY_ONE - x).max() / x.min()) if x.any() else 0.0


def _require_use(row, p, w):
    if row["weight_error"] > WORST_WEIGHTS:
        raise Ruined(
            f"node {p.where!r}: rounding ruins its weights (RMS error {row['weight_error']:.0%}): the largest is"
            f" {np.abs(w).max():.2g} where the threshold is {row['threshold']}, and weights are even integers"
        )
    if row["decay_error"] > WORST_DECAY:
        raise Ruined(f"node {p.name!r}: rounding changes a time constant by {row['decay_error']:.0%}")


def _one(x):
    """[1] if all are equal, as files say it."""
    return x[:1].astype(np.int32) if (x == x[0]).all() else x.astype(np.int32)
