"""Opens the queue file: creates it, upgrades it, or refuses it without changing it.

A file is refused by a QueueError with one line that names the fault and how to fix it.
"""

import os
import re
import sqlite3
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from mta.blocking import fsync_path
from mta.queue.disk.files import BODIES, PART, rewrite_in_place, wal_of
from mta.queue.errors import as_queue_error, primary_code
from mta.queue.interface import QueueError
from mta.queue.sqlite.statements import SHIPPED

#: Measured (queue_schema/README.md): 4 KiB pages write the fewest octets a message at every batch size.
PAGE_SIZE = 4096
#: Pages in the WAL at which it is checkpointed: 16 MiB, so that most bodies are deleted before they reach the file.
CHECKPOINT_PAGES = 4000
# On a small disk the WAL takes one part in 32, but at least 256 pages.
_PART_OF_DISK = 32
_MIN_PAGES = 256
CACHE_KIB = 32 * 1024
#: Seconds that a reader waits for a lock, such as that of a daemon that is closing the file.
READER_PATIENCE = 5.0
#: Octets up to which the whole file is checked at start (0.4 s). Of a larger file only the table `meta` is checked.
CHECKED_OCTETS = 64 * 1024 * 1024

APPLICATION_ID = 0x736D7471
_MAGIC = b"SQLite format 3\0"
_VERSION = re.compile(r"PRAGMA user_version = (\d+);")


@dataclass(frozen=True, slots=True)
class Scripts:
    """The SQL that creates a file of the newest version, and the migrations of older files."""

    directory: Traversable = SHIPPED

    @property
    def whole(self) -> str:
        """The newest schema as one script."""
        return (self.directory / "schema.sql").read_text("utf-8")

    @property
    def version(self) -> int:
        """The version of the newest schema."""
        match = _VERSION.search(self.whole)
        assert match is not None
        return int(match[1])

    def step(self, version: int) -> str:
        """Return the migration that ends at this version. Raises QueueError if it does not exist."""
        steps = self.directory / "migrations"
        # Without a migration neither a clone nor a wheel has the folder.
        for entry in steps.iterdir() if steps.is_dir() else ():
            if entry.name.startswith(f"{version:04}_") and entry.name.endswith(".sql"):
                return entry.read_text("utf-8")
        raise QueueError(
            f"there is no upgrade from queue file version {version - 1} to {version}: install a release between first"
        )


def open_file(path: Path, create: bool, upgrade: bool, scripts: Scripts | None = None) -> sqlite3.Connection:
    """Return a connection that writes; the file then has the newest version. Raises QueueError.

    `create` makes a missing file, `upgrade` migrates an older one; without `upgrade` an older file is refused.
    """
    scripts = scripts or Scripts()
    try:
        if not path.exists():
            if not create:
                raise QueueError(f"no queue in {path.parent}: check QUEUE_DIR, or start the relay once to create it")
            refuse_remains(path)
            _create(path, scripts)
        else:
            _check(path, scripts.version)
        if upgrade:
            # The caller has locked the directory. The relay goes on from the WAL, so it must be on disk as it is read.
            rewrite_in_place(wal_of(path))
        connection = connect(path)
        try:
            _upgrade(connection, path, scripts, upgrade)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise as_queue_error(error) from error
    return connection


def checkpoint_pages(directory: Path) -> int:
    """Return the pages in the WAL at which it is checkpointed: fewer on a disk below 512 MiB. Raises OSError."""
    disk = os.statvfs(directory)
    return min(CHECKPOINT_PAGES, max(_MIN_PAGES, disk.f_blocks * disk.f_frsize // _PART_OF_DISK // PAGE_SIZE))


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that writes, whose COMMIT returns when it is on disk. Raises sqlite3.Error and OSError."""
    pages = checkpoint_pages(path.parent)
    # Mode rw does not create the file: a merge may remove it while a command opens it.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", timeout=0, uri=True, isolation_level=None, check_same_thread=False
    )
    # FULL syncs the WAL at each commit. NORMAL, which SQLite's manual advises for WAL mode, may lose the last commits.
    # Debian's SQLite has secure_delete on, which overwrites the pages of each deleted body with zeros.
    connection.executescript(
        f"""
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA foreign_keys = ON;
        PRAGMA temp_store = MEMORY;
        PRAGMA secure_delete = OFF;
        PRAGMA wal_autocheckpoint = {pages};
        PRAGMA journal_size_limit = {pages * PAGE_SIZE * 4};
        PRAGMA cache_size = -{CACHE_KIB};
        """
    )
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write. Raises sqlite3.Error."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        timeout=READER_PATIENCE,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def connect_untouched(path: Path) -> sqlite3.Connection:
    """Return a connection that reads without changing the file or its folder. Raises sqlite3.Error."""
    # Without a WAL the file has no writer, and `immutable` keeps SQLite from creating files beside it.
    mode = "mode=ro" if wal_of(path).exists() else "immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", timeout=READER_PATIENCE, uri=True)


def refuse_remains(path: Path) -> None:
    """Raise QueueError if bodies or a WAL are left of a queue whose file is missing: a new file would void them."""
    bodies, log = path.parent / BODIES, wal_of(path)
    if (log.exists() and log.stat().st_size > 0) or (
        bodies.is_dir() and any(path.suffix != PART for path in bodies.iterdir())
    ):
        raise QueueError(
            f"{path} is missing but parts of its queue are there: restore the file, or move all of {path.parent} away"
        )


def _create(path: Path, scripts: Scripts) -> None:
    """Build the file under another name and rename it, so that a file under the final name is complete."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.executescript(scripts.whole)
        # Under the final name this would leave a journal, which a power cut could bring back and which only a
        # connection that writes can roll back.
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    _rename_durably(new, path)


def _rename_durably(source: Path, target: Path) -> None:
    source.rename(target)
    fsync_path(target.parent)


def _check(path: Path, version: int) -> None:
    """Raise QueueError if the file is not a queue file, is too new or is damaged; read it without writing."""
    with path.open("rb") as file:
        header = file.read(100)
    if header[:16] != _MAGIC or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise QueueError(f"{path} is not a queue file: restore it from a backup, or move it away to start empty")
    connection = connect_untouched(path)
    try:
        _check_version(connection, path, version)
        _check_sound(connection, path)
    except sqlite3.DatabaseError as error:
        if primary_code(error) == sqlite3.SQLITE_BUSY:
            raise
        raise _damaged(path, str(error)) from error
    finally:
        connection.close()


def _check_version(connection: sqlite3.Connection, path: Path, ours: int) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found <= ours:
        return
    (oldest,) = connection.execute("SELECT value FROM meta WHERE name = 'oldest_compatible'").fetchone()
    if oldest > ours:
        raise QueueError(
            f"{path} has version {found}, made by a newer smtprelay; this one knows {ours}: install the newer again"
        )


def _check_sound(connection: sqlite3.Connection, path: Path) -> None:
    # SQLite refuses a truncated file at any statement, so that a check of `meta` finds it too.
    check = "PRAGMA quick_check(1)" if path.stat().st_size <= CHECKED_OCTETS else "PRAGMA quick_check('meta')"
    (answer,) = connection.execute(check).fetchone()
    if answer != "ok":
        raise _damaged(path, " ".join(answer.split()))


def _damaged(path: Path, detail: str) -> QueueError:
    return QueueError(f"{path} is damaged ({detail}): restore it from a backup, or move it away to start empty")


def _upgrade(connection: sqlite3.Connection, path: Path, scripts: Scripts, allowed: bool) -> None:
    version = _version_of(connection)
    if version >= scripts.version:
        return
    if not allowed:
        raise QueueError(f"{path} has version {version}, not yet {scripts.version}: start the relay once to upgrade it")
    steps = [(number, scripts.step(number)) for number in range(version + 1, scripts.version + 1)]
    _copy_aside(connection, path, version)
    # A migration may rebuild a table that foreign keys refer to.
    connection.execute("PRAGMA foreign_keys = OFF")
    for number, script in steps:
        connection.executescript(script)
        if _version_of(connection) != number:
            raise QueueError(
                f"{path} could not be upgraded to version {number}: its copy {path.name}.v{version}.bak is intact"
            )
    connection.execute("PRAGMA foreign_keys = ON")
    # An older program reads the version from the file itself, not from the WAL.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _version_of(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _copy_aside(connection: sqlite3.Connection, path: Path, version: int) -> None:
    backup = path.with_name(f"{path.name}.v{version}.bak")
    new = backup.with_name(backup.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600))
    copy = sqlite3.connect(new)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    _rename_durably(new, backup)
