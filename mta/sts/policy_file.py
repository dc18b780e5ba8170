"""The file of policies in the queue's directory, which a restart reads.

It is an SQLite file that is open only while it is read or written. A power failure leaves the old or the new content.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from mta.sts.kept import MAX_DOMAINS, KeptPolicy
from mta.sts.policy import read_policy

#: The name of the file. SQLite's journal has it as a prefix.
FILE_NAME = "mta-sts.sqlite"

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE policy (
    domain TEXT PRIMARY KEY, id TEXT NOT NULL, policy TEXT NOT NULL, fetched REAL NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""
_READ = "SELECT domain, id, policy, fetched, used FROM policy ORDER BY used DESC LIMIT ?"
_LOOK_UP = "SELECT domain, id, policy, fetched, used FROM policy WHERE domain = ?"
_BUSY_SECONDS = 5.0
_ENDINGS = ("", "-journal", "-wal", "-shm")


class PolicyFileDamaged(OSError):
    """The file is not one that the relay wrote. The next write makes a new one."""


class PolicyFile:
    """Reads and writes the file. All methods block, for as long as a sync takes."""

    def __init__(self, directory: Path) -> None:
        """Prepare; the directory, which is the relay's alone, need not exist yet."""
        self._path = directory / FILE_NAME

    def read(self) -> dict[str, KeptPolicy]:
        """Return the policies by domain. Raises OSError, and PolicyFileDamaged after it has removed a damaged file."""
        if not self._path.exists():
            return {}
        with self._errors(), closing(self._open()) as database:
            # A file without tables was just created.
            if _version(database) == 0:
                return {}
            return _policies(database.execute(_READ, (MAX_DOMAINS,)))

    def look_up(self, domain: str) -> KeptPolicy | None:
        """Return the policy of a domain without any change to the file, for programs beside the relay. Raises OSError.

        A damaged file is left to the relay.
        """
        if not self._path.exists():
            return None
        try:
            address = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, timeout=_BUSY_SECONDS, uri=True)) as database:
                rows = database.execute(_LOOK_UP, (domain,)) if _version(database) else ()
                return _policies(rows).get(domain)
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise OSError(f"{FILE_NAME} cannot be read: {error}") from None

    def write(self, changes: Mapping[str, KeptPolicy | None]) -> None:
        """Record changed policies durably; None removes one. Raises as `read` does."""
        # Closed to others from the first moment on.
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        dropped = [(domain,) for domain, kept in changes.items() if kept is None]
        rows = [_row(domain, kept) for domain, kept in changes.items() if kept is not None]
        with self._errors(), closing(self._open()) as database:
            if _version(database) == 0:
                database.executescript(_SCHEMA)
            with database:
                database.executemany("DELETE FROM policy WHERE domain = ?", dropped)
                database.executemany("INSERT OR REPLACE INTO policy VALUES (?, ?, ?, ?, ?)", rows)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the errors of SQLite and of a content into those of this class."""
        try:
            yield
        except sqlite3.OperationalError as error:
            # All others are about the disk or another process.
            if not str(error).startswith("no such "):
                raise OSError(str(error)) from None
            self._start_anew(error)
        except (sqlite3.Error, ValueError, TypeError) as error:
            self._start_anew(error)

    def _start_anew(self, error: Exception) -> NoReturn:
        for ending in _ENDINGS:
            with suppress(FileNotFoundError):
                self._path.with_name(FILE_NAME + ending).unlink()
        raise PolicyFileDamaged(str(error)) from None


def _version(database: sqlite3.Connection) -> int:
    """Return the version of the file. Raises ValueError if it is of another program."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version not in {0, _VERSION}:
        raise ValueError(f"its version is {version}, and this relay reads version {_VERSION}")
    return version


def _row(domain: str, kept: KeptPolicy) -> tuple[str, str, str, float, float]:
    return domain, kept.id, "\n".join(kept.policy.lines), kept.fetched, kept.used


def _policies(rows: Iterable[tuple[Any, ...]]) -> dict[str, KeptPolicy]:
    return {
        str(domain): KeptPolicy(read_policy(str(text).encode()), str(id), float(fetched), float(used))
        for domain, id, text, fetched, used in rows
    }
