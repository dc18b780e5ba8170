"""The file in QUEUE_DIR that tells after a crash how much mail was sent by the rates of rules.

Leave is given in blocks, and a block is on disk before the first message of it goes. After a crash each block counts as
sent when the next one was written, and the last one at the start: so the relay may wait longer than it had to, but does
not send more. After a clean end the file has the counts with their times.

Each line is a JSON array: `["used", KEY, TIME, MESSAGES, RECIPIENTS]` for a block, or `["state", KEY, [[[TIME, NUMBER],
...], ...]]`, which replaces the lines before and has a list for each rate of the key. Times are wall-clock seconds.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mta.blocking import RunBlocking, fsync_path
from mta.delivery.rates.terms import limits_of
from mta.rate import RateUnit

#: The name of the file in QUEUE_DIR.
FILE_NAME = "rates"
#: Lines after which the file is written anew.
MAX_LINES = 5000
#: Seconds after which a transaction has ended that had leave, for those that a crash interrupts.
_LONGEST_TRANSACTION = 60.0
# The parts of a rate's span for which a state has a number each.
_PARTS = 50
# The keys whose windows are kept although they were not asked for since the start.
_MAX_KEYS = 10_000

#: What was counted by one rate: times with a number each.
Counted = list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Used:
    """A block of leave by one key."""

    key: str
    messages: int
    recipients: int


class Journal(Protocol):
    """Keeps the counts in the windows beyond the end of the process. Times are on the clock of the windows."""

    @property
    def long(self) -> bool:
        """Whether `rewrite` should be called."""

    def counted(self, key: str, now: float) -> list[Counted]:
        """Return the counts of an earlier process, a list for each rate of the key; forget them."""

    def append(self, blocks: list[Used]) -> "Deferred[None]":
        """Write blocks; the Deferred fires when they are on disk, or when that failed. It does not fail."""

    def rewrite(self, counted: Mapping[str, list[Counted]], given: Iterable[Used]) -> "Deferred[None]":
        """Replace the file: by transactions that have ended, and leave given beyond these. As `append`."""

    def close(self, counted: Mapping[str, list[Counted]], given: Iterable[Used]) -> None:
        """Write the state at a clean end."""


class NoJournal:
    """Keeps nothing."""

    long = False

    def counted(self, key: str, now: float) -> list[Counted]:  # noqa: ARG002
        """Return nothing, because nothing is kept."""
        return []

    def append(self, blocks: list[Used]) -> "Deferred[None]":  # noqa: ARG002
        """Return a Deferred that has fired."""
        return succeed(None)

    def rewrite(self, counted: Mapping[str, list[Counted]], given: Iterable[Used]) -> "Deferred[None]":  # noqa: ARG002
        """Return a Deferred that has fired."""
        return succeed(None)

    def close(self, counted: Mapping[str, list[Counted]], given: Iterable[Used]) -> None:
        """Do nothing."""


class RateFile:
    """The Journal in a file. If the disk fails, the log says so once, and leave is given without it."""

    def __init__(
        self,
        path: Path,
        *,
        run: RunBlocking,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        trouble: Callable[[str], object],
    ) -> None:
        """Read the file, if there is one. `run` writes to it; `clock` is the one of the windows."""
        self._path = path
        self._run = run
        self._clock = clock
        self._wall_clock = wall_clock
        self._trouble = trouble
        self._told = False
        self._lines = 0
        # Whether a crash or a full disk may have cut the last line, so that the next one needs a beginning.
        self._torn = False
        # What earlier processes counted, at wall-clock times, by the keys that were not asked for since.
        self._records: dict[str, list[Counted]] = {}
        try:
            self._take_over(path.read_bytes())
        except FileNotFoundError:
            pass
        except OSError as error:
            self._failed(error)

    @property
    def long(self) -> bool:
        """Whether the file has so many lines that it should be written anew."""
        return self._lines >= MAX_LINES

    def counted(self, key: str, now: float) -> list[Counted]:
        """Return the counts of an earlier process, on the clock of `now`; forget them."""
        ahead = self._wall_clock() - now
        return [[(at - ahead, number) for at, number in entries] for entries in self._records.pop(key, [])]

    def append(self, blocks: list[Used]) -> "Deferred[None]":
        """Append lines and sync them."""
        if not blocks:
            return succeed(None)
        text = "\n" * self._torn + "".join(map(self._used_line, blocks))
        self._torn = False
        self._lines += len(blocks)
        return self._write(lambda: self._append(text))

    def rewrite(self, counted: Mapping[str, list[Counted]], given: Iterable[Used]) -> "Deferred[None]":
        """Replace the file."""
        text = self._text(counted, given)
        return self._write(lambda: self._replace(text))

    def close(self, counted: Mapping[str, list[Counted]], given: Iterable[Used]) -> None:
        """Replace the file at once."""
        if counted or self._lines:
            self._replace_now(self._text(counted, given))

    def _take_over(self, octets: bytes) -> None:
        """Read the lines, and count the blocks of a process that was killed as sent by now."""
        records, self._lines = _read(octets), octets.count(b"\n")
        self._torn = not octets.endswith(b"\n")
        now = self._wall_clock()
        self._records = {key: record.counted(key, now) for key, record in records.items()}
        while len(self._records) > _MAX_KEYS:
            del self._records[next(iter(self._records))]
        if any(record.used for record in records.values()):
            # After the next crash they shall not count as sent again.
            self._replace_now(self._text({}, ()))

    def _text(self, counted: Mapping[str, list[Counted]], given: Iterable[Used]) -> str:
        """Return the whole file, with the counts of earlier processes by the keys that were not asked for since."""
        wall = self._wall_clock()
        ahead = wall - self._clock()
        states = {key: [[(at + ahead, number) for at, number in each] for each in all] for key, all in counted.items()}
        lines = [*_state_lines(self._records | states, wall), *map(self._used_line, given)]
        self._lines, self._torn = len(lines), False
        return "".join(lines)

    def _used_line(self, used: Used) -> str:
        return _line("used", used.key, self._wall_clock(), used.messages, used.recipients)

    def _write(self, work: Callable[[], None]) -> "Deferred[None]":
        def failed(failure: Failure) -> None:
            self._torn = True
            self._failed(failure.value)

        return self._run(work).addErrback(failed)

    def _replace_now(self, text: str) -> None:
        try:
            self._replace(text)
        except OSError as error:
            self._failed(error)

    def _append(self, text: str) -> None:
        is_new = not self._path.exists()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._put(self._path, flags, text)
        if is_new:
            fsync_path(self._path.parent)

    def _replace(self, text: str) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        self._put(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, text)
        new.replace(self._path)
        fsync_path(self._path.parent)

    def _put(self, path: Path, flags: int, text: str) -> None:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fdatasync(file.fileno())

    def _failed(self, error: BaseException | None) -> None:
        if not self._told:
            self._told = True
            why = error.strerror if isinstance(error, OSError) else error
            self._trouble(f"{self._path} cannot be used: {why}; after a crash the rates of the rules begin anew")


@dataclass(slots=True)
class _Record:
    """The lines of one key."""

    state: list[Counted] = field(default_factory=list)
    #: Times of blocks with their messages and recipients.
    used: list[tuple[float, int, int]] = field(default_factory=list)

    def counted(self, key: str, now: float) -> list[Counted]:
        """Return the counts of each rate, at wall-clock times until `now`."""
        ends = [later[0] + _LONGEST_TRANSACTION for _, later in pairwise(self.used)]
        blocks = list(zip((*ends, now), self.used, strict=False))
        result: list[Counted] = []
        for index, rate in enumerate(limits_of(key)):
            counts_recipients = rate.unit is RateUnit.RECIPIENTS
            sent = [(end, recipients if counts_recipients else messages) for end, (_, messages, recipients) in blocks]
            entries = self.state[index] if index < len(self.state) else []
            result.append([(min(at, now), number) for at, number in (*entries, *sent) if number])
        return result


def _read(octets: bytes) -> dict[str, _Record]:
    """Return the records by key. A line that cannot be read was cut by a crash: its leave was not given."""
    records: dict[str, _Record] = {}
    for line in octets.split(b"\n"):
        try:
            kind, key, *values = json.loads(line)
            limits_of(key)
            if kind == "state":
                state = [[(float(at), int(number)) for at, number in entries] for entries in values[0]]
                records[key] = _Record(state)
            else:
                at, messages, recipients = values
                records.setdefault(key, _Record()).used.append((float(at), int(messages), int(recipients)))
        except (ValueError, TypeError, AttributeError, RecursionError, IndexError):
            continue
    return records


def _state_lines(states: Mapping[str, list[Counted]], wall: float) -> Iterator[str]:
    """Yield the lines of the keys by which something counts at this wall-clock time."""
    for key, state in states.items():
        rates = limits_of(key)
        if any(at + rate.seconds > wall for entries, rate in zip(state, rates, strict=True) for at, _ in entries):
            parts = [_coarse(entries, rate.seconds) for entries, rate in zip(state, rates, strict=True)]
            yield _line("state", key, parts)


def _coarse(entries: Counted, seconds: float) -> Counted:
    """Return entries of which those within a part of the span are taken together, at the time of the last one."""
    result: Counted = []
    first = -math.inf
    for at, number in sorted(entries):
        if at - first < seconds / _PARTS:
            result[-1] = (at, result[-1][1] + number)
        else:
            first = at
            result.append((at, number))
    return result


def _line(*values: object) -> str:
    return json.dumps(values, separators=(",", ":")) + "\n"
