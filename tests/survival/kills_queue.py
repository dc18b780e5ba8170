"""The queue of a dead daemon, read without changing it: waiting recipients, marked ones, and the ledger."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def _opened(home: Path) -> Iterator[sqlite3.Connection]:
    # Read-only, so that the next start finds the log as the dead process left it.
    with closing(sqlite3.connect(f"file:{home / 'queue.sqlite'}?mode=ro", uri=True)) as connection:
        yield connection


def marked(home: Path) -> Counter[str]:
    """Return the recipients that wait though their copy may have been taken, by address, and how many there are."""
    address = "SELECT local || '@' || domain FROM recipient WHERE message_id = ? AND idx = ? AND due IS NOT NULL"
    found: Counter[str] = Counter()
    with _opened(home) as connection:
        sending = json.loads(connection.execute("SELECT sending FROM ledger").fetchone()[0])
        for number, ranges in sending.items():
            for first, last in ranges:
                for index in range(first, last + 1):
                    found.update(text for (text,) in connection.execute(address, (int(number), index)))
    return found


def waiting(home: Path) -> Counter[str]:
    """Return all recipients that wait, by address."""
    with _opened(home) as connection:
        rows = connection.execute("SELECT local || '@' || domain FROM recipient WHERE due IS NOT NULL")
        return Counter(text for (text,) in rows)


def ledger(home: Path) -> dict[str, int]:
    """Return the counts of the ledger, and how many recipients wait."""
    names = ("accepted", "delivered", "failed", "removed")
    with _opened(home) as connection:
        counts = dict(zip(names, connection.execute(f"SELECT {', '.join(names)} FROM ledger").fetchone(), strict=True))
        (counts["waiting"],) = connection.execute("SELECT count(*) FROM recipient WHERE due IS NOT NULL").fetchone()
    return counts
