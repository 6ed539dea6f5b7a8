"""What a command turns into a sentence and an exit code: `sim.base.command` does so, in one place."""

import errno

# Errors of a system whose disk takes no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# Exit codes of every command; docs/index.md says them to people.
DONE, FOUND, MISTAKE, DEFECT, SIGNALS = 0, 1, 2, 3, 128


class UserError(Exception):
    """Something outside the program is wrong: a file, an argument, a net. The text is one line: what, where, what to
    do. Exit code 2.
    """


class Failure(Exception):
    """A command did what it was asked to, and what it found is bad: executors that differ, a simulation that ended
    before its time. Exit code 1.
    """


class SimulationError(Failure):
    """A simulation, or a run on a chip, ended before its time.

    The text says why; the traceback of the failing process model is in it, if there is one.
    """


class Ended(BaseException):
    """Somebody asked this process to end, by a signal: what is open closes on the way, as with `KeyboardInterrupt`.
    Exit code 128 + `number`.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number
