"""The queue in QUEUE_DIR as the source of a move: its rows in slices, and its end."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mta.blocking import fsync_path
from mta.queue.disk.files import BODIES
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.ids import to_id
from mta.queue.sqlite.schema import open_file

Row = tuple[Any, ...]

#: Columns of a message that both engines have, in one order.
COMMON = (
    "id, created, size, sender_local, sender_domain, client, helo, protocol, body_type, smtputf8, ret, envid, login, "
    "message_id, subject, author, tls, report_of, tls_demand, delay_reported"
)
_BOOLEANS = [COMMON.split(", ").index(name) for name in ("smtputf8", "delay_reported")]
RECIPIENT = (
    "message_id, idx, local, domain, notify, original, status, attempts, due, reply, host, finished, signed_by, way"
)
ATTEMPT = "message_id, idx, number, time, host, reply, status, tls, waited, transfer"
_WAITING = (
    f"SELECT {COMMON}, held, held_since, token, leased, leased_since, due, in_file FROM message "  # noqa: S608
    "WHERE id > ? AND due IS NOT NULL ORDER BY id LIMIT ?"
)
_FINISHED = f"SELECT {COMMON}, token, finished FROM message WHERE finished IS NOT NULL ORDER BY id"  # noqa: S608
_RECIPIENTS = f"SELECT {RECIPIENT} FROM recipient WHERE message_id = ? ORDER BY idx"  # noqa: S608
_ATTEMPTS = f"SELECT {ATTEMPT} FROM attempt WHERE message_id = ? ORDER BY idx, number"  # noqa: S608
_BODY = "SELECT data FROM body WHERE message_id = ?"
#: Octets of bodies after which a slice ends.
_SLICE_OCTETS = 16 * 1024 * 1024
#: The columns of a finished recipient in the history of a shared queue, and those of its attempts.
_TOLD = ("idx", "local", "domain", "notify", "original", "status", "attempts", "reply", "host", "finished", "signed_by")
_MADE = tuple(ATTEMPT.split(", ")[2:])


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A message that waits, with its rows."""

    common: Row
    held: bool
    held_since: float | None
    token: int
    leased_since: float | None
    due: float
    recipients: list[Row]
    attempts: list[Row]
    #: The body, or the file that it is in.
    body: bytes | Path
    #: The marks of copies that a host may have accepted, as the text of a lane; None if there are none.
    doubt: str | None

    @property
    def id(self) -> int:
        """The row number."""
        number: int = self.common[0]
        return number

    @property
    def waiting(self) -> int:
        """The number of recipients that wait."""
        return sum(recipient[6] == "waiting" for recipient in self.recipients)


class SourceQueue:
    """The queue of QUEUE_DIR, which the caller has locked. Raises QueueError, sqlite3.Error, OSError."""

    def __init__(self, directory: Path, now: float, slice_size: int) -> None:
        """`slice_size` is the number of messages in a slice."""
        self._slice_size = slice_size
        self._bodies = directory / BODIES
        self._now = now
        self._connection = open_file(directory / FILE_NAME, create=False, upgrade=True)
        (text,) = self._connection.execute("SELECT sending FROM ledger").fetchone()
        self._marks: dict[str, Any] = json.loads(text)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def name(self) -> int | None:
        """The number by which the target knows the queue, which is drawn when the move begins; None before."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = 'moving'").fetchone()
        return None if row is None else row[0]

    def begin(self) -> int:
        """Return the name, and draw it if there is none. It is then on disk."""
        if self.name is None:
            self._connection.execute("INSERT INTO meta VALUES ('moving', ?)", (secrets.randbits(62),))
        assert self.name is not None
        return self.name

    def waiting(self, after: int) -> Iterator[list[WaitingMessage]]:
        """Yield the messages that wait, in slices by row number."""
        while messages := self._slice(after):
            yield messages
            after = messages[-1].id

    def _slice(self, after: int) -> list[WaitingMessage]:
        messages: list[WaitingMessage] = []
        octets = 0
        for row in self._connection.execute(_WAITING, (after, self._slice_size)):
            messages.append(self._message(row))
            octets += row[2]
            if octets >= _SLICE_OCTETS:
                break
        return messages

    def _message(self, row: Row) -> WaitingMessage:
        *common, held, held_since, token, leased, leased_since, due, in_file = row
        number = row[0]
        ranges = self._marks.get(str(number))
        return WaitingMessage(
            _common(common),
            bool(held),
            held_since,
            token,
            leased_since,
            self._now if leased else due,
            self._rows(_RECIPIENTS, number),
            self._rows(_ATTEMPTS, number),
            self._bodies / to_id(number) if in_file else self._rows(_BODY, number)[0][0],
            None if ranges is None else json.dumps({str(number): ranges}),
        )

    def _rows(self, statement: str, number: int) -> list[Row]:
        return [_clean(row) for row in self._connection.execute(statement, (number,))]

    def finished(self) -> Iterator[Row]:
        """Yield the rows of the history: COMMON, token, finished, whether one failed, the recipients as JSON."""
        for row in self._connection.execute(_FINISHED):
            *common, token, finished = row
            recipients, failed = self._told(row[0])
            yield (*_common(common), token, finished, failed, recipients)

    def _told(self, number: int) -> tuple[str, bool]:
        names = RECIPIENT.split(", ")
        made: dict[int, list[dict[str, Any]]] = {}
        for row in self._rows(_ATTEMPTS, number):
            made.setdefault(row[1], []).append(dict(zip(_MADE, row[2:], strict=True)))
        told = []
        for row in self._rows(_RECIPIENTS, number):
            columns = dict(zip(names, row, strict=True))
            one = {name: columns[name] for name in _TOLD if columns[name] is not None}
            one["verdict"] = 0
            if columns["idx"] in made:
                one["made"] = made[columns["idx"]]
            told.append(one)
        return json.dumps(told, ensure_ascii=False), any(one["status"] == "failed" for one in told)

    def totals(self) -> tuple[int, int, int, int]:
        """Return the ledger: recipients accepted, delivered, failed, removed."""
        row: tuple[int, int, int, int] = self._connection.execute(
            "SELECT accepted, delivered, failed, removed FROM ledger"
        ).fetchone()
        return row

    def empty(self) -> None:
        """Remove all messages and counts in one transaction, then the files of bodies."""
        self._connection.executescript(
            """
            BEGIN IMMEDIATE;
            DELETE FROM message;
            UPDATE ledger SET accepted = 0, delivered = 0, failed = 0, removed = 0, sending = '{}';
            DELETE FROM meta WHERE name = 'moving';
            COMMIT;
            PRAGMA wal_checkpoint(TRUNCATE);
            """
        )
        for path in list(self._bodies.iterdir()):
            path.unlink()
        fsync_path(self._bodies)


def _common(columns: list[Any]) -> Row:
    for index in _BOOLEANS:
        columns[index] = bool(columns[index])
    return _clean(columns)


def _clean(row: Any) -> Row:
    """Return a row without NUL, which PostgreSQL cannot store."""
    return tuple(each.replace("\0", "") if isinstance(each, str) else each for each in row)
