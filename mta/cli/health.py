"""`smtprelay health`: checks that the relay greets and answers EHLO, and that the queue of each worker can be written.

The check connects as a client and opens the queue as another program, so it does not depend on the daemon's reactor. Of
a shared queue it checks that the database takes connections for writing.
"""

import socket
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import click

from mta.cli.environment import current_environment, introduce, is_shared, relay_address, where_to_look
from mta.config.setting import SettingsError, SettingsReader
from mta.config.table import PROXY_NETWORKS, QUEUE_DIR
from mta.inbound.networks import TrustList
from mta.queue.disk.files import BODIES, wal_of
from mta.queue.disk.queue_dir import FILE_NAME, homes
from mta.queue.disk.space import require_room
from mta.queue.errors import as_queue_error, primary_code, with_home
from mta.queue.interface import QueueError

_NO_BALANCERS = TrustList()
#: Seconds that each step may take.
PATIENCE = 5.0

_MAX_LINES = 50
_MAX_LINE = 2048
# A transaction without effect that must reach the disk. SQLite would not write an UPDATE that changes no value.
_TOUCH = """
BEGIN IMMEDIATE;
INSERT INTO meta (name, value) VALUES ('health', 0);
DELETE FROM meta WHERE name = 'health';
COMMIT;
"""


class UnhealthyError(Exception):
    """The relay cannot accept mail now. The message is one line with the reason."""


@click.command()
def health() -> None:
    """Check that the relay can accept mail now. If not, print the reason and exit with status 1."""
    hint = ""
    try:
        environ = current_environment()
        hint = where_to_look(environ)
        check(environ)
    except (UnhealthyError, QueueError) as error:
        lines = [str(error)]
    except SettingsError as error:
        lines = list(error.mistakes)
    else:
        return
    click.echo(f"smtprelay: unhealthy: {'; '.join(lines)}{hint}", err=True)
    raise SystemExit(1)


def check(environ: Mapping[str, str], patience: float = PATIENCE) -> None:
    """Check that the relay of an environment can accept mail. Raises UnhealthyError, QueueError or SettingsError.

    `patience` is seconds for each step.
    """
    reader = SettingsReader(environ)
    (host, port), directory = relay_address(reader), reader.get(QUEUE_DIR)
    balancers = reader.get(PROXY_NETWORKS)
    reader.check()
    accepts(host, port, patience, balancers)
    if is_shared(environ):
        # The driver takes longer to import than the rest of the check.
        from mta.cli.state.shared import check_database  # noqa: PLC0415

        check_database(environ, patience)
    else:
        all_can_be_written(directory, patience)


def accepts(host: str, port: int, patience: float = PATIENCE, balancers: TrustList = _NO_BALANCERS) -> None:
    """Check that a mail server greets there and answers EHLO with 250. Raises UnhealthyError.

    If `balancers` contains this host, the connection begins with a PROXY header.
    """
    try:
        with socket.create_connection((host, port), patience) as connection, connection.makefile("rb") as replies:
            introduce(connection, balancers)
            _expect(replies, b"220", "the greeting")
            # An address literal needs no DNS look-up (RFC 5321 section 4.1.3).
            connection.sendall(b"EHLO [127.0.0.1]\r\n")
            _expect(replies, b"250", "the reply to EHLO")
            connection.sendall(b"QUIT\r\n")
            replies.readline(_MAX_LINE)
    except OSError as error:
        raise UnhealthyError(f"no answer on {host} port {port}: {error.strerror or error}") from None


def _expect(replies: BinaryIO, code: bytes, what: str) -> None:
    for _ in range(_MAX_LINES):
        line = replies.readline(_MAX_LINE)
        if line[3:4] != b"-":
            break
    if not line.startswith(code):
        words = line.decode("ascii", "replace").strip() or "nothing"
        raise UnhealthyError(f"{what} is {words!r}, not {code.decode()}")


def all_can_be_written(directory: Path, patience: float = PATIENCE) -> None:
    """Check that the queue of each worker in QUEUE_DIR can be written. Raises QueueError, which names the others.

    The first worker must have a queue; other workers without a queue are skipped.
    """
    places = homes(directory)
    troubles: dict[Path, str] = {}

    def probe(home: Path) -> None:
        troubles[home] = _trouble(home, places, patience)

    # In parallel, because each queue may be busy for all of `patience`, and the caller has a timeout of its own. A
    # ThreadPoolExecutor is not used, because its import takes longer than the whole check.
    threads = [Thread(target=probe, args=(home,)) for home in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if lines := [troubles[home] for home in places if troubles[home]]:
        raise QueueError("; ".join(lines))


def _trouble(home: Path, places: Sequence[Path], patience: float) -> str:
    """Return the reason why the queue in a directory cannot be written, or ""."""
    try:
        can_be_written(home, patience)
    except QueueError as error:
        return str(with_home(home, error, places))
    return ""


def can_be_written(home: Path, patience: float = PATIENCE) -> None:
    """Check that a transaction reaches the disk and that there is space for mail. Raises QueueError."""
    path = home / FILE_NAME
    before = _written(path)
    try:
        _touch(path, patience)
    except sqlite3.Error as error:
        # A relay that writes all the time keeps the lock, and its writes to the WAL show that it can write.
        if primary_code(error) != sqlite3.SQLITE_BUSY or _written(path) == before:
            raise as_queue_error(error) from None
    require_room(home / BODIES, reusable=_reusable(path))


def _touch(path: Path, patience: float) -> None:
    # Mode rw, so that a missing queue is not created as an empty file, on which the next start would fail.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", timeout=patience, isolation_level=None, uri=True
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_TOUCH)
    finally:
        connection.close()


def _reusable(path: Path) -> int:
    """Return the octets of free pages in the queue file, which new mail can use. Raises QueueError."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        pages, octets = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
        return int(pages) * int(octets)
    except sqlite3.Error as error:
        raise as_queue_error(error) from None
    finally:
        connection.close()


def _written(path: Path) -> int:
    """Return the time of the last write to the WAL, in nanoseconds; 0 if there is no WAL."""
    try:
        return wal_of(path).stat().st_mtime_ns
    except OSError:
        return 0
