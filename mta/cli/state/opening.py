"""Opens the relay of a command's settings as a RelayState, and reads its messages in parts of bounded size."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mta.admin.client.client_state import ClientState, client_of, is_running
from mta.admin.state import NotRunning, RelayState
from mta.cli.environment import current_environment, is_shared, where_to_look
from mta.cli.errors import command_errors
from mta.cli.results import answer
from mta.config.readers.domains import read_mailname
from mta.config.setting import SettingsReader
from mta.config.table import QUEUE_DIR
from mta.queue.interface import Entry, Query, QueueError

if TYPE_CHECKING:
    from mta.cli.state.stopped import QueueState

#: Messages that one request asks for.
PAGE = 500


def queue_directory(environ: Mapping[str, str]) -> Path:
    """Return QUEUE_DIR, even if other settings are wrong. Raises SettingsError."""
    reader = SettingsReader(environ)
    directory = reader.get(QUEUE_DIR)
    reader.check()
    return directory


@contextmanager
def relay_state() -> Iterator[RelayState]:
    """Yield the relay of the current command, or its queue if none runs here; turn errors into a CommandError."""
    with command_errors():
        environ = current_environment()
        directory = queue_directory(environ)
        if is_running(directory):
            yield client_of(directory)
            return
        state = _shared(environ) if is_shared(environ) else _stopped(environ, directory)
        try:
            yield state
        finally:
            state.close()


def _stopped(environ: Mapping[str, str], directory: Path) -> "QueueState":
    # A command that asks a relay needs neither SQLite nor Twisted.
    from mta.cli.state.stopped import StoppedState  # noqa: PLC0415

    try:
        return StoppedState(directory, partial(_mailname, environ))
    except QueueError as error:
        raise QueueError(f"{error}{where_to_look(environ)}") from error.__cause__


def _shared(environ: Mapping[str, str]) -> "QueueState":
    from mta.cli.state.shared import SharedState, shared_server  # noqa: PLC0415

    return SharedState(shared_server(environ), partial(_mailname, environ))


def _mailname(environ: Mapping[str, str]) -> str:
    return read_mailname(SettingsReader(environ), socket.gethostname)


@contextmanager
def running_relay() -> Iterator[ClientState]:
    """Yield the relay of the current command, which must run; turn errors into a CommandError."""
    with command_errors():
        environ = current_environment()
        try:
            yield client_of(queue_directory(environ))
        except NotRunning as error:
            raise NotRunning(f"{error}{where_to_look(environ)}") from error


def tell_if_stopped(state: RelayState) -> None:
    """Tell that no relay was asked, after an order on its queue."""
    if isinstance(state, ClientState):
        return
    from mta.cli.state.stopped import QueueState  # noqa: PLC0415

    assert isinstance(state, QueueState)
    click.echo(state.told, err=True)


def messages(state: RelayState, query: Query) -> Iterator[Entry]:
    """Yield the messages of a query up to its limit, of which PAGE at most are in memory. Raises StateError."""
    left = query.limit
    while left > 0:
        wanted = min(PAGE, left)
        found = answer(state.find(replace(query, limit=wanted)))
        yield from found
        if len(found) < wanted:
            return
        left -= wanted
        last = found[-1].id
        query = replace(query, before=last) if query.newest_first else replace(query, after=last)
