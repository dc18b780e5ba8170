"""The spool of events on disk: segments that are only appended to, and the number of the last event that was received.

A segment is a file of records, named by the number of its first one. Numbers have no gaps, and grow even over a spool
that was deleted. All methods block, and may be called from any thread.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mta.blocking import fsync_path
from mta.events.fresh import MAX_BATCH, FreshRecords, first_records
from mta.events.records import numbered, record_time
from mta.events.state_file import SpoolState, StateFile

#: The folder in the home of a relay or a worker.
FOLDER = "events"
#: The largest spool; beyond it the oldest events are dropped.
MAX_OCTETS = 64 * 1024 * 1024
#: The octets of a segment after which the next one begins.
SEGMENT_OCTETS = 4 * 1024 * 1024
#: Seconds before the last event for which received events are kept, because a start after a kill compares them with
#: the queue.
KEPT_SECONDS = 180.0
# Octets that stay free on the disk for mail.
_LEFT_FREE = 32 * 1024 * 1024
_SUFFIX = ".jsonl"
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC


class SpoolFull(OSError):
    """The disk has too little room for events."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, a line each, and the number of the last one."""

    data: bytes
    last: int
    dropped: int

    @property
    def records(self) -> Sequence[bytes]:
        """The records without their line ends."""
        return self.data.splitlines()


class Spool:
    """The spool of one relay or worker."""

    def __init__(
        self,
        home: Path,
        *,
        now: float,
        max_octets: int = MAX_OCTETS,
        segment_octets: int = SEGMENT_OCTETS,
        free: Callable[[Path], int] | None = None,
    ) -> None:
        """Open the spool of a home, or make it. Raises OSError."""
        self._folder = home / FOLDER
        self._max_octets = max_octets
        self._segment_octets = segment_octets
        self._free = free or _free_octets
        self._lock = threading.Lock()
        self._folder.mkdir(0o700, exist_ok=True)
        fsync_path(home)
        # The first number and the octets of each segment, oldest first.
        self._segments = self._find_segments()
        first = self._segments[0][0] - 1 if self._segments else int(now * 1000)
        self._state_file = StateFile(self._folder)
        # Without it all events on disk are sent again.
        self._state = self._state_file.read() or SpoolState(first, now)
        self._next = self._end_of_last() if self._segments else self._state.received + 1
        if self._next <= self._state.received:
            # A power cut took records that were received already; their numbers are not used again.
            self._next = self._state.received + 1
            self._segments[-1] = self._segments[-1][0], self._segment_octets
        #: Whether the process before was killed, so that events may be missing.
        self.was_killed = not self._state.clean
        # The segment and the offset of the next record to send.
        self._at: tuple[int, int] | None = None
        # Records that need not be read back: those at this place, up to this number.
        self._fresh, self._fresh_end = FreshRecords(), 0
        self._descriptor: int | None = None
        self._state.clean = False
        self._state_file.begin(self._state)

    @property
    def waiting(self) -> int:
        """The number of events that wait for the receiver."""
        return self._next - 1 - self._state.received

    @property
    def dropped(self) -> int:
        """The number of events that were dropped since the spool was made."""
        return self._state.dropped

    @property
    def since(self) -> float:
        """The time of the last event that is on disk, or of the making of the spool."""
        last = self._state.since
        for fields in self.written_since(last):
            last = max(last, record_time(fields))
        return last

    def append(self, records: Sequence[str]) -> int:
        """Write records durably; return how many older ones were dropped. Raises OSError, and then none is written."""
        with self._lock:
            if self._free(self._folder) < _LEFT_FREE:
                raise SpoolFull("the disk has too little room for events")
            data = numbered(self._next, records)
            first, octets = self._segments[-1] if self._segments else (0, self._segment_octets)
            if octets >= self._segment_octets:
                self._begin_segment()
                first, octets = self._segments[-1]
            descriptor = self._open_last()
            try:
                _write_all(descriptor, data)
                os.fdatasync(descriptor)
            except OSError:
                # The pages of a failed sync count as clean, so that the next events go to a new segment.
                self._undo(descriptor, octets)
                raise
            self._segments[-1] = first, octets + len(data)
            self._remember(data, len(records), (first, octets))
            self._next += len(records)
            return self._drop_oldest()

    def lose(self, number: int) -> None:
        """Count events that could not be written as dropped."""
        with self._lock:
            self._state.dropped += number

    def next_batch(self) -> Batch | None:
        """Return the oldest records that were not received, or None if there are none. Raises OSError."""
        with self._lock:
            if self.waiting <= 0:
                return None
            segment, offset = self._at or self._find_next()
            data, number = self._fresh.first() if self._fresh.octets else self._read(segment, offset)
            if not data:
                # A single record is far smaller than MAX_BATCH, so that the segment ends here.
                return self._skip_to_next_segment(segment)
            self._at = segment, offset
            return Batch(data, self._state.received + number, self._state.dropped)

    def received(self, batch: Batch) -> None:
        """Note that the receiver has a batch, and remove segments that are not needed any more. Raises OSError."""
        with self._lock:
            if batch.last <= self._state.received or self._at is None:
                # Its records were dropped meanwhile.
                return
            segment, offset = self._at
            self._at = segment, offset + len(batch.data)
            self._fresh.drop(len(batch.data))
            self._state.received = batch.last
            self._state_file.write(self._state)
            self._remove_received()

    def written_since(self, since: float) -> Iterator[Mapping[str, Any]]:
        """Yield the records on disk of events since then. Raises OSError."""
        for first, _ in list(self._segments):
            path = self._path(first)
            if path.stat().st_mtime < since:
                continue
            for line in path.read_bytes().splitlines():
                with suppress(ValueError):
                    fields = json.loads(line)
                    if record_time(fields) >= since:
                        yield fields

    def close(self) -> None:
        """Note that all events were written, and close the files. Raises OSError."""
        with self._lock:
            self._state.clean = True
            self._state_file.write(self._state, durably=True)
            self._state_file.close()
            self._close_last()

    def remove(self) -> None:
        """Delete the spool. Raises OSError."""
        self._state_file.close()
        self._close_last()
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def _path(self, first: int) -> Path:
        return self._folder / f"{first:020d}{_SUFFIX}"

    def _find_segments(self) -> list[tuple[int, int]]:
        found = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            with suppress(ValueError):
                found.append((int(path.name.removesuffix(_SUFFIX)), path.stat().st_size))
        return found

    def _end_of_last(self) -> int:
        """Return the number after the last record; cut off the part of a record that a crash left behind it."""
        first, octets = self._segments[-1]
        data = self._path(first).read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != octets:
            os.truncate(self._path(first), whole)
            self._segments[-1] = first, whole
        return first + data[:whole].count(b"\n")

    def _find_next(self) -> tuple[int, int]:
        """Return the place of the first record that was not received."""
        wanted = self._state.received + 1
        begun = [first for first, _ in self._segments if first <= wanted]
        segment = begun[-1] if begun else self._segments[0][0]
        lines = self._path(segment).read_bytes().split(b"\n")
        return segment, sum(len(line) + 1 for line in lines[: max(0, wanted - segment)])

    def _skip_to_next_segment(self, segment: int) -> Batch | None:
        later = [first for first, _ in self._segments if first > segment]
        if not later:
            return None
        self._state.received = max(self._state.received, later[0] - 1)
        data, number = self._read(later[0], 0)
        self._at = later[0], 0
        return Batch(data, later[0] - 1 + number, self._state.dropped) if data else None

    def _read(self, segment: int, offset: int) -> tuple[bytes, int]:
        """Return the records of one batch at a place, and their number."""
        with self._path(segment).open("rb") as file:
            file.seek(offset)
            data = first_records(file.read(MAX_BATCH))
        return data, data.count(b"\n")

    def _remember(self, data: bytes, number: int, place: tuple[int, int]) -> None:
        """Keep records that were written at this place, if they are the next to send or follow those that are kept."""
        if self.waiting == 0:
            self._at = place
            self._fresh.clear()
        elif self._fresh_end != self._next or not place[1] or not 0 < self._fresh.octets < MAX_BATCH:
            return
        self._fresh.add(data, number)
        self._fresh_end = self._next + number

    def _begin_segment(self) -> None:
        self._close_last()
        self._descriptor = os.open(self._path(self._next), os.O_WRONLY | os.O_CREAT | os.O_APPEND | _SAFELY, 0o600)
        self._segments.append((self._next, 0))
        fsync_path(self._folder)

    def _open_last(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path(self._segments[-1][0]), os.O_WRONLY | os.O_APPEND | _SAFELY)
        return self._descriptor

    def _close_last(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _undo(self, descriptor: int, octets: int) -> None:
        with suppress(OSError):
            os.ftruncate(descriptor, octets)
        self._close_last()
        first, _ = self._segments[-1]
        if octets:
            # The next event begins a new segment.
            self._segments[-1] = first, max(octets, self._segment_octets)
        else:
            self._segments.pop()
            self._path(first).unlink(missing_ok=True)

    def _drop_oldest(self) -> int:
        """Remove the oldest segments while the spool is too large; return the number of events dropped with them."""
        dropped = 0
        while len(self._segments) > 1 and sum(octets for _, octets in self._segments) > self._max_octets:
            first, _ = self._segments.pop(0)
            self._path(first).unlink(missing_ok=True)
            end = self._segments[0][0] - 1
            dropped += max(0, end - max(self._state.received, first - 1))
            self._state.received = max(self._state.received, end)
            if self._at is not None and self._at[0] == first:
                self._at = None
                self._fresh.clear()
        if dropped:
            self._state.dropped += dropped
            self._state_file.write(self._state)
        return dropped

    def _remove_received(self) -> None:
        # By the last event and not by the clock, because that is where a start after a kill begins.
        before = self._path(self._segments[-1][0]).stat().st_mtime - KEPT_SECONDS
        while len(self._segments) > 1 and self._segments[1][0] <= self._state.received + 1:
            path = self._path(self._segments[0][0])
            if path.exists() and path.stat().st_mtime > before:
                return
            path.unlink(missing_ok=True)
            first, _ = self._segments.pop(0)
            if self._at is not None and self._at[0] == first:
                self._at = None


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _free_octets(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
