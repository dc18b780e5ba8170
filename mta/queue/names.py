"""What the files of a queue are called, beside the one that `mta.queue.home` names."""

import re
from pathlib import Path

#: The folder of a home for the bodies that are too large for a row.
BODIES = "bodies"
#: What follows the id in the name of a body's file that is not whole yet.
PART = ".part"
#: Matches the whole name of a body's file: the message's id, and PART while it is not whole.
BODY_NAME = re.compile(rf"[0-7][0-9a-z]{{12}}(?:{re.escape(PART)})?")


def log_of(database: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of a database (sqlite.org/walformat.html)."""
    return database.with_name(f"{database.name}-wal")
