"""Large bodies between files and chunks: stored before their messages are added, and fetched for delivery.

A body of more than MAX_MEMORY_BODY octets is a file only while it arrives and while it is delivered. No file holds mail
that is promised to anybody, so that all are removed at start. Chunks of a message that was never added are removed when
the relay that stored them is gone, or after an hour (`mta.queue.postgres.membership.chores`).
"""

import os
from functools import partial

from mta.message.body import DamagedError, FileBody
from mta.queue.disk.files import remove
from mta.queue.errors import as_queue_error
from mta.queue.ids import to_number
from mta.queue.interface import BodyLost, QueueError, QueueId
from mta.queue.postgres.lanes.rows import CHUNK_OCTETS
from mta.queue.postgres.mail.statements import SQL
from mta.queue.postgres.session import DatabaseSession

# Chunks that are fetched by one statement.
_FETCHED = 4


def store(session: DatabaseSession, id: QueueId, body: FileBody, node: int) -> None:
    """Store the chunks of a message that is to be added, in a transaction of their own. Blocks.

    May be repeated. Chunks of a message that is in the queue already stay as they are. Raises BodyLost if the file is
    gone or damaged, and QueueError as `DatabaseSession.rows` does.
    """
    number = to_number(id)
    try:
        with body.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != body.size:
                raise DamagedError("it has another size than the message that was received")
            with session.transaction():
                session.rows(SQL.drop_chunks, {"id": number})
                for n, data in enumerate(iter(partial(file.read, CHUNK_OCTETS), b"")):
                    session.rows(SQL.add_chunk, {"id": number, "n": n, "node": node, "data": data})
    except OSError as error:
        raise BodyLost(f"the body of message {id} cannot be read from QUEUE_DIR: {error}") from error


def fetch(session: DatabaseSession, id: QueueId, body: FileBody) -> None:
    """Write the file of a stored body, in place of one that may be there. Blocks.

    A reader that has the earlier file open is not disturbed. Raises QueueError as `DatabaseSession.rows` does, and if
    the file cannot be written or the chunks are not those of the body; then there is no file.
    """
    remove(body.path)
    try:
        _write(session, id, body)
    except BaseException:
        remove(body.path)
        raise


def _write(session: DatabaseSession, id: QueueId, body: FileBody) -> None:
    number, first, written = to_number(id), 0, 0
    try:
        descriptor = os.open(body.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            while rows := session.rows(SQL.chunks, {"id": number, "first": first, "end": first + _FETCHED}):
                written += sum(file.write(data) for (data,) in rows)
                first += _FETCHED
    except OSError as error:
        raise as_queue_error(error) from error
    if written != body.size:
        raise QueueError(f"the database has {written} octets of message {id} instead of {body.size}")
