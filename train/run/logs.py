"""The log of a run: `log.jsonl` is the truth, `log.csv` and TensorBoard's files are made from it."""

import csv
import json
from pathlib import Path

from sim.base import files
from sim.base.errors import UserError

COLUMNS = ("epoch", "phase", "loss", "train", "val", "uj", "factor", "kept", "rate", "wait", "seconds")


class Log:
    """One row, a dict of `COLUMNS`, an epoch.

    Args:
        run_dir: folder. epochs: rows to keep: what a killed run has logged but not saved comes again. tensorboard:
            write for TensorBoard, too.
    """

    def __init__(self, run_dir, epochs, tensorboard=False):
        self.jsonl, self.csv = Path(run_dir, "log.jsonl"), Path(run_dir, "log.csv")
        lines = self.jsonl.read_text().splitlines()[:epochs] if self.jsonl.exists() else []
        files.write(self.jsonl, "".join(line + "\n" for line in lines))
        self.csv.unlink(missing_ok=True)
        self.board = _board(Path(run_dir, "tensorboard")) if tensorboard else None
        for line in lines:
            self._derive(json.loads(line))

    def add(self, row):
        with open(self.jsonl, "a") as file:
            file.write(json.dumps(row) + "\n")
        self._derive(row)

    def _derive(self, row):
        new = not self.csv.exists()
        with open(self.csv, "a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self.board:
            for name, value in row.items():
                if name not in ("epoch", "phase"):
                    self.board.add_scalar(name, value, row["epoch"])
            self.board.flush()


def _board(folder):
    """A writer into an empty folder: rows of earlier runs are written again, so that none is there twice."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("--tensorboard needs the package tensorboard: pip install tensorboard") from None
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    return SummaryWriter(folder)
