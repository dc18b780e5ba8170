"""The `smtprelay` command, which works with and without a running relay.

Errors are lines on standard error. The exit status is 1 if a command fails, and 2 if its arguments are wrong.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import PurePath
from typing import Any

import click

from mta import __version__
from mta.cli.environment import env_file_option

#: Commands of other mail servers: a link of this name to the program is the command, too.
_LINKS = ("exim", "exiqgrep", "mailq", "newaliases", "sendmail")


class LazyGroup(click.Group):
    """A group that imports a command only when it runs.

    A container runs `health` every few seconds, and importing the other commands would take most of its time.
    """

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **options: Any) -> None:
        """`modules` has, by the name of each command, the module that defines it under the same name, with _ for -."""
        super().__init__(*arguments, **options)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self._modules})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if it does not exist."""
        if cmd_name not in self._modules:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(self._modules[cmd_name]), cmd_name.replace("-", "_"))
        return command

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command. If its output cannot be written, as on a full disk, end it with one line."""
        try:
            return super().main(called_as(sys.argv) if args is None else args, *rest, **extra)
        except OSError as error:
            from mta.cli.errors import is_of_output  # noqa: PLC0415  `health` needs none of its imports

            words = f"the output cannot be written: {error.strerror}" if is_of_output(error) else str(error)
            click.echo(f"smtprelay: {words}", err=True)
            sys.exit(1)
        finally:
            _discard_output()


def called_as(argv: Sequence[str]) -> list[str]:
    """Return the arguments of a process, after the name of the link by which it was called if that is a command.

    Exim's own program is named `exim4` on Debian.
    """
    name = PurePath(argv[0]).name.removesuffix("4")
    return [name, *argv[1:]] if name in _LINKS else list(argv[1:])


def _discard_output() -> None:
    """Redirect standard output that cannot be written, so that the interpreter does not fail again at exit."""
    try:
        # sys.stdout is None if the descriptor was closed before the start.
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=LazyGroup,
    modules={name: f"mta.cli.{name}" for name in ("dkim", "health", "oauth", "run", "tail", "user")}
    | {name: f"mta.cli.{name}.command" for name in ("config", "doctor", "explain", "queue")}
    | {"test-mail": "mta.cli.doctor.test_mail"}
    | dict.fromkeys(_LINKS, "mta.cli.exim.commands")
    | {"sendmail": "mta.cli.exim.sendmail"},
)
@env_file_option
@click.version_option(__version__, prog_name="smtprelay")
def main() -> None:
    """Manage the mail relay.

    The settings are read from the environment, as by the daemon, or from the relay that runs on this host.
    """
