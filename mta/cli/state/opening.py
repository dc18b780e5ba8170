"""Opens the relay of a command's settings as a RelayState, and reads its messages in parts of bounded size."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mta.admin.state import RelayState
from mta.cli.environment import current_environment, where_to_look
from mta.cli.errors import command_errors
from mta.cli.results import answer
from mta.cli.state.beside import BesideState
from mta.config.readers.domains import read_mailname
from mta.config.setting import SettingsReader
from mta.config.table import QUEUE_DIR
from mta.queue.interface import Entry, Query, QueueError

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
    """Yield the relay of the current command, and turn errors into a CommandError."""
    with command_errors():
        environ = current_environment()
        try:
            state = BesideState(queue_directory(environ), lambda: _mailname(environ))
        except QueueError as error:
            raise QueueError(f"{error}{where_to_look(environ)}") from error.__cause__
        try:
            yield state
        finally:
            state.close()


def _mailname(environ: Mapping[str, str]) -> str:
    return read_mailname(SettingsReader(environ), socket.gethostname)


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
