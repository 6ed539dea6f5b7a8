"""What a report is asked for."""

from dataclasses import dataclass

TABLES = ("loihi1-davies2018", "cmos-45nm")
EXECUTORS = ("engine", "fused", "stock")


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        data_root: folder with the data set. golden: on the golden sample of the file instead of the set's test part.
        sim_samples: test samples that run in the Lava simulator, too.
        board, tables: of the plan; the first table is shown first.
        swept: also run the net with fewer tokens sent.
        input, labels: names of .npy files, for a net that SLAYER or NIR made. executors: that are compared.
    """

    data_root: str | None = None
    golden: bool = False
    sim_samples: int = 20
    board: str = "oheo-gulch"
    tables: tuple[str, ...] = TABLES
    swept: bool = False
    input: str | None = None
    labels: str | None = None
    executors: tuple[str, ...] = EXECUTORS
