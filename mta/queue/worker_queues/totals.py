"""The counts of all queues in QUEUE_DIR, read from the one row of each that has them."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mta.queue.disk.queue_dir import FILE_NAME, homes, is_without_queue
from mta.queue.errors import as_queue_error
from mta.queue.interface import Ledger
from mta.queue.sqlite.schema import connect_for_reading
from mta.queue.sqlite.statements import SQL


def totals(directory: Path) -> Ledger:
    """Return the sum of the ledgers, without the recipients that wait, which are not counted here. Raises QueueError.

    Blocks, for less than a millisecond a queue. A home without a queue has had no mail yet.
    """
    rows: list[tuple[int, ...]] = []
    try:
        for home in homes(directory):
            if not is_without_queue(home):
                with closing(connect_for_reading(home / FILE_NAME)) as connection:
                    rows += connection.execute(SQL.ledger)
    except sqlite3.Error as error:
        raise as_queue_error(error) from error
    return Ledger(*map(sum, zip(*rows, strict=True)))
