"""The one exception that a command turns into a sentence and exit code 2, and the one place that does so."""

import sys


class UserError(Exception):
    """Something outside the program is wrong: a file, an argument, a net. The text is one line: what, where, what to
    do.
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
