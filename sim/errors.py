"""The one exception that a command turns into a sentence and exit code 2."""


class UserError(Exception):
    """Something outside the program is wrong: a file, an argument, a net. The text is one line: what, where, what to do."""
