"""Homes of workers with messages in every state, and pictures of their content to compare."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from mta.blocking import run_inline
from mta.message.envelope import TlsDemand
from mta.queue.disk.queue_dir import FILE_NAME, homes
from mta.queue.ids import to_id
from mta.queue.interface import Action, AttemptRecord, Claim, Description, NewMail, Settlement, Verdict
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.queue.sqlite.reader import summary
from mta.queue.sqlite.recovery import read_merge_mark
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail

#: Octets of a body that is kept in a row here.
SMALL = 1000

Picture = dict[str, dict[str, Any]]


class Home:
    """Fills the queue of one home; what it asks is done at once."""

    def __init__(self, directory: Path) -> None:
        self.queue: SqliteQueue = open_queue(directory, run=run_inline, now=NOW, small=SMALL)

    def added(
        self, *recipients: str, large: bool = False, lease: float | None = None, **times: float
    ) -> NewMail | Claim:
        new = mail(*recipients, login="alice")
        writer = self.queue.writer(new.id)
        writer.write(f"Subject: {new.id}\r\n\r\n".encode() + b"x" * (2 * SMALL if large else 20))
        described = Description(f"{new.id}@one.test", "hello", "alice@one.test", "TLSv1.3", new.id)
        envelope = replace(new.envelope, tls_demand=TlsDemand.REQUIRED)
        new = NewMail(new.id, envelope, writer.finish(), description=described)
        claims: list[Claim | None] = []
        self.queue.add(new, NOW, lease, **times).addCallback(claims.append)
        return claims[0] or new

    def claimed(self, *recipients: str, large: bool = False) -> Claim:
        claim = self.added(*recipients, large=large, lease=LEASE)
        assert isinstance(claim, Claim)
        return claim

    def waiting(self, large: bool) -> None:
        self.added(large=large)

    def later(self, large: bool) -> None:
        self.added(large=large, due=NOW + 900)

    def leased(self, large: bool) -> None:
        self.claimed(large=large)

    def held(self, large: bool) -> None:
        self.queue.apply(Action.HOLD, [self.added(large=large).id], NOW)

    def removed(self, large: bool) -> None:
        self.queue.apply(Action.REMOVE, [self.added(large=large).id], NOW + 1)

    def delivered(self, large: bool) -> None:
        self.queue.settle(Settlement(self.claimed(large=large), [Verdict(0, TOOK)], NOW + 2))

    def tried(self, large: bool) -> None:
        claim = self.claimed("a@one.test", "b@two.test", "c@three.test", large=large)
        attempt = AttemptRecord(NOW + 3, LATER.host, LATER.text, "4.7.1", "TLSv1.3", 1.0, 2.0)
        verdicts = [Verdict(0, TOOK), Verdict(1, NEVER), Verdict(2, LATER, NOW + 300, attempt=attempt)]
        self.queue.settle(Settlement(claim, verdicts, NOW + 3, delay_reported=True))

    def arriving(self, large: bool) -> None:
        writer = self.queue.writer(mail().id)
        writer.write(b"x" * (2 * SMALL))
        writer._file.flush()

    def close(self) -> None:
        self.queue.close()


#: Every state a message can be left in.
KINDS: dict[str, Callable[[Home, bool], None]] = {
    kind.__name__: kind
    for kind in (
        Home.waiting,
        Home.later,
        Home.leased,
        Home.held,
        Home.removed,
        Home.delivered,
        Home.tried,
        Home.arriving,
    )
}


def fill(directory: Path, kinds: Iterable[tuple[str, bool]]) -> None:
    """Make a home with a message of each kind, small or large."""
    home = Home(directory)
    for name, large in kinds:
        KINDS[name](home, large)
    home.close()


def picture(*homes: Path) -> Picture:
    """Return all there is to each message of these homes; one that two of them have is a mistake."""
    found: Picture = {}
    for home in homes:
        with closing(sqlite3.connect(home / FILE_NAME)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute("SELECT * FROM message"):
                id = to_id(row["id"])
                assert id not in found, "a message is there twice"
                found[id] = dict(row) | _parts(connection, row["id"], home / "bodies" / id)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            connection.row_factory = None
            assert summary(connection).ledger.missing == 0 or read_merge_mark(connection) is not None
    return found


_ATTEMPTS = "SELECT * FROM attempt WHERE message_id = ? ORDER BY idx, number"


def _parts(connection: sqlite3.Connection, number: int, file: Path) -> dict[str, Any]:
    recipients = connection.execute("SELECT * FROM recipient WHERE message_id = ? ORDER BY idx", (number,))
    body = connection.execute("SELECT data FROM body WHERE message_id = ?", (number,)).fetchone()
    return {
        "recipients": [dict(row) for row in recipients],
        "attempts": [dict(row) for row in connection.execute(_ATTEMPTS, (number,))],
        "body": None if body is None else body["data"],
        "file": file.read_bytes() if file.exists() else None,
    }


def merged_picture(directory: Path, now: float) -> Picture:
    """Return what a merge of all homes at `now` must make of them: only leases in the others change, and end."""
    first, *others = homes(directory)
    own = picture(first) if (first / FILE_NAME).exists() else {}
    return own | {
        id: message | ({"leased": 0, "due": now} if message["leased"] else {})
        for id, message in picture(*others).items()
    }
