"""The one configuration of a training run, its presets, and how it is checked."""

import sys
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from events import Encoder
from events.encoder import PRUNERS
from sim import prices
from sim.base.errors import UserError
from sim.base.memory import require, require_synapses

VERSION = 2  # of the checkpoint's layout
SPIKES_MAX = 127  # of `inner`: twice that is a weight
REMOVABLE = ("input", "stem", "bank", "gate", "out", "readout")  # kinds of synapses, see `train.sparse.removal`


@dataclass(frozen=True)
class Config:
    """Everything that decides what is trained; stored in the checkpoint.

    Attributes:
        dataset: name in the data registry. encoder: geometry and frames, a dict for `events.Encoder`; empty takes its
            defaults. What is sent of them, the next two lines say.
        scan: "alternate" (frames are read forward and backward by turns), "cross" (and by rows and columns, both ways),
            "forward", "twin" (one tower in reading order, one in reverse, joined at the read-out).
        share: of a frame's tokens that are sent, K = round(share * N); 1 sends every token, whatever comes next.
        pruner, early, leak, least: which those are (`events.Encoder`): "count", "latency" or "random"; what each frame
            since its first event adds to a token's count; what the count loses a frame, in 256ths; and the count that
            opens the gate.
        stem: widths of the hidden layers of the patch embedding. width: channels C of the stream.
        blocks: number of Vision SmolMamba blocks. bank: neurons of a block's state bank, a multiple of len(decays).
        decays: time constants of the bank's modes in stream steps; `i_decay = 4096 / tau`.
        inner: stages of the token pruning inside the net, one number for each block, or none: spikes that a token must
            have had one layer before the one that would send it on to the block; 0: no stage there (`train.stage`).
        gate: "read" (state spikes pass where a memoryless gate spikes too) or "none".
        state: "sample" (the bank's state runs on across frames) or "frame".
        mix_decay: membrane decay of a block's output, 4095 for memoryless; smaller leaks into the next tokens.
        float_epochs, exact_epochs: epochs with float dynamics, then with the chip's integers.
        lr, exact_lr, weight_decay, batch, warmup (share of the float epochs), label_smoothing: of the optimiser. The
            batch is that of all processes together.
        accumulate: parts that a process cuts its share of a batch into, to save memory; the optimiser's steps stay the
            same.
        amp: 16-bit matrix products in the float phase; on CUDA TF32 ones in the integer phase, whose forward pass stays
            exact.
        patience: integer epochs without a better net (`train.sparse.cost.rank`) after which training ends; 0: never.
        energy_uj: microjoules that a sample may cost the integer net, which training steers to (`train.sparse.cost`);
            0: no target. energy_factor: what a microjoule adds to the loss, for good without a target, else to begin
            with; 0: nothing, and with a target a start that follows from it. prices: the table of prices
            (`sim.prices`).
        sparsity: share of each neuron's synapses that are removed on the way to the integers (`train.sparse.removal`):
            one for all kinds but the read-out, or a table such as {"input": 0.8, "bank": 0.5}.
        chain: recordings that are laid one after the other in a stream, with no reset between them, from half of the
            float phase on: nets learn to run on. 1: none.
        tau, scale: of the surrogate derivative, in thresholds.
        shift (pixels), rotate (degrees), zoom (relative), drop (share of events): augmentation.
        mirror: share of pictures that are turned left to right; of pictures, shift (zeros come in) and mirror are all
            there is.
        jitter_us: all times of a recording move by up to so many microseconds. stretch: times are multiplied by a
            factor in 1 +- stretch. flip_polarity: share of recordings whose ON and OFF change places.
        seed: of everything.
    """

    dataset: str = "digits"
    encoder: dict = field(default_factory=dict)
    stem: tuple = (64,)
    width: int = 32
    blocks: int = 2
    bank: int = 64
    decays: tuple = (2, 8, 40, 200)
    scan: str = "alternate"
    share: float = 0.6
    pruner: str = "count"
    early: int = 4
    leak: int = 0
    least: int = 0
    inner: tuple = ()
    gate: str = "read"
    state: str = "sample"
    mix_decay: int = 4095
    float_epochs: int = 30
    exact_epochs: int = 10
    lr: float = 4e-3
    exact_lr: float = 1e-3
    weight_decay: float = 1e-2
    batch: int = 32
    warmup: float = 0.1
    label_smoothing: float = 0.1
    accumulate: int = 1
    amp: bool = False
    patience: int = 0
    energy_uj: float = 0.0
    energy_factor: float = 0.0
    prices: str = prices.USUAL
    sparsity: float | dict = 0.0
    chain: int = 1
    tau: float = 0.5
    scale: float = 1.0
    shift: float = 1.0
    rotate: float = 5.0
    zoom: float = 0.05
    drop: float = 0.1
    jitter_us: float = 0.0
    stretch: float = 0.0
    flip_polarity: float = 0.0
    mirror: float = 0.0
    seed: int = 1

    def __post_init__(self):
        choices = {
            "scan": ("alternate", "cross", "forward", "twin"),
            "gate": ("read", "none"),
            "state": ("sample", "frame"),
            "pruner": PRUNERS,
        }
        for name, allowed in choices.items():
            _require(
                getattr(self, name) in allowed,
                f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}",
            )
        for name in ("width", "blocks", "bank", "batch", "accumulate"):
            _require(
                type(getattr(self, name)) is int and 1 <= getattr(self, name) <= 65536,
                f"{name} is {getattr(self, name)!r}, expected an integer of at least 1",
            )
        _require(all(type(n) is int and 1 <= n <= 65536 for n in self.stem), f"stem is {self.stem!r}, expected widths")
        _require(
            len(self.decays) > 0 and all(1 <= d <= 4096 for d in self.decays),
            f"decays is {self.decays!r}, expected time constants in 1..4096 steps",
        )
        _require(
            self.bank % len(self.decays) == 0,
            f"bank is {self.bank}, expected a multiple of the {len(self.decays)} decays",
        )
        _require(
            0 < self.share <= 1, f"share is {self.share!r}, expected the share of tokens that are sent, above 0 up to 1"
        )
        _require(
            len(self.inner) in (0, self.blocks) and all(type(n) is int and 0 <= n <= SPIKES_MAX for n in self.inner),
            f"inner is {self.inner!r}, expected none or one integer in 0..{SPIKES_MAX} for each of the {self.blocks}"
            " blocks",
        )
        for name in sorted({"scan", "places", "pruner", "early", "leak", "least"} & set(self.encoder)):
            _require(False, f"encoder holds {name!r}, which has a place of its own (--set {_OWN.get(name, name)}=...)")
        _require(
            type(self.mix_decay) is int and 0 <= self.mix_decay <= 4095,
            f"mix_decay is {self.mix_decay!r}, expected 0..4095",
        )
        _require(
            self.accumulate <= self.batch,
            f"accumulate is {self.accumulate}, expected no more than the batch, {self.batch}",
        )
        _require(type(self.amp) is bool, f"amp is {self.amp!r}, expected true or false")
        _require(
            type(self.patience) is int and self.patience >= 0,
            f"patience is {self.patience!r}, expected a number of epochs",
        )
        _require(
            type(self.seed) is int and 0 <= self.seed < 2**63,
            f"seed is {self.seed!r}, expected an integer of at least 0",
        )
        self._check_rates()
        self._check_energy()

    def _check_rates(self):
        for name in ("lr", "exact_lr", "tau", "scale"):
            _require(getattr(self, name) > 0, f"{name} is {getattr(self, name)!r}, expected a number above 0")
        _require(self.weight_decay >= 0, f"weight_decay is {self.weight_decay!r}, expected a number of at least 0")
        _require(
            0 <= self.label_smoothing <= 1, f"label_smoothing is {self.label_smoothing!r}, expected a share in 0..1"
        )
        _require(0 <= self.jitter_us <= 1e9, f"jitter_us is {self.jitter_us!r}, expected microseconds")
        _require(0 <= self.stretch < 1, f"stretch is {self.stretch!r}, expected a share in 0..1")
        _require(0 <= self.flip_polarity <= 1, f"flip_polarity is {self.flip_polarity!r}, expected a share in 0..1")
        _require(0 <= self.mirror <= 1, f"mirror is {self.mirror!r}, expected a share in 0..1")
        _require(self.float_epochs >= 0 and self.exact_epochs >= 0, "epochs must not be negative")

    def _check_energy(self):
        for name in ("energy_uj", "energy_factor"):
            _require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)!r}, expected a number of at least 0")
        _require(
            type(self.chain) is int and 1 <= self.chain <= self.batch // self.accumulate,
            f"chain is {self.chain!r}, expected an integer of at least 1, and no more than a batch",
        )
        shares = self.sparsity if isinstance(self.sparsity, dict) else {"": self.sparsity}
        unknown = sorted(set(shares) - {"", *REMOVABLE})
        _require(not unknown, f"sparsity names {', '.join(unknown)}, expected of {', '.join(REMOVABLE)}")
        for kind, share in shares.items():
            at = f"sparsity{f' of {kind}' if kind else ''}"
            _require(
                type(share) in (int, float) and 0 <= share < 1,
                f"{at} is {share!r}, expected the share of synapses that are removed, from 0 to below 1",
            )

    def removed(self) -> dict:
        """Kind of synapses -> share of them that folding removes; empty for none."""
        if isinstance(self.sparsity, dict):
            return {kind: share for kind, share in self.sparsity.items() if share}
        return {kind: self.sparsity for kind in REMOVABLE if kind != "readout"} if self.sparsity else {}

    def make_encoder(self) -> Encoder:
        """The whole encoder.

        Raises:
            UserError: an entry out of range, or one that there is not.
        """
        drawing = Encoder.of(self.encoder) if self.encoder else Encoder()
        if drawing.message_bits and self.inner and self.inner[0] and not self.stem:
            _require(False, "inner counts the spikes of pixels before block 0, which are graded; give stem a layer")
        scan = "forward" if self.scan == "twin" else self.scan
        self._check_synapses(drawing)
        if self.share == 1:
            return replace(drawing, scan=scan)
        places = max(1, round(self.share * drawing.tokens))
        rule = dict(pruner=self.pruner, early=self.early, leak=self.leak, least=self.least)
        return replace(drawing, scan=scan, places=places, **rule)

    def _check_synapses(self, encoder):
        """Before anything is made: weights, their gradients and two moments of the optimiser."""
        widths = (encoder.channels, *self.stem, self.width)
        count = sum(a * b for a, b in zip(widths, widths[1:])) + encoder.tokens * widths[1]
        count += self.blocks * self.width * (self.bank * (3 if self.gate == "read" else 2) + self.width)
        count *= 2 if self.scan == "twin" else 1
        what = f"configuration: stem {list(self.stem)[:9]}, width {self.width}, {self.blocks} blocks of {self.bank}"
        require_synapses(count, what)
        require(16 * count, what)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Config":
        """Raises `UserError` for keys or values that this version does not know."""
        _require(isinstance(values, dict), f"is a {type(values).__name__}, expected a dictionary")
        known = {f.name for f in fields(Config)}
        _require(set(values) <= known, f"has unknown entries: {', '.join(sorted(set(values) - known))}")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        for name, default in Config().to_dict().items():
            if name in values and not (name == "sparsity" and isinstance(values[name], dict)):
                _require(_fits(values[name], default), f"{name} is {values[name]!r}, expected {_KINDS[type(default)]}")
        return Config(**values)


_OWN = {"places": "share"}  # entries of `events.Encoder` with another name here
_LARGEST = sys.float_info.max
_KINDS = {
    str: "a word",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    tuple: "a list of numbers, such as [2, 8]",
    dict: "a table of names and values",
}


def _fits(value, default):
    """Whether a value from outside has the type of an entry's default: any finite number where that is a float, a
    sequence of numbers where it is a tuple.
    """
    if isinstance(default, float):
        return (
            type(value) in (int, float) and -_LARGEST <= value <= _LARGEST
        )  # NaN is not; an integer may be too long for a float
    if isinstance(default, tuple):
        return type(value) is tuple and all(_fits(v, 0.0) for v in value)
    return type(value) is type(default)


def _require(ok, text):
    if not ok:
        raise UserError(f"configuration: {text}")


# Chosen on validation data: the read gate takes half of the updates and brought no accuracy; streams of two recordings
# teach a net to run on.
_SPARSE: dict[str, Any] = dict(share=0.6, leak=128, early=0, gate="none", chain=2)
_LARGER: dict[str, Any] = dict(shift=2.0, rotate=10.0, zoom=0.1, **_SPARSE)  # sensors than the digits' 16 x 16 pixels

# Photographs, chosen on validation pictures of CIFAR-10 in runs of two epochs: one frame and more channels were no
# worse than two frames, in both directions, at the same time of training.
_PHOTOS: dict[str, Any] = dict(
    share=1.0,
    early=0,
    gate="none",
    blocks=1,
    decays=(1.5, 4, 10, 32),
    batch=128,
    warmup=0.15,
    exact_lr=2e-4,
    shift=2.0,
    mirror=0.5,
    amp=True,
)

PRESETS = {
    "tiny": Config(stem=(96,), width=48, bank=96, float_epochs=40, exact_epochs=15, lr=6e-3, shift=0.7, **_SPARSE),
    "small": Config(stem=(128,), width=64, bank=128, float_epochs=60, exact_epochs=20, weight_decay=2e-2, **_LARGER),
    "medium": Config(
        stem=(160,),
        width=80,
        bank=160,
        float_epochs=40,
        exact_epochs=8,
        exact_lr=2e-4,
        weight_decay=2e-2,
        **_LARGER,
    ),
    "base": Config(stem=(192,), width=96, bank=256, blocks=3, float_epochs=100, exact_epochs=30, **_LARGER),
    "photos": Config(stem=(512,), width=384, bank=768, float_epochs=24, exact_epochs=3, lr=4e-3, **_PHOTOS),
    "photos-gpu": Config(
        stem=(1024, 768),
        width=512,
        bank=1024,
        float_epochs=150,
        exact_epochs=15,
        lr=4e-3,
        **{**_PHOTOS, "blocks": 2, "batch": 256, "shift": 4.0},
    ),
}


def _removed(input, inside):
    """Shares of synapses to remove: of those that the events meet, and of those between layers."""
    return {"input": input} | dict.fromkeys(("stem", "bank", "gate", "out"), inside)


# Whole people on a larger sensor: more of every augmentation, and smaller batches. Found on validation subjects of
# `gestures`.
_GESTURES: dict[str, Any] = dict(
    batch=16, shift=8.0, zoom=0.15, stretch=0.2, flip_polarity=0.5, drop=0.2, sparsity=_removed(input=0.5, inside=0.2)
)
# Found on the validation parts: how many synapses a net can lose, and for how long it must remember.
FOR_DATASET: dict[str, dict[str, Any]] = {
    "digits": dict(share=0.56, chain=4, decays=(2, 8, 20, 60), sparsity=_removed(input=0.3, inside=0.2)),
    "nmnist": dict(share=0.53, decays=(2, 8, 30, 100), sparsity=_removed(input=0.7, inside=0.4)),
    "gestures": _GESTURES,
    "dvs128": _GESTURES,
}


def preset(name: str, **changes: Any) -> Config:
    """The preset of that name, with what `FOR_DATASET` says of `changes["dataset"]`, and then some entries changed;
    `UserError` for a name there is not.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    return replace(PRESETS[name], **(FOR_DATASET.get(changes.get("dataset", ""), {}) | changes))
