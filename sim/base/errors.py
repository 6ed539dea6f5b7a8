"""What a command turns into a sentence and an exit code, and the one place that does so."""

import sys


class UserError(Exception):
    """Something outside the program is wrong: a file, an argument, a net. The text is one line: what, where, what to
    do.
    """


class SimulationError(Exception):
    """A simulation, or a run on a chip, ended before its time.

    The text says why; the traceback of the failing process model is in it, if there is one.
    """


def run_command(command, failures=()):
    """Runs a click command as a program: `UserError` ends it with its line and exit code 2, the exceptions
    `failures` with theirs and exit code 1.
    """
    try:
        command(standalone_mode=True)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except failures as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
