"""`python -m train`, run by torchrun, whose processes all die at the end of the second epoch, before its state is
saved.
"""

from train.__main__ import main
from train.distributed import Ranks

check, calls = Ranks.check_same, []


def check_and_die(ranks, model):
    calls.append(1)
    check(ranks, model)
    if len(calls) == 2:
        raise KeyboardInterrupt


Ranks.check_same = check_and_die
main()
