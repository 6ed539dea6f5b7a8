"""What ran: the versions of this package and of those under it."""

import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("smolmamba-loihi", "lava-nc", "lava-dl", "numpy", "numba", "scipy", "h5py", "torch")


def versions() -> dict[str, str]:
    """Package -> version; those that are not installed are left out."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def command_line() -> str:
    """This command as one would type it."""
    program, *arguments = sys.argv
    known = Path(program).name
    start = "smolmamba" if known == "smolmamba" else f"python -m {Path(program).parent.name}"
    return " ".join([start, *map(shlex.quote, arguments)])
