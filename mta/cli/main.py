"""The `smtprelay` command: settings, queue and keys, beside a running relay or without one.

Errors are lines on stderr; the exit status is 1 for what cannot be done and 2 for a command that makes no sense.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from mta import __version__
from mta.cli.environment import env_file_option


class LateGroup(click.Group):
    """A group that imports a command when it is asked for.

    A container asks `health` every few seconds; what the other commands need would be most of what that costs.
    """

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **options: Any) -> None:
        """`modules` says where each command is: by the command's name, a module that has it under the same name."""
        super().__init__(*arguments, **options)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for a list of commands."""
        return sorted({*super().list_commands(ctx), *self._modules})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, its module imported; None when there is no such command."""
        if cmd_name not in self._modules:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(self._modules[cmd_name]), cmd_name)
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command. An output that cannot be written, such as a file on a full disk, ends it with one line."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            click.echo(f"smtprelay: the output cannot be written: {error.strerror or error}", err=True)
            sys.exit(1)
        finally:
            _leave_unwritten()


def _leave_unwritten() -> None:
    """Keep the end of the process from another attempt to write an output that cannot be written."""
    try:
        # Python has no stream where the descriptor was closed before the start.
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=LateGroup,
    modules={name: f"mta.cli.{name}" for name in ("config", "dkim", "health", "queue")}
    | dict.fromkeys(("exim", "exiqgrep", "mailq", "newaliases", "sendmail"), "mta.cli.exim"),
)
@env_file_option
@click.version_option(__version__, prog_name="smtprelay")
def main() -> None:
    """Look after the mail relay.

    The settings are those of the environment, as the daemon reads them, or of the relay that runs on this host.
    """
