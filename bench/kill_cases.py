"""The commands that `bench.kills` ends: how they are called, and what of their files can be half-written or differ."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.base import lines
from sim.base.errors import UserError

from .measure import MODELS

ENCODER = '{"height": 16, "width": 16, "window": 8, "stride": 4, "frames": 2, "frame_us": 150000}'
LONG_GONE = ("seconds", "wait")  # columns of the log that differ from run to run


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        args: of Python. kept: patterns of the files that it writes.
    """

    name: str
    args: tuple[str, ...]
    kept: tuple[str, ...]

    def command(self) -> list[str]:
        return [sys.executable, *self.args]

    def files(self, place: Path) -> list[Path]:
        return sorted(p for pattern in self.kept for p in place.glob(pattern))

    def damaged(self, place: Path) -> list[str]:
        """A line for each file that is there and not whole."""
        out = []
        for path in self.files(place):
            try:
                content(path)
            except Exception as e:
                out.append(f"{path.name} is half-written: {type(e).__name__}: {e}")
        return out

    def differences(self, one: Path, other: Path) -> list[str]:
        """A line for each file that two runs have otherwise."""
        names = [[str(p.relative_to(place)) for p in self.files(place)] for place in (one, other)]
        if names[0] != names[1]:
            return [f"files {names[1]}, expected {names[0]}"]
        return [f"{n} differs" for n in names[0] if content(one / n) != content(other / n)]


CASES = {
    case.name: case
    for case in (
        Case(
            "train",
            (
                *("-m", "train", "--dataset", "digits", "--name", "run", "--threads", "1", "--save-minutes", "0"),
                *(
                    "--epochs",
                    "3",
                    "--set",
                    "batch=400",
                    "--set",
                    "stem=[8]",
                    "--set",
                    "width=8",
                    "--set",
                    "bank=8",
                    "--set",
                    "chain=1",
                ),
                *("--set", f"encoder={ENCODER}"),
            ),
            ("runs/run/*.pt", "runs/run/log.jsonl"),
        ),
        Case("export", ("-m", "convert", "export", "model.pt", "--limit", "20"), ("model.net",)),
        Case("run", ("-m", "deploy", "run", "digits.net", "--backend", "sim", "--limit", "1", "--json"), ()),
        Case("report", ("-m", "deploy", "report", "digits.net", "--sim-samples", "1"), ("report.html",)),
        Case("import", ("-m", "events", "import", "data", "imported"), ("imported/**/*.npy",)),
        Case("cache", ("-m", "events", "check", "--dataset", "nmnist", "--data-root", "data"), ("data/.cache/*.npy",)),
        Case("gestures", ("-m", "events", "gestures", "--out", "g", "--clips", "33"), ("g/**/*.npy", "g/*.json")),
    )
}

WEIGHTS = {
    "train": 4,
    "export": 3,
    "run": 2,
    "report": 1,
    "import": 4,
    "cache": 4,
    "gestures": 1,
}  # how often each is taken
PRELOADED = (
    *("train.__main__", "train.run.loop", "convert.__main__", "convert.export", "deploy.__main__", "deploy.report"),
    *("deploy.run", "events.__main__", "events.convert_tree", "events.gestures.camera", "sim.lava.simulate"),
)


def prepare(folder: Path) -> None:
    """Makes `folder/given`, what each command finds: a checkpoint, a net, a data set."""
    given, rng = folder / "given", np.random.default_rng(1)
    given.mkdir()
    shutil.copy(MODELS / "digits-tiny.pt", given / "model.pt")
    shutil.copy(MODELS / "digits-tiny.net", given / "digits.net")
    for part in ("Train", "Test"):
        for label in range(10):
            place = given / "data/NMNIST" / part / str(label)
            place.mkdir(parents=True)
            for number in range(8):
                rows = rng.integers(0, (34, 34, 2, 1), (500, 4), endpoint=False).astype(np.uint8)
                rows[:, 2] <<= 7
                times = np.sort(rng.integers(0, 300_000, 500))
                packed = [bytes([x, y, p | t >> 16, t >> 8 & 255, t & 255]) for (x, y, p, _), t in zip(rows, times)]
                (place / f"{number}.bin").write_bytes(b"".join(packed))


def content(path: Path) -> Any:
    """What is compared of a file; an exception if it is not whole."""
    if path.suffix == ".pt":
        from train import checkpoint

        _, found = checkpoint.load(path)
        return {name: tensor.numpy().tobytes() for name, tensor in found["model"].items()}
    if path.suffix == ".net":
        from sim import netx

        return netx.read_digest(path)
    if path.suffix == ".html":
        if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
            raise UserError("no end")
        return True  # it holds times
    if path.name == "log.jsonl":
        return [{k: v for k, v in row.items() if k not in LONG_GONE} for row in lines.read(path)]
    if path.suffix == ".npy":
        np.load(path)
        return path.read_bytes()
    return json.loads(path.read_text())
