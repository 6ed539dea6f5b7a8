"""Groups of commands that are imported when they are called for, so that `--help` answers at once."""

from importlib import import_module

import click

from .command import with_debug


class LazyGroup(click.Group):
    """commands: name -> ("module:attribute" of a click command, one line of help)."""

    def __init__(self, *args, places: dict[str, tuple[str, str]], **kwargs):
        super().__init__(*args, **kwargs)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.places:
            return None
        module, attribute = self.places[cmd_name][0].split(":")
        return with_debug(getattr(import_module(module), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.places.items()])
