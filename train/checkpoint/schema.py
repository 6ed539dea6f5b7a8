"""What a checkpoint may hold: types, shapes and ranges of everything that is read from one, checked before it is used.

The configuration has its own rules (`Config.from_dict`); these here are of all else."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sim.base.errors import UserError

from ..config import VERSION, Config

CLASSES_MAX = 65536
DEPTH_MAX = 8
_HUGE = 1e300
_FACTS = {  # entries that are looked at: (type, least, most)
    "best_val": (float, -1, 1),
    "best_epoch": (int, -1, 1 << 31),
    "float_val": (float, 0, 1),
    "kept": (float, 0, 1),
    "uj": (float, 0, _HUGE),
    "energy_uj": (float, 0, _HUGE),
    "seconds": (float, 0, _HUGE),
    "stopped_early": (int, 0, 1 << 31),
    "skipped": (int, 0, 1 << 62),
    "n_train": (int, 0, 1 << 62),
    "n_val": (int, 0, 1 << 62),
    "parameters": (int, 0, 1 << 62),
    "processes": (int, 1, 1 << 31),
}
_RUN = ("best_val", "best_epoch", "seconds", "prices")  # facts without which a run cannot go on
_LOOP = {"epoch": (int, 0, 1 << 31), "step": (int, 0, 1 << 62), "stale": (int, 0, 1 << 31), "factor": (float, 0, _HUGE)}
_TALLY = {"hits": (int, 0, 1 << 62), "kept": (float, 0, 1), "rate": (float, 0, _HUGE)}
_SIGNS = {
    "running_var": 0.0,
    "gain": 1e-30,
    "token_gain": 1e-30,  # no password  # nosec B105
    "i_decay": 0.0,
    "num_batches_tracked": 0.0,
}  # the least value


def require(ok: bool, text: str) -> None:
    """UserError with a text if something does not hold."""
    if not ok:
        raise UserError(text)


def check_content(content: Any) -> None:
    """The entries of a checkpoint of this version, all but the tensors' shapes.

    Raises:
        UserError: one is missing, or not what it should be. The text does not name the file.
    """
    require(isinstance(content, dict) and "version" in content, "not a checkpoint of this project (no version entry)")
    require(
        type(content["version"]) is int and content["version"] == VERSION,
        f"checkpoint version {_shown(content['version'])}, this program reads version {VERSION}; train again"
        " (python -m train), or export it with the release that wrote it",
    )
    missing = {"config", "classes", "facts", "model"} - set(content)
    require(not missing, f"checkpoint lacks {', '.join(sorted(missing))}")
    classes = content["classes"]
    require(
        isinstance(classes, list | tuple)
        and 1 <= len(classes) <= CLASSES_MAX
        and all(isinstance(c, str) for c in classes),
        "classes: expected a list of names",
    )
    facts, state = content["facts"], content["model"]
    check_facts(facts)
    known = "kept" in facts and "uj" in facts
    require(known or facts.get("best_epoch", -1) < 0, "facts: kept or uj is missing")
    require(
        isinstance(state, Mapping) and all(isinstance(k, str) and _is_plain_tensor(v) for k, v in state.items()),
        "model: expected names and tensors",
    )


def check_facts(facts: Any) -> None:
    """Of a checkpoint, a spiking transformer's too; raises as `check_content`."""
    require(isinstance(facts, dict) and _is_plain(facts), "facts: expected names and plain values")
    for name, rule in _FACTS.items():
        if name in facts:
            _number(facts[name], f"facts: {name}", *rule)
    for name in ("dataset", "device", "prices"):
        require(isinstance(facts.get(name, ""), str), f"facts: {name} is {_shown(facts.get(name))}, expected a word")
    removed = facts.get("removed", {})
    require(isinstance(removed, dict), f"facts: removed is {_shown(removed)}, expected shares by name")
    for name, share in removed.items():
        _number(share, f"facts: removed: {name}", float, 0, 1)


def check_sizes(state: Mapping[str, torch.Tensor], cfg: Config, classes: int) -> None:
    """That the tensors are there which have the sizes that the configuration names, so that nothing larger than the
    file is ever built. Raises as `check_content`.
    """
    towers = ("f", "b") if cfg.scan == "twin" else ("f",)
    widths = dict(enumerate((*cfg.stem, cfg.width)))
    expected = {f"stem.{i}.bias": [n] for i, n in widths.items()}
    encoder = cfg.make_encoder()
    if encoder.message_bits:
        expected["stem.0.whitening"] = [encoder.channels, encoder.channels]
    for t in towers:
        expected[f"readout_mask_{t}"] = [classes, cfg.width]
        require(
            f"blocks.{t}.{cfg.blocks - 1}.out.bias" in state and f"blocks.{t}.{cfg.blocks}.out.bias" not in state,
            f"weights do not fit the configuration (there are not {cfg.blocks} blocks)",
        )
        expected |= {f"blocks.{t}.{b}.bank.bias": [cfg.bank] for b in range(cfg.blocks)}
    for name, shape in expected.items():
        _shape(state, name, shape)


def check_state(state: Mapping[str, torch.Tensor], model: torch.nn.Module) -> None:
    """That a state has the model's tensors, with their types and shapes, finite and in their ranges. Raises as
    `check_content`.
    """
    own = model.state_dict()
    other = sorted(set(own) ^ set(state))
    require(not other, f"weights do not fit the configuration ({other[0] if other else ''} is missing, or too much)")
    for name, tensor in own.items():
        _shape(state, name, list(tensor.shape))
        found = state[name]
        require(
            found.dtype == tensor.dtype,
            f"weights do not fit the configuration ({name} is {found.dtype}, expected {tensor.dtype})",
        )
        if found.is_floating_point():
            require(
                bool(torch.isfinite(found).all()),
                f"{name} holds NaN or infinite values; train again with a smaller learning rate",
            )
        least = _SIGNS.get(name.rpartition(".")[2])
        if least is not None and found.numel():
            require(float(found.min()) >= least, f"{name} holds values below {least:g}")
        if name.endswith("i_decay") and found.numel():
            require(int(found.max()) <= 4096, f"{name} holds values above 4096")


def check_loop(content: dict[str, Any], cfg: Config) -> None:
    """The state of a training run, all but the optimiser's tensors. Raises as `check_content`."""
    loop = content["loop"]
    require(isinstance(loop, dict), "loop: expected the state of a training run")
    missing = sorted({"epoch", "stale", "factor", "optimizer"} - set(loop))
    require(not missing, f"loop: lacks {', '.join(missing)}")
    for name, rule in _LOOP.items():
        if name in loop:
            _number(loop[name], f"loop: {name}", *rule)
    total = cfg.float_epochs + cfg.exact_epochs
    require(loop["epoch"] <= total, f"loop: epoch {loop['epoch']} of {total}")
    for name in _RUN:
        require(name in content["facts"], f"facts: {name} is missing")
    tally = loop.get("tally", {})
    require(isinstance(tally, dict) and set(tally) <= {"losses", *_TALLY}, "loop: tally is no sum over batches")
    for name, rule in _TALLY.items():
        if name in tally:
            _number(tally[name], f"loop: tally: {name}", *rule)
    losses = tally.get("losses", [])
    require(isinstance(losses, list), "loop: tally: losses is no list")
    for loss in losses:
        _number(loss, "loop: tally: a loss", float, -_HUGE, _HUGE)
    rows = loop.get("rows", [])
    require(isinstance(rows, list) and _is_plain(rows), "loop: rows: expected the rows of the log")
    require(all(isinstance(r, dict) and type(r.get("epoch")) is int for r in rows), "loop: rows: no rows of a log")


def check_optimizer(state: Any, optimizer: torch.optim.Optimizer) -> None:
    """That an optimiser's state is one of this optimiser. Raises as `check_content`."""
    own = optimizer.state_dict()
    require(
        isinstance(state, dict)
        and isinstance(state.get("state"), dict)
        and isinstance(state.get("param_groups"), list),
        "loop: optimizer: expected its state and groups",
    )
    require(len(state["param_groups"]) == len(own["param_groups"]), "loop: optimizer: another number of groups")
    for group, expected in zip(state["param_groups"], own["param_groups"]):
        require(isinstance(group, dict) and set(group) == set(expected), "loop: optimizer: a group has other entries")
        for name, value in expected.items():
            _setting(group[name], value, f"loop: optimizer: {name}")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, found in state["state"].items():
        where = f"loop: optimizer: state of parameter {_shown(number)}"
        require(type(number) is int and 0 <= number < len(parameters), f"{where}: there is no such parameter")
        shape = list(parameters[number].shape)
        require(isinstance(found, dict) and set(found) == {"step", "exp_avg", "exp_avg_sq"}, f"{where}: other entries")
        for name, expected in (("step", []), ("exp_avg", shape), ("exp_avg_sq", shape)):
            tensor = found[name]
            require(
                _is_plain_tensor(tensor)
                and list(tensor.shape) == expected
                and tensor.dtype == torch.float32
                and bool(torch.isfinite(tensor).all())
                and (name == "exp_avg" or not tensor.numel() or float(tensor.min()) >= 0),
                f"{where}: {name} is not finite, or of another type or shape",
            )


def _setting(value: Any, own: Any, where: str) -> None:
    """A setting of an optimiser's group: a number where ours is one, the same otherwise."""
    if isinstance(own, tuple):
        require(isinstance(value, tuple | list) and len(value) == len(own), f"{where} is {_shown(value)}")
        for v in value:
            _number(v, where, float, 0, _HUGE)
    elif type(own) in (int, float):
        _number(value, where, float, 0, _HUGE)
    else:
        require(type(value) is type(own) and value == own, f"{where} is {_shown(value)}, expected {_shown(own)}")


def _number(value: Any, where: str, kind: type, least: float, most: float) -> None:
    kinds = (int,) if kind is int else (int, float)
    good = type(value) in kinds and math.isfinite(value if type(value) is float else 0) and least <= value <= most
    what = "an integer" if kind is int else "a number"
    require(good, f"{where} is {_shown(value)}, expected {what} from {least:g} to {most:g}")


def _shape(state: Mapping[str, torch.Tensor], name: str, shape: Sequence[int]) -> None:
    found = list(state[name].shape) if name in state else "missing"
    require(found == list(shape), f"weights do not fit the configuration ({name}: {found}, expected {list(shape)})")


def _is_plain_tensor(value: Any) -> bool:
    return (
        type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is what JSON can say, with finite numbers."""
    if isinstance(value, dict):
        return depth < DEPTH_MAX and all(type(k) is str and _is_plain(v, depth + 1) for k, v in value.items())
    if isinstance(value, list | tuple):
        return depth < DEPTH_MAX and all(_is_plain(v, depth + 1) for v in value)
    if type(value) is int:
        return abs(value) < 1 << 63
    return value is None or type(value) in (str, bool) or (type(value) is float and math.isfinite(value))


def _shown(value: Any) -> str:
    """A value for a line: short, without line ends."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    try:
        text = repr(value)
    except Exception:
        text = type(value).__name__
    return " ".join(text[:60].split())
