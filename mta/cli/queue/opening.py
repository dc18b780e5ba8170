"""Opens the queues for a command, also beside a running relay, and tells the relay of changes.

The commands work on the queue files themselves, and then notify the workers.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from mta.blocking import run_inline
from mta.cli.environment import current_environment, where_to_look
from mta.cli.errors import CommandError, command_errors
from mta.cli.results import result
from mta.config.setting import SettingsReader
from mta.config.table import QUEUE_DIR
from mta.daemon import control
from mta.queue.disk.queue_dir import homes
from mta.queue.ids import prefix_range, to_number
from mta.queue.interface import Action, Entry, Query, QueueError, QueueId
from mta.queue.search.conditions import Conditions
from mta.queue.worker_queues.combined import Applied, CombinedQueue, open_queues

T = TypeVar("T")
#: The length of a whole id.
_WHOLE = 13


def queue_directory(environ: Mapping[str, str]) -> Path:
    """Return QUEUE_DIR, even if other settings are wrong. Raises SettingsError."""
    reader = SettingsReader(environ)
    directory = reader.get(QUEUE_DIR)
    reader.check()
    return directory


def _ignore(_home: Path, _action: Action, _ids: Sequence[QueueId]) -> None:
    pass


@contextmanager
def opened(applied: Applied = _ignore) -> Iterator[CombinedQueue]:
    """Open the queues, and turn errors into a CommandError."""
    with command_errors():
        environ = current_environment()
        directory = queue_directory(environ)
        try:
            queues = open_queues(directory, run=run_inline, now=time.time(), applied=applied)
        except QueueError as error:
            raise QueueError(f"{error}{where_to_look(environ)}") from error.__cause__
        try:
            yield queues
        finally:
            result(queues.close())


def checked(ids: Sequence[str]) -> list[QueueId]:
    """Return whole ids, each once. Raises CommandError if one is malformed."""
    try:
        for id in ids:
            to_number(QueueId(id))
    except ValueError as error:
        raise CommandError(str(error)) from None
    return [QueueId(id) for id in dict.fromkeys(ids)]


def resolved(queues: CombinedQueue, ids: Sequence[str]) -> list[QueueId]:
    """Return the whole ids for ids that may be abbreviated, each once. Raises CommandError.

    A whole id need not be that of a message; an abbreviation must be that of exactly one, waiting or in the history.
    """
    return list(dict.fromkeys(_resolved(queues, id) for id in ids))


def _resolved(queues: CombinedQueue, id: str) -> QueueId:
    if len(id) >= _WHOLE:
        return checked([id])[0]
    if not id or prefix_range(id.lower()) is None:
        raise CommandError(f"not a queue id: {id!r}")
    query = Query(finished=True, limit=2, conditions=Conditions(ids=(id,)))
    found = result(queues.find(query))
    if len(found) == 1:
        return found[0].id
    if found:
        raise CommandError(f"the ids of several messages begin with {id}: give more of it")
    raise CommandError(f"no message's id begins with {id}")


def notify(home: Path, action: Action, ids: Sequence[QueueId]) -> None:
    """Notify the relay of a home of a change. If that fails, say so, because the change is done."""
    try:
        control.notify_daemon(home, action, ids, control.operator_name(os.environ))
    except OSError as error:
        click.echo(
            f"smtprelay: done, but the running relay could not be notified ({error}); it will notice later", err=True
        )


def waits_for(queue_dir: Path, entry: Entry) -> str:
    """Return the reason for which a message waits, as the running relay or one of its workers tells it; "" if none."""
    if all(recipient.due is None for recipient in entry.recipients):
        return ""
    return next(filter(None, (control.ask_wait(home, entry.id) for home in homes(queue_dir))), "")
