"""The traffic of the last day: recipients by result in each minute, in a small file in QUEUE_DIR.

The minutes are differences of the ledger's counts, which are read once a minute, so that they cost nothing for a
message. The file has a record for each minute of a day, found by the number of its minute. A record is 64 octets, so
that one write replaces it, and has a checksum: a torn one counts as missing, as does one whose minute is not of the
last day, because the clock was set. Mail of the last minute before a stop counts in the minute of the next start.
"""

import errno
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mta.admin.state import TrafficMinute
from mta.queue.interface import Ledger

#: The name of the file in QUEUE_DIR.
FILE_NAME = "traffic"
MINUTE = 60
#: The minutes that the file has.
MINUTES = 1440
# The minute, its counts, the ledger's counts at its end, the number of the record, and a checksum.
_RECORD = struct.Struct("<5I5QI")
_CHECKSUM_OCTETS = 4
_MOST = (1 << 32) - 1
# Seconds after a minute in which a reading counts for the minute before, because timers are late.
_LATE = 30


class Counts(NamedTuple):
    """Recipients by result."""

    accepted: int
    delivered: int
    failed: int
    removed: int

    def plus(self, other: "Counts") -> "Counts":
        """Return the sums, as far as a record has room for them."""
        return Counts(*(min(mine + its, _MOST) for mine, its in zip(self, other, strict=True)))


class _MinuteRecord(NamedTuple):
    minute: int
    counts: Counts
    #: The ledger's counts when it was read.
    totals: Counts
    #: Grows with each record that is written.
    number: int


class Traffic:
    """The file, which one process writes and any reads. Its methods block, for some milliseconds."""

    def __init__(self, directory: Path, wall_clock: Callable[[], float]) -> None:
        self._path = directory / FILE_NAME
        self._wall_clock = wall_clock

    def since(self, when: float) -> list[TrafficMinute]:
        """Return the minutes with mail from then on, oldest first. Those of a file that cannot be read are missing."""
        last = int(self._wall_clock() // MINUTE)
        first = max(int(when // MINUTE), last - MINUTES + 1)
        records = (each for each in self._records() if first <= each.minute <= last and any(each.counts))
        return [TrafficMinute(each.minute * MINUTE, *each.counts) for each in sorted(records)]

    def note(self, ledger: Ledger) -> None:
        """Add what has changed since the last call to the minute that has just ended. Raises OSError.

        A ledger whose counts are lower is that of another queue, so that only the changes after it count.
        """
        minute = int((self._wall_clock() - _LATE) // MINUTE)
        totals = Counts(ledger.accepted, ledger.delivered, ledger.failed, ledger.removed)
        records = list(self._records())
        before = max(records, key=lambda each: each.number, default=None)
        changes = Counts(*(now - then for now, then in zip(totals, before.totals if before else totals, strict=True)))
        if before is not None and not any(changes):
            return
        same = next((each.counts for each in records if each.minute == minute), Counts(0, 0, 0, 0))
        counts = same if min(changes) < 0 else same.plus(changes)
        self._write(_MinuteRecord(minute, counts, totals, before.number + 1 if before else 1))

    def _records(self) -> Iterator[_MinuteRecord]:
        try:
            descriptor = self._open(os.O_RDONLY)
        except OSError:
            return
        try:
            data = os.pread(descriptor, MINUTES * _RECORD.size, 0)
        finally:
            os.close(descriptor)
        for place in range(len(data) // _RECORD.size):
            record = _unpacked(data[place * _RECORD.size : (place + 1) * _RECORD.size])
            if record is not None and record.minute % MINUTES == place:
                yield record

    def _write(self, record: _MinuteRecord) -> None:
        descriptor = self._open(os.O_WRONLY | os.O_CREAT)
        try:
            os.ftruncate(descriptor, MINUTES * _RECORD.size)
            os.pwrite(descriptor, _packed(record), record.minute % MINUTES * _RECORD.size)
        finally:
            os.close(descriptor)

    def _open(self, flags: int) -> int:
        """Open the file, without following a link and without waiting for a pipe. Raises OSError."""
        descriptor = os.open(self._path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is not a file", str(self._path))
        return descriptor


def _packed(record: _MinuteRecord) -> bytes:
    fields = _RECORD.pack(record.minute, *record.counts, *record.totals, record.number, 0)[:-_CHECKSUM_OCTETS]
    return fields + struct.pack("<I", zlib.crc32(fields))


def _unpacked(data: bytes) -> _MinuteRecord | None:
    """Return a record, or None if it is empty or torn."""
    minute, *counts, number, checksum = _RECORD.unpack(data)
    if not number or zlib.crc32(data[:-_CHECKSUM_OCTETS]) != checksum:
        return None
    return _MinuteRecord(minute, Counts(*counts[:4]), Counts(*counts[4:]), number)


def until_next_reading(now: float) -> float:
    """Return the seconds until the next reading, which is due shortly after the minute has ended."""
    return MINUTE - now % MINUTE + 0.5
