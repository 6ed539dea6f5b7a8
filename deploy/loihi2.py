"""The chip itself: what is missing here, in one line. Imports nothing of Lava, so that the answer comes at once."""

from importlib.util import find_spec
from pathlib import Path

from sim.errors import UserError

ACCESS = ("Intel gives both to institutions in the Intel Neuromorphic Research Community, for a project plan: http://neuromorphic.intel.com or "
          "inrc_interest@intel.com; until then: --backend sim")


def refuse():
    """Raises the `UserError` that says why a net cannot run on a chip here."""
    lava = find_spec("lava")
    folders = lava.submodule_search_locations if lava else ()
    if any(Path(folder, "magma/compiler/subcompilers/nc").is_dir() for folder in folders):
        raise UserError("Intel's Loihi extension of Lava is installed, but this program has never met a chip and has no code for one yet; the processes to map are "
                        "those of sim/stock.py; --backend sim runs them")
    raise UserError(f"the Loihi 2 backend needs Intel's Loihi extension of Lava, which is not public, and a Loihi 2 system; neither is here. {ACCESS}")
