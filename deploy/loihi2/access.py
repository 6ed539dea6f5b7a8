"""Is there a chip, and how does one reach it? Imports nothing heavy, so that the answer comes at once."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec

from sim.base.errors import UserError

EXTENSION = "lava.utils.loihi2_profiler"  # the module by which Lava itself tells that its Loihi extension is installed
GENERATIONS = ("N2A2", "N3B2", "N3B3", "N3C1", "N3D1")
USUAL_GENERATION = "N3B3"
ACCESS = (
    "Intel gives both to institutions in the Intel Neuromorphic Research Community, for a project plan:"
    " http://neuromorphic.intel.com or inrc_interest@intel.com; until then: --backend sim"
)
SINFO_S = 1
DOWN = ("down", "drain", "fail", "maint", "unk")


@dataclass(frozen=True)
class Access:
    """A way to a board.

    Attributes:
        kind: "slurm" or "ethernet".
        partition, board: of SLURM; board is the name of a node; None for whichever SLURM takes.
        host: address of the board's host, for "ethernet".
        generation: of the chip, one of `GENERATIONS`.
    """

    kind: str
    partition: str | None = None
    board: str | None = None
    host: str | None = None
    generation: str = USUAL_GENERATION


def find(partition: str | None = None, board: str | None = None, host: str | None = None) -> Access:
    """The way to a board, from what is asked for and else from the environment: LOIHI_GEN, NXSDKHOST, SLURM, NOSLURM,
    PARTITION, BOARD.

    Raises:
        UserError: what is missing and how one gets it, in one line. Within two seconds.
    """
    if not installed():
        raise UserError(
            "the Loihi 2 backend needs Intel's Loihi extension of Lava, which is not public, and a Loihi 2 system;"
            f" neither is here. {ACCESS}"
        )
    generation = os.environ.get("LOIHI_GEN", USUAL_GENERATION)
    if generation not in GENERATIONS:
        raise UserError(f"LOIHI_GEN is {generation!r}, there are: {', '.join(GENERATIONS)}")
    if host and (partition or board):
        raise UserError("--host is for a board on the network, --partition and --board for SLURM: name one of the two")
    by_slurm = partition or board or os.environ.get("SLURM") == "1"
    host = host or (None if by_slurm else os.environ.get("NXSDKHOST"))
    if host:
        return Access("ethernet", host=host, generation=generation)
    return _by_slurm(partition or os.environ.get("PARTITION"), board or os.environ.get("BOARD"), generation)


def installed() -> bool:
    """Whether Lava's Loihi extension can be imported."""
    try:
        return find_spec(EXTENSION) is not None
    except ModuleNotFoundError:  # not even Lava
        return False


def _by_slurm(partition, board, generation):
    nodes = None if os.environ.get("NOSLURM") == "1" else slurm_nodes()
    if nodes is None:
        raise UserError(
            "Intel's Loihi extension of Lava is here, but no board: SLURM does not answer (sinfo), and no host is named"
            " (--host or NXSDKHOST). Run on a machine of Intel's research cloud, or name the host of your own board. "
            + ACCESS
        )
    for asked, column, what in ((partition, 1, "partition"), (board, 0, "board")):
        rows = [n for n in nodes if n[column] == asked]
        if asked and not rows:
            raise UserError(
                f"SLURM has no {what} {asked!r}, there are: {', '.join(sorted({n[column] for n in nodes})) or 'none'}"
            )
        if asked and all(_is_down(n[2]) for n in rows):
            raise UserError(
                f"the {what} {asked!r} is down (SLURM says {', '.join(sorted({n[2] for n in rows}))}); boards that are"
                f" up: {_up(nodes)}"
            )
    if partition and board and (board, partition) not in {n[:2] for n in nodes}:
        raise UserError(
            f"the board {board!r} is not in the partition {partition!r} but in"
            f" {', '.join(sorted({n[1] for n in nodes if n[0] == board}))}"
        )
    if all(_is_down(n[2]) for n in nodes):
        raise UserError(f"all boards that SLURM knows are down ({len(nodes)} of {len(nodes)})")
    return Access("slurm", partition, board, None, generation)


def slurm_nodes() -> list[tuple[str, ...]] | None:
    """[(node, partition, state)] of all nodes that SLURM knows; None if it does not answer within a second."""
    # Not `lava.utils.slurm`: in 0.10.0 it raises where there is no sinfo, and stumbles over the empty last line of what
    # sinfo prints.
    if shutil.which("sinfo") is None:
        return None
    try:
        done = subprocess.run(
            ["sinfo", "--Node", "--noheader", "--format=%N %R %T"],
            capture_output=True,
            text=True,
            check=True,
            timeout=SINFO_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split() for line in done.stdout.splitlines()]
    return [tuple(r) for r in rows if len(r) == 3]


def _is_down(state):
    return state.lower().startswith(DOWN) or state.endswith("*")


def _up(nodes):
    return ", ".join(sorted({n[0] for n in nodes if not _is_down(n[2])})) or "none"


def environment(access: Access) -> dict[str, str | None]:
    """What the extension reads: name -> value, None for names that must be unset."""
    return {
        "slurm": dict(SLURM="1", NOSLURM=None, NXSDKHOST=None, PARTITION=access.partition, BOARD=access.board),
        "ethernet": dict(
            SLURM=None,
            NOSLURM="1",
            NXSDKHOST=access.host,
            HOST_BINARY=os.environ.get("HOST_BINARY", "nxcore/bin/nx_driver_server"),
            PARTITION=None,
            BOARD=None,
        ),
    }[access.kind] | dict(LOIHI_GEN=access.generation)
