"""The way back: the queue in a database to QUEUE_DIR. It may be cut anywhere, and goes on when it is called again.

The messages go to a home of their own, `moving`. When it is complete, its new name `worker-2` makes it a part of
QUEUE_DIR in one step, as the queue of a worker that no longer runs. From then on the database may be emptied.
"""

import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mta.blocking import fsync_path
from mta.queue.disk.files import BODIES
from mta.queue.disk.queue_dir import FILE_NAME, Lock, lock_relay, prepare, worker_home
from mta.queue.errors import as_queue_error
from mta.queue.ids import to_id
from mta.queue.interface import QueueError
from mta.queue.move.moving import MovedMail
from mta.queue.move.source import ATTEMPT, COMMON, RECIPIENT, Row
from mta.queue.postgres.schema import open_schema
from mta.queue.postgres.session import DatabaseSession
from mta.queue.sqlite.group_commit import Step, no_step
from mta.queue.sqlite.schema import open_file
from mta.queue.worker_queues.merge import merge

_HOME = "moving"
_SLICE = 200
_BEGIN_MOVE = """
INSERT INTO meta (name, value) VALUES ('moving_away', %(name)s) ON CONFLICT (name) DO UPDATE SET value = %(name)s
"""
_MOVES = "SELECT value FROM meta WHERE name = 'moving_away'"
# No relay can join while this row is locked.
_LOCK_STARTS = "SELECT FROM node WHERE id = 0 FOR UPDATE"
_LIVING = "SELECT name FROM node WHERE NOT fenced AND alive_until >= clock_timestamp() LIMIT 1"
_MARKS = "SELECT lane.sending FROM lane JOIN node ON node.id = lane.node WHERE NOT node.fenced AND lane.sending <> '{}'"
_DOUBTS = "SELECT doubt FROM message WHERE doubt IS NOT NULL"
_TOTALS = """
SELECT sum(accepted)::bigint, sum(delivered)::bigint, sum(failed)::bigint, sum(removed)::bigint FROM lane
"""
_EMPTY = (
    "DELETE FROM message",
    "DELETE FROM recipient",
    "DELETE FROM attempt",
    "DELETE FROM body",
    "DELETE FROM chunk",
    "DELETE FROM history",
    "UPDATE lane SET accepted = 0, delivered = 0, failed = 0, removed = 0, sending = '{}'",
    "DELETE FROM meta WHERE name = 'moving_away'",
)
_FORGET = "DELETE FROM meta WHERE name = 'arriving'"
_SHARED = COMMON.split(", ")
_WAITING = f"""
SELECT {COMMON}, held, held_since, token, leased_since,
       CASE WHEN node IS NULL THEN due ELSE %(now)s::double precision END, chunks
FROM message WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
"""  # noqa: S608
_FINISHED = f"""
SELECT {COMMON}, token, finished, recipients FROM history WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
"""  # noqa: S608
_ADD_WAITING = f"""
INSERT INTO message ({COMMON}, held, held_since, token, leased, leased_since, due, in_file)
VALUES ({", ".join("?" * len(_SHARED))}, ?, ?, ?, 0, ?, ?, ?)
"""  # noqa: S608
_ADD_FINISHED = f"""
INSERT INTO message ({COMMON}, token, leased, finished, in_file)
VALUES ({", ".join("?" * len(_SHARED))}, ?, 0, ?, 0)
"""  # noqa: S608
_ADD_RECIPIENT = f"INSERT INTO recipient ({RECIPIENT}) VALUES ({', '.join('?' * 14)})"  # noqa: S608
_ADD_ATTEMPT = f"INSERT INTO attempt ({ATTEMPT}) VALUES ({', '.join('?' * 10)})"  # noqa: S608
_OF_RECIPIENT = RECIPIENT.split(", ")[1:]
_OF_ATTEMPT = ATTEMPT.split(", ")[2:]


@dataclass(frozen=True, slots=True)
class MoveBack:
    """A move of the queue in a database to QUEUE_DIR, whose own messages stay."""

    directory: Path
    #: The parameters of libpq, with the password.
    parameters: Mapping[str, str] = field(repr=False)
    #: Gets lines for the operator.
    tell: Callable[[str], object]
    step: Step = no_step

    def run(self, now: float) -> MovedMail:
        """Carry all messages over; then the database has an empty queue. Blocks; raises QueueError.

        No relay may run on QUEUE_DIR, or on the database.
        """
        try:
            with lock_relay(self.directory):
                session = DatabaseSession(self.parameters, changes=False)
                try:
                    return self._run(session, now)
                finally:
                    session.close()
        except (sqlite3.Error, OSError) as error:
            raise as_queue_error(error) from error

    def _run(self, session: DatabaseSession, now: float) -> MovedMail:
        open_schema(session, create=False)
        prepare(self.directory)
        home = self.directory / _HOME
        with self._main() as main:
            arriving = _arriving(main)
        if arriving is None or home.exists():
            # Nothing of the messages is in QUEUE_DIR yet.
            for merged in merge(self.directory, 1, now):
                self.tell(str(merged))
            moved = self._copy(session, home, now, resumed=arriving is not None)
        else:
            self._empty(session, arriving)
            moved = MovedMail(0, 0, resumed=True)
        self.step("merge")
        merge(self.directory, 1, now)
        with self._main() as main:
            main.execute(_FORGET)
        return moved

    @contextmanager
    def _main(self) -> Iterator[sqlite3.Connection]:
        """Lock and open the queue file of QUEUE_DIR."""
        with Lock(self.directory), closing(open_file(self.directory / FILE_NAME, create=True, upgrade=True)) as main:
            yield main

    def _copy(self, session: DatabaseSession, home: Path, now: float, *, resumed: bool) -> MovedMail:
        name = secrets.randbits(62)
        with self._main() as main:
            # A name without a home means that the home was renamed, so the old name goes before the old home.
            main.execute(_FORGET)
            if home.exists():
                shutil.rmtree(home)
            prepare(home)
            main.execute("INSERT INTO meta VALUES ('arriving', ?)", (name,))
        self.step("begin")
        with _alone(session):
            session.rows(_BEGIN_MOVE, {"name": name})
        with _alone(session):
            waiting, finished = self._fill(session, home, now)
            self.step("rename")
            home.rename(worker_home(self.directory, 2))
            fsync_path(self.directory)
            self.step("empty")
            for statement in _EMPTY:
                session.rows(statement)
        return MovedMail(waiting, finished, resumed)

    def _fill(self, session: DatabaseSession, home: Path, now: float) -> tuple[int, int]:
        """Copy all messages into a home, durably; return the numbers of waiting and finished ones."""
        with closing(open_file(home / FILE_NAME, create=True, upgrade=True)) as connection:
            copy = _FileCopy(session, connection, home, now)
            numbers = copy.waiting(), copy.finished()
            copy.counts()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        fsync_path(home / BODIES)
        fsync_path(home)
        return numbers

    def _empty(self, session: DatabaseSession, arriving: int) -> None:
        """Empty the database after a move that was cut before that."""
        with _alone(session):
            if session.rows(_MOVES) == [(arriving,)]:
                for statement in _EMPTY:
                    session.rows(statement)


def _arriving(main: sqlite3.Connection) -> int | None:
    row = main.execute("SELECT value FROM meta WHERE name = 'arriving'").fetchone()
    return None if row is None else row[0]


@contextmanager
def _alone(session: DatabaseSession) -> Iterator[None]:
    """Run a transaction during which no relay works on the database. Raises QueueError if one does."""
    with session.transaction():
        session.rows("SET LOCAL idle_in_transaction_session_timeout = 0")
        session.rows(_LOCK_STARTS)
        living = session.rows(_LIVING)
        if living:
            raise QueueError(f"{living[0][0]} uses the queue in the database: stop all relays there first")
        yield


class _FileCopy:
    """Copies the queue of a database into the queue file of a home."""

    def __init__(self, session: DatabaseSession, connection: sqlite3.Connection, home: Path, now: float) -> None:
        self._session = session
        self._connection = connection
        self._bodies = home / BODIES
        self._now = now

    def waiting(self) -> int:
        """Copy the messages that wait, and return their number."""
        return self._slices(_WAITING, self._add_waiting)

    def finished(self) -> int:
        """Copy the history, and return the number of its messages."""
        return self._slices(_FINISHED, self._add_finished)

    def _slices(self, statement: str, add: Callable[[Row], None]) -> int:
        number, after = 0, -1
        while rows := self._session.rows(statement, {"after": after, "limit": _SLICE, "now": self._now}):
            self._connection.execute("BEGIN")
            for row in rows:
                add(row)
            self._connection.execute("COMMIT")
            number, after = number + len(rows), rows[-1][0]
        return number

    def _add_waiting(self, row: Row) -> None:
        common, (held, held_since, token, leased_since, due, chunks) = row[: len(_SHARED)], row[len(_SHARED) :]
        number = common[0]
        values = (*common, held, held_since, token, leased_since, due, int(chunks > 0))
        self._connection.execute(_ADD_WAITING, values)
        of = {"id": number}
        recipients = f"SELECT {RECIPIENT} FROM recipient WHERE message_id = %(id)s"  # noqa: S608
        self._connection.executemany(_ADD_RECIPIENT, self._session.rows(recipients, of))
        attempts = f"SELECT {ATTEMPT} FROM attempt WHERE message_id = %(id)s"  # noqa: S608
        self._connection.executemany(_ADD_ATTEMPT, self._session.rows(attempts, of))
        if chunks:
            self._write_file(number, chunks)
        else:
            data = self._session.rows("SELECT message_id, data FROM body WHERE message_id = %(id)s", of)
            self._connection.executemany("INSERT INTO body (message_id, data) VALUES (?, ?)", data)

    def _write_file(self, number: int, chunks: int) -> None:
        path = self._bodies / to_id(number)
        path.touch(0o600)
        with path.open("wb") as file:
            for n in range(chunks):
                read = "SELECT data FROM chunk WHERE message_id = %(id)s AND n = %(n)s"
                for (data,) in self._session.rows(read, {"id": number, "n": n}):
                    file.write(data)
        fsync_path(path)

    def _add_finished(self, row: Row) -> None:
        common, (token, finished, recipients) = row[: len(_SHARED)], row[len(_SHARED) :]
        self._connection.execute(_ADD_FINISHED, (*common, token, finished))
        number = common[0]
        for each in recipients:
            values = {"due": None, **each}
            self._connection.execute(_ADD_RECIPIENT, (number, *(values.get(name) for name in _OF_RECIPIENT)))
            for made in each.get("made", ()):
                self._connection.execute(_ADD_ATTEMPT, (number, each["idx"], *(made.get(name) for name in _OF_ATTEMPT)))

    def counts(self) -> None:
        """Copy the ledger, and the marks of copies that a host may have accepted."""
        marks: dict[str, Any] = {}
        for statement in (_MARKS, _DOUBTS):
            for (text,) in self._session.rows(statement):
                for number, ranges in json.loads(text).items():
                    marks[number] = marks.get(number, []) + ranges
        totals = self._session.rows(_TOTALS)[0]
        update = "UPDATE ledger SET accepted = ?, delivered = ?, failed = ?, removed = ?, sending = ?"
        self._connection.execute(update, (*totals, json.dumps(marks)))
