"""What holds for every test: one thread for small tensors, no display, and property tests that take the same
examples on every machine in CI.
"""

import os

# Before numpy, torch or numba are imported; an explicit setting wins. Tests use tiny tensors, which lose by threads.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import settings  # noqa: E402

# No deadline: the first example compiles numba kernels, and a shared machine stalls.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
