"""The files of the queue's directory about a day: the TLS sessions, one file a process, and the reports that were sent.

The sessions are a JSON object. A report that was sent is a line, `domain target`, in a file of its own.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

from mta.blocking import fsync_path
from mta.message.dates import short_timestamp
from mta.tls_reports.tally import Tally, read_tally, tally_object

#: Seconds of a day.
DAY = 86_400

_FIRST_DAY = date(1970, 1, 1)
_PREFIX, _SESSIONS, _SENT = "tls-reports-", ".json", ".sent"
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC
# More than the largest tally.
_MAX_OCTETS = 256 * 1024 * 1024


class DayFiles:
    """Reads and writes the files of one process, by the first second of the day. All methods block.

    `others` returns the directories of other processes.
    """

    def __init__(self, directory: Path, others: Callable[[], Sequence[Path]] = tuple) -> None:
        self._directory = directory
        self._others = others

    def read(self, begin: int) -> Tally:
        """Return the sessions of this process. Raises OSError, and ValueError for a damaged file."""
        return _read(self._directory / _name(begin, _SESSIONS))

    def read_all(self, begin: int) -> Tally:
        """Return the sessions of all processes. Raises as `read` does."""
        tally = self.read(begin)
        for directory in self._others():
            tally.add(_read(directory / _name(begin, _SESSIONS)))
        return tally

    def write(self, begin: int, sessions: str) -> None:
        """Write the sessions of this process durably, as `as_text` gives them. Raises OSError."""
        path = self._directory / _name(begin, _SESSIONS)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(sessions)
            file.flush()
            os.fsync(descriptor)
        new.rename(path)
        fsync_path(self._directory)

    def sent(self, begin: int) -> set[tuple[str, str]]:
        """Return the domains and targets whose report was sent; the target "" stands for all. Raises OSError."""
        try:
            with os.fdopen(os.open(self._directory / _name(begin, _SENT), os.O_RDONLY | _SAFELY), "rb") as file:
                lines = file.read(_MAX_OCTETS).decode("utf-8", "replace").split("\n")
        except FileNotFoundError:
            return set()
        # The last line may not be whole.
        return {(domain, target) for domain, _, target in (line.partition(" ") for line in lines[:-1])}

    def note_sent(self, begin: int, domain: str, target: str) -> None:
        """Note durably that a report was sent. Raises OSError."""
        path = self._directory / _name(begin, _SENT)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _SAFELY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            _drop_cut_line(descriptor)
            is_new = os.fstat(descriptor).st_size == 0
            file.write(f"{domain} {target}\n".encode())
            file.flush()
            os.fsync(descriptor)
        if is_new:
            fsync_path(self._directory)

    def days(self) -> list[int]:
        """Return the days of which this process or another has a file, the first one first."""
        found = {begin for directory in (self._directory, *self._others()) for begin in _days(directory, _SESSIONS)}
        # A day may have only this file, if the process was killed while it removed those of the day.
        return sorted(found.union(_days(self._directory, _SENT)))

    def remove(self, begin: int) -> None:
        """Remove the files of a day, those of other processes too. Raises OSError."""
        for directory in (*self._others(), self._directory):
            (directory / _name(begin, _SESSIONS)).unlink(missing_ok=True)
        (self._directory / _name(begin, _SENT)).unlink(missing_ok=True)


def as_text(tally: Tally) -> str:
    """Return the sessions as text, for `DayFiles.write`."""
    return json.dumps(tally_object(tally))


def _drop_cut_line(descriptor: int) -> None:
    """Remove the part of a line that a crash or a full disk left at the end of a file. Raises OSError."""
    end = os.fstat(descriptor).st_size
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        os.ftruncate(descriptor, os.pread(descriptor, end, 0).rfind(b"\n") + 1)


def _name(begin: int, ending: str) -> str:
    return f"{_PREFIX}{short_timestamp(begin)[:10]}{ending}"


def _days(directory: Path, ending: str) -> Iterator[int]:
    for path in directory.glob(f"{_PREFIX}*{ending}"):
        text = path.name[len(_PREFIX) : -len(ending)]
        with suppress(ValueError):
            yield _begin_of(text)


def _begin_of(text: str) -> int:
    return (date.fromisoformat(text) - _FIRST_DAY).days * DAY


def _read(path: Path) -> Tally:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | _SAFELY), "rb") as file:
            return read_tally(json.loads(file.read(_MAX_OCTETS)))
    except FileNotFoundError:
        return Tally()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
