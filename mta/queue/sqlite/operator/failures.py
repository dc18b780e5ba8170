"""Finds the recipients that failed in a span of time, whether or not their message waits for others."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mta.queue.errors import as_queue_error
from mta.queue.failures import FailedRecipient, Failures
from mta.queue.ids import to_id
from mta.queue.sqlite.schema import connect_for_reading
from mta.smtp.address import Address

# CROSS JOIN has SQLite begin with the messages: otherwise it reads all recipients to find those of messages that wait.
_COLUMNS = """
SELECT m.id, m.created, m.sender_local, m.sender_domain, r.local, r.domain, r.host, r.reply, r.finished
FROM message AS m CROSS JOIN recipient AS r ON r.message_id = m.id
WHERE r.status = 'failed' AND r.finished >= :since AND r.finished < :until
"""
# Each by its index: a message in the history, which finished with its last recipient, and one that waits.
_FAILED = f"{_COLUMNS} AND m.finished >= :since UNION ALL {_COLUMNS} AND m.due IS NOT NULL"


def count_failures(path: Path, since: float, until: float, counted: Failures) -> None:
    """Add the failures of a queue file from `since` to `until` (wall-clock seconds) to others. Raises QueueError.

    Blocks; the time is linear in the messages that finished since then and those that wait.
    """
    try:
        with closing(connect_for_reading(path)) as connection:
            rows = connection.execute(_FAILED, {"since": since, "until": until})
            for number, created, sender, sender_domain, local, domain, host, reply, finished in rows:
                counted.add(reply, created)
                if not counted.wants(finished):
                    continue
                sent_by = "" if sender is None else str(Address(sender, sender_domain))
                to = str(Address(local, domain))
                counted.keep(FailedRecipient(to_id(number), created, sent_by, to, host, reply, finished))
    except sqlite3.Error as error:
        raise as_queue_error(error) from error
