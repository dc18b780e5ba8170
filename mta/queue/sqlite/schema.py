"""Opens the queue file: creates it, upgrades it, or refuses it without having touched it.

Every refusal is a QueueError whose one line says what is wrong and what to do.
"""

import os
import re
import sqlite3
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from mta.queue.disk.files import BODIES, PART, fsync_path, rewrite_in_place, wal_of
from mta.queue.errors import as_queue_error, primary_code
from mta.queue.interface import QueueError
from mta.queue.sqlite.statements import SHIPPED

#: Measured (queue_schema/README.md): 4 KiB pages write the fewest octets a message at every batch size.
PAGE_SIZE = 4096
#: Pages in the log before they are moved to the file: 16 MiB, so that most bodies are gone before they would be moved.
CHECKPOINT_PAGES = 4000
#: The part of a small disk that the log may take, and the fewest pages that it has.
_PART_OF_DISK = 32
_FEWEST_PAGES = 256
CACHE_KIB = 32 * 1024
#: Seconds that who only reads waits for a lock, such as that of the daemon which just ends.
READER_PATIENCE = 5.0
#: A file up to this size is checked whole at start (0.4 s); a larger one only as far as that stays quick.
CHECKED_OCTETS = 64 * 1024 * 1024

APPLICATION_ID = 0x736D7471
_MAGIC = b"SQLite format 3\0"
_VERSION = re.compile(r"PRAGMA user_version = (\d+);")


@dataclass(frozen=True, slots=True)
class Scripts:
    """The SQL that makes the newest file, and the steps that lead there from older ones."""

    directory: Traversable = SHIPPED

    @property
    def whole(self) -> str:
        """The newest schema."""
        return (self.directory / "schema.sql").read_text("utf-8")

    @property
    def version(self) -> int:
        """The version the newest schema has."""
        match = _VERSION.search(self.whole)
        assert match is not None
        return int(match[1])

    def step(self, version: int) -> str:
        """Return the migration that ends at this version. Raises QueueError when there is none."""
        steps = self.directory / "migrations"
        # Neither a clone nor a wheel has the folder before there is a first step.
        for entry in steps.iterdir() if steps.is_dir() else ():
            if entry.name.startswith(f"{version:04}_") and entry.name.endswith(".sql"):
                return entry.read_text("utf-8")
        raise QueueError(
            f"no way leads from queue file version {version - 1} to {version}: install the release between"
        )


def open_file(path: Path, create: bool, upgrade: bool, scripts: Scripts | None = None) -> sqlite3.Connection:
    """Return a connection for the one writer, at the newest version. Raises QueueError."""
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
            # Ours is the file: what is read from its log is what we go on from.
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
    """Return the pages that the log has before they are moved to the file; fewer on a disk below 512 MiB.

    Raises OSError.
    """
    disk = os.statvfs(directory)
    return min(CHECKPOINT_PAGES, max(_FEWEST_PAGES, disk.f_blocks * disk.f_frsize // _PART_OF_DISK // PAGE_SIZE))


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that writes as durably as the queue promises: a COMMIT returns when it is on disk.

    Raises sqlite3.Error and OSError.
    """
    pages = checkpoint_pages(path.parent)
    # Mode rw: a file that a merge removes while a command opens it must not be there again, empty.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", timeout=0, uri=True, isolation_level=None, check_same_thread=False
    )
    # FULL syncs the log at each commit; SQLite's usual advice for WAL, NORMAL, would lose the last ones.
    # Debian's SQLite overwrites what is deleted with zeros, which writes each body's pages once more.
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
    """Return a connection to read from before anything of the file is touched. Raises sqlite3.Error."""
    # Without a log nobody can be writing, and `immutable` keeps SQLite from making files of its own beside it.
    mode = "mode=ro" if wal_of(path).exists() else "immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", timeout=READER_PATIENCE, uri=True)


def refuse_remains(path: Path) -> None:
    """Raise QueueError for what is left of a queue whose file is missing: a new one would make that worthless."""
    bodies, log = path.parent / BODIES, wal_of(path)
    if (log.exists() and log.stat().st_size > 0) or (
        bodies.is_dir() and any(path.suffix != PART for path in bodies.iterdir())
    ):
        raise QueueError(
            f"{path} is missing but parts of its queue are there: restore the file, or move all of {path.parent} away"
        )


def _create(path: Path, scripts: Scripts) -> None:
    """Build the file under another name, so that one with the right name is always whole."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.executescript(scripts.whole)
        # Done to the file under its right name, this would leave a journal there for a power cut to bring back, which
        # only a connection that writes can undo.
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    _rename_durably(new, path)


def _rename_durably(source: Path, target: Path) -> None:
    source.rename(target)
    fsync_path(target.parent)


def _check(path: Path, version: int) -> None:
    """Refuse what is not a sound queue file that we know, from connections that cannot write."""
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
    # A file that was cut short is refused by SQLite whatever is asked.
    question = "PRAGMA quick_check(1)" if path.stat().st_size <= CHECKED_OCTETS else "PRAGMA quick_check('meta')"
    (answer,) = connection.execute(question).fetchone()
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
    # A step may rebuild a table that others refer to.
    connection.execute("PRAGMA foreign_keys = OFF")
    for number, script in steps:
        connection.executescript(script)
        if _version_of(connection) != number:
            raise QueueError(
                f"{path} could not be upgraded to version {number}: its copy {path.name}.v{version}.bak is whole"
            )
    connection.execute("PRAGMA foreign_keys = ON")
    # The version must be in the file itself, where an older program looks first.
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
