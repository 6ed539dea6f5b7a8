"""The log of a run. Its rows stand in `last.pt`, with the state that they belong to; `log.jsonl`, `log.csv` and
TensorBoard's files are made from them.
"""

import csv
import json
from pathlib import Path

from sim.base import files, lines
from sim.base.errors import UserError

COLUMNS = ("epoch", "phase", "loss", "train", "val", "uj", "factor", "kept", "rate", "wait", "seconds")


class Log:
    """One row, a dict of `COLUMNS`, an epoch.

    Args:
        run_dir: folder. epochs: rows to keep: what a killed run has logged but not saved comes again. tensorboard:
            write for TensorBoard, too. rows: those that were saved; None for what `log.jsonl` has of them.

    Raises:
        UserError: TensorBoard is missing; `log.jsonl` is damaged, and has the only rows.
    """

    def __init__(self, run_dir, epochs, tensorboard=False, rows=None):
        self.jsonl, self.csv = Path(run_dir, "log.jsonl"), Path(run_dir, "log.csv")
        if rows is None:
            rows = lines.read(self.jsonl) if epochs and self.jsonl.exists() else []
        self.rows = rows[:epochs]
        files.write(self.jsonl, "".join(json.dumps(row) + "\n" for row in self.rows))
        self.csv.unlink(missing_ok=True)
        self.board = _board(Path(run_dir, "tensorboard")) if tensorboard else None
        for row in self.rows:
            self._derive(row)

    def add(self, row: dict) -> None:
        """Raises `CannotWrite`."""
        self.rows.append(row)
        with files.appending(self.jsonl) as file:
            file.write(json.dumps(row) + "\n")
        self._derive(row)

    def _derive(self, row):
        new = not self.csv.exists()
        with files.appending(self.csv) as file:
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
