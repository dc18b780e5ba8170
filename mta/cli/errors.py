"""Why a command could not be done."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from mta.config.setting import SettingsError
from mta.queue.interface import QueueError

# The command line tells of an output that cannot be written, such as a pipe without a reader or a full disk.
_OF_OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class CommandError(click.ClickException):
    """Why a command could not be done, in one line or several."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self._lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        """Print each line under the program's name."""
        for line in self._lines:
            click.echo(f"smtprelay: {line}", file=file, err=True)


@contextmanager
def command_errors() -> Iterator[None]:
    """Turn what is wrong with the settings, the queue or a file into a Refusal."""
    try:
        yield
    except SettingsError as error:
        raise CommandError(*error.mistakes) from None
    except (QueueError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _OF_OUTPUT:
            raise
        denied = isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError)
        raise CommandError(str(error) + ": run this as the relay's own user" * denied) from None
