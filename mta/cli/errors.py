"""The error that ends a command, and the errors that are turned into it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from mta.admin.state import StateError
from mta.config.setting import SettingsError
from mta.queue.interface import QueueError

# Errors of standard output, such as a pipe without a reader or a full disk, which `mta.cli.main` reports.
_OF_OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class CommandError(click.ClickException):
    """A command has failed, for a reason of one or more lines."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        """Print each line after the program's name."""
        for line in self.lines:
            click.echo(f"smtprelay: {line}", file=file, err=True)


def is_of_output(error: OSError) -> bool:
    """Whether a command's standard output cannot be written, and not one of its files."""
    return error.filename is None and error.errno in _OF_OUTPUT


@contextmanager
def command_errors() -> Iterator[None]:
    """Turn errors of the settings, the relay, the queue and files into a CommandError."""
    try:
        yield
    except SettingsError as error:
        raise CommandError(*error.mistakes) from None
    except (StateError, QueueError, OSError) as error:
        if isinstance(error, OSError) and is_of_output(error):
            raise
        denied = isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError)
        raise CommandError(str(error) + ": run this as the relay's own user" * denied) from None
