"""`python -m smolmamba`: what the console script `smolmamba` does."""

import sim.base.start  # noqa: F401  # isort: skip

from .cli import main

if __name__ == "__main__":
    main()
