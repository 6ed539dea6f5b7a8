"""The net as the chip sees it: integer nodes, each one dataclass with its equation, checked at birth.

Time. Everything here is written in *stream time*: step `k = t*K + i` carries what stands at place `i` of frame `t`
(`sim.net.tokens`), and a node's output at step `k` depends on its sources at the same step `k`. On the chip every
synapse costs one step; the delays that keep the paths aligned and the step at which each node answers are derived from
the graph by `sim.net.schedule`.

All states are zero at the first step of a sample.
"""

from dataclasses import dataclass, field, replace  # noqa: F401  (replace is re-exported for callers)
from html import escape
from typing import Any

import numpy as np

from ..base.errors import UserError
from ..integer import (
    BIAS_MAX,
    BIAS_MIN,
    DECAY_ONE,
    INPUT_LIMIT,
    PIXEL_BITS,
    SHIFT_MAX,
    STATE_LIMIT,
    THRESHOLD_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
    WEIGHT_STEP,
    fan_in,
)

TOKENS_LIMIT = 2**15 - 1  # tokens of a frame: their numbers are int16
STREAM_LIMIT = 2**30  # values of a sample: nothing is allocated for more
TOKENS, PHASE = "tokens", "phase"  # names of the two inputs every net has


def _require(ok, layer, text):
    if not ok:
        raise UserError(f"layer {layer!r}: {text}")


@dataclass(frozen=True, eq=False)
class Dense:
    """Synapse: `a[j] += (sum_i weight[j, i] * s_source[i]) >> shift`.

    Attributes:
        source: name of the node whose spikes come in.
        weight: int16 [n_out, n_in], even integers in [-256, 254].
        shift: 0 but for graded spikes, of whose sum it takes that many bits off, 0..8 (`sim.integer.graded_input`).
    """

    source: str
    weight: np.ndarray
    shift: int = 0


@dataclass(frozen=True, eq=False)
class Input:
    """Spikes from the host: the tokens or their phase, as they are sent or each frame reversed.

    Attributes:
        name: the first input of a net is `tokens`.
        size: channels C of the tokens, or N lines of the phase.
        of: `tokens` or `phase`.
        backward: if true, step `t*K + i` carries what stands at place `K-1-i` of frame `t`.
        message_bits: b > 0: the tokens are graded spikes, messages in 0..2**b - 1, b up to 8; 0: spikes, 0 or 1.
    """

    name: str
    size: int
    of: str = TOKENS
    backward: bool = False
    message_bits: int = 0


@dataclass(frozen=True, eq=False)
class Cuba:
    """CUBA neurons (equations in `sim.integer`), fed by one or more synapses.

    A bank of decays is a `Cuba` with different entries in `i_decay`: its current is the diagonal recurrence
    `h[k] = a * h[k-1] + b * x[k]`, `a = 1 - i_decay/4096`.

    Attributes:
        synapses: at least one `Dense`; all have the same number of rows.
        i_decay: int32 [n], 1..4096.
        bias: int32 [n], -4096..4095.
        v_decay, v_th: one integer each, 0..4096 and 0..131071.
        frame_reset: states are zeroed at the first step of every frame, not only of every sample.
    """

    name: str
    synapses: tuple
    i_decay: np.ndarray
    bias: np.ndarray
    v_decay: int
    v_th: int
    frame_reset: bool = False

    def __post_init__(self):
        _require(len(self.synapses) > 0, self.name, "has no synapse")
        sizes = {s.weight.shape[0] for s in self.synapses}
        _require(len(sizes) == 1, self.name, f"synapses disagree on the number of neurons: {sorted(sizes)}")
        n = sizes.pop()
        _require(self.i_decay.shape == (n,), self.name, f"i_decay has shape {self.i_decay.shape}, expected ({n},)")
        _require(self.bias.shape == (n,), self.name, f"bias has shape {self.bias.shape}, expected ({n},)")
        _require(((self.i_decay >= 1) & (self.i_decay <= DECAY_ONE)).all(), self.name, "i_decay outside 1..4096")
        _require(
            ((self.bias >= BIAS_MIN) & (self.bias <= BIAS_MAX)).all(), self.name, f"bias outside {BIAS_MIN}..{BIAS_MAX}"
        )
        _require(0 <= self.v_decay <= DECAY_ONE, self.name, f"v_decay {self.v_decay} outside 0..4096")
        _require(0 <= self.v_th <= THRESHOLD_MAX, self.name, f"v_th {self.v_th} outside 0..{THRESHOLD_MAX}")
        total = np.zeros(n, np.int64)
        for s in self.synapses:
            check_weight(s.weight, f"{self.name} <- {s.source}")
            total += fan_in(s.weight)
        _require(
            (total <= INPUT_LIMIT).all(),
            self.name,
            f"sum of |weights| of a neuron exceeds {INPUT_LIMIT}, the current could wrap twice in a step",
        )

    @property
    def size(self) -> int:
        return self.i_decay.shape[0]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(s.source for s in self.synapses)


@dataclass(frozen=True, eq=False)
class Readout:
    """Linear read-out: graded output `y[j, k] = sum over synapses of weight @ s`, summed over the sample by the host.

    The class is the argmax of `sum_k y[j, k]`, ties to the lowest index.
    """

    name: str
    synapses: tuple

    def __post_init__(self):
        _require(len(self.synapses) > 0, self.name, "has no synapse")
        _require(
            len({s.weight.shape[0] for s in self.synapses}) == 1,
            self.name,
            "synapses disagree on the number of classes",
        )
        for s in self.synapses:
            check_weight(s.weight, f"{self.name} <- {s.source}")

    @property
    def size(self) -> int:
        return self.synapses[0].weight.shape[0]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(s.source for s in self.synapses)


def check_weight(weight: np.ndarray, where: str) -> None:
    """Raises `UserError` unless `weight` is an integer matrix of even numbers in [-256, 254]."""
    _require(
        weight.ndim == 2 and np.issubdtype(weight.dtype, np.integer),
        where,
        f"weight must be an integer matrix, is {weight.dtype} {weight.shape}",
    )
    if weight.size:
        low, high = int(weight.min()), int(weight.max())
        _require(
            WEIGHT_MIN <= low and high <= WEIGHT_MAX,
            where,
            f"weights span [{low}, {high}], the chip takes [{WEIGHT_MIN}, {WEIGHT_MAX}]",
        )
        odd = weight[weight % WEIGHT_STEP != 0]
        if odd.size:
            raise UserError(f"layer {where!r}: weights must be even, found {int(odd[0])}")


@dataclass(frozen=True, eq=False, repr=False)
class Net:
    """A net and all that is needed to run it on recordings.

    Attributes:
        nodes: `Cuba` and `Readout` in an order in which sources come first; the last, and only it, is the `Readout`.
        inputs: `Input`s, the first is the tokens in the order in which they are sent.
        tokens, frames: N and T.
        places: K, tokens of a frame that are sent at most; a sample takes T*K steps. None for all N.
        orders: int16 [n, N], permutations of the tokens: frame `t` is read in `orders[t mod n]`. None for the order of
            their numbers. With two that are each other's reverse the scan alternates.
        encoder: plain dict for `events.Encoder(**encoder)`: how recordings become token streams.
        classes: names, in label order.
        facts: plain dict of JSON values: training facts, for people.
    """

    nodes: tuple
    inputs: tuple
    tokens: int
    frames: int
    # None stands for a value that `__post_init__` puts in: who reads a net meets that.
    places: int = None  # pyright: ignore[reportAssignmentType]
    orders: np.ndarray = None  # pyright: ignore[reportAssignmentType]
    encoder: dict = field(default_factory=dict)
    classes: tuple = ()
    facts: dict = field(default_factory=dict)

    def __post_init__(self):
        _require_net(
            self.tokens >= 1 and self.frames >= 1,
            f"needs at least one token and one frame, has {self.tokens} and {self.frames}",
        )
        _require_net(
            self.tokens <= TOKENS_LIMIT,
            f"has {self.tokens} tokens, more than {TOKENS_LIMIT}, the last number that one has",
        )
        object.__setattr__(self, "places", self.tokens if self.places is None else self.places)
        orders = np.arange(self.tokens)[None] if self.orders is None else np.asarray(self.orders)
        object.__setattr__(self, "orders", orders)
        _require_net(
            1 <= self.places <= self.tokens,
            f"sends {self.places} tokens a frame, expected 1 to {self.tokens}, the tokens of its grid",
        )
        self._check_orders()
        self._check_inputs()
        _require_net(
            self.steps * self.inputs[0].size <= STREAM_LIMIT,
            f"a sample of {self.steps} steps of {self.inputs[0].size} channels is more than {STREAM_LIMIT} values",
        )
        sizes = {i.name: i.size for i in self.inputs}
        for node in self.nodes:
            _require(node.name not in sizes, node.name, "name used twice")
            for s in node.synapses:
                _require(s.source in sizes, node.name, f"source {s.source!r} is not defined before it")
                _require(
                    s.weight.shape[1] == sizes[s.source],
                    node.name,
                    f"weight from {s.source!r} has {s.weight.shape[1]} columns, the source has"
                    f" {sizes[s.source]} neurons",
                )
            sizes[node.name] = node.size
        self._check_graded()
        last = [isinstance(n, Readout) for n in self.nodes]
        _require_net(bool(last) and last[-1] and sum(last) == 1, "the last node, and only it, must be a Readout")

    def __repr__(self):
        """One line; the weights of a net fill a screen."""
        sent = f"{self.places} of {self.tokens} tokens" if self.places < self.tokens else f"{self.tokens} tokens"
        return (
            f"Net({len(self.nodes)} layers, {sum(n.size for n in self.nodes):,} neurons, {self.frames} frames of"
            f" {sent}, {self.inputs[0].size} channels, {self.nodes[-1].size} classes)"
        )

    def _repr_html_(self):
        """A table of the layers, for notebooks."""
        rows = [(i.name, "input", i.size, "", "") for i in self.inputs]
        for node in self.nodes:
            weights = sum(int(np.count_nonzero(s.weight)) for s in node.synapses)
            rows.append((node.name, type(node).__name__, node.size, ", ".join(node.sources), f"{weights:,}"))
        cells = ("<td>" + "</td><td>".join(escape(str(cell)) for cell in row) + "</td>" for row in rows)
        head = "<th>" + "</th><th>".join(("layer", "kind", "neurons", "sources", "weights other than 0")) + "</th>"
        return f"<p>{escape(repr(self))}</p><table><tr>{head}</tr>{''.join(f'<tr>{c}</tr>' for c in cells)}</table>"

    def _check_orders(self):
        orders = self.orders
        _require_net(
            orders.ndim == 2 and len(orders) >= 1 and orders.shape[1] == self.tokens and orders.dtype.kind in "iu",
            f"scan orders are {orders.dtype} {orders.shape}, expected integers [orders, {self.tokens}]",
        )
        _require_net(
            len(orders) <= self.frames, f"has {len(orders)} scan orders for {self.frames} frames, more than are used"
        )
        _require_net(
            (np.sort(orders, 1) == np.arange(self.tokens)).all(),
            f"a scan order must name each of the tokens 0..{self.tokens - 1} once",
        )

    def _check_inputs(self):
        first = self.inputs[0] if self.inputs else None
        _require_net(
            first is not None and first.name == TOKENS and first.of == TOKENS and not first.backward,
            "the first input must be named 'tokens'",
        )
        names = set()
        sizes = {TOKENS: self.inputs[0].size, PHASE: self.tokens}
        for i in self.inputs:
            _require(i.name not in names, i.name, "name used twice")
            _require(i.of in sizes, i.name, f"is a view of {i.of!r}, expected {' or '.join(sizes)}")
            _require(
                i.size == sizes[i.of],
                i.name,
                f"is a view of {i.of!r} and must have its size {sizes[i.of]}, has {i.size}",
            )
            names.add(i.name)

    def _check_graded(self):
        """Messages, and the sums of weights times messages, must fit."""
        for i in self.inputs:
            bits = self.message_bits if i.of == TOKENS else 0
            _require(
                i.message_bits == bits <= PIXEL_BITS and bits >= 0,
                i.name,
                f"message_bits is {i.message_bits}, expected 0..{PIXEL_BITS}, the same for all views of the tokens, 0"
                " for the phase",
            )
        sources = {i.name: i for i in self.inputs} if self.message_bits else {}
        for node in self.nodes:
            for s in node.synapses:
                _check_shift(node, s, sources.get(s.source))
            most = np.sum([largest_input(s, sources.get(s.source)) for s in node.synapses], 0)
            _require(
                isinstance(node, Readout) or bool((most <= INPUT_LIMIT).all()),
                node.name,
                f"its dendritic input can exceed {INPUT_LIMIT}, the current could wrap twice in a step; take smaller"
                " weights or a larger shift",
            )

    @property
    def message_bits(self) -> int:
        """Bits of the tokens' messages, 0 where they are spikes."""
        return self.inputs[0].message_bits

    @property
    def steps(self) -> int:
        """Steps per sample, T*K."""
        return self.places * self.frames

    def node(self, name: str) -> Any:  # an `Input`, a `Cuba` or a `Readout`: who asks knows which
        """The node or input of that name; KeyError if there is none."""
        return {n.name: n for n in (*self.inputs, *self.nodes)}[name]


def largest_input(synapse: Dense, source: Input | Cuba | Readout | None) -> np.ndarray:
    """int64 [n]: bound on the size of what a synapse brings to each neuron in a step.

    source: what it reads, where messages may be graded.
    """
    bits = getattr(source, "message_bits", 0)
    most = fan_in(synapse.weight) * ((1 << bits) - 1 or 1)
    return (most >> synapse.shift) + bool(bits)  # rounded down: a negative sum may be one further from 0


def _check_shift(node, synapse, source):
    where, bits = f"{node.name} <- {synapse.source}", getattr(source, "message_bits", 0)
    _require(
        0 <= synapse.shift <= (SHIFT_MAX if bits else 0),
        where,
        f"shift {synapse.shift}, expected 0..{SHIFT_MAX} from graded spikes, 0 from others",
    )
    if bits:
        _require(isinstance(node, Cuba), where, "a read-out of graded spikes; put a layer between")
        most = int(fan_in(synapse.weight).max(initial=0)) * ((1 << bits) - 1)
        _require(
            most < STATE_LIMIT,
            where,
            f"weights times messages can add up to {most}, 24 bits hold {STATE_LIMIT - 1}; take smaller weights or"
            " fewer message bits",
        )


def _require_net(ok, text):
    if not ok:
        raise UserError(f"net: {text}")
