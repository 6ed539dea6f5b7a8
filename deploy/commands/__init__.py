"""The subcommands of `python -m deploy`."""
