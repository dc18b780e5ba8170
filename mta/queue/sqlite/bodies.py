"""Bodies while they arrive, and the files of those too large for a row.

A file is `ID.part` until its message is added; then it is synced, renamed to `ID` and the directory is synced, all
before the row is committed. A file without a row is therefore never mail that was answered for.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import BinaryIO

from mta.message.body import SMALL, Body, FileBody, MemoryBody
from mta.queue.disk.files import PART, fsync_path
from mta.queue.disk.space import assess_space, free_octets_or_refuse, no_room
from mta.queue.errors import as_queue_error
from mta.queue.interface import BodyLost, QueueError, QueueId, Space
from mta.queue.sqlite.group_commit import Step, no_step

# Octets that a file gathers before they are written. What comes fast comes in larger pieces and goes past them; a crowd
# of slow clients holds no more than these each.
_BUFFER = 8192


class Writer:
    """Takes one body while it arrives (the queue's BodyWriter); blocks no longer than a write to the page cache."""

    def __init__(self, directory: Path, name: str, small: int = SMALL) -> None:
        """Take a body that goes to this file once it has more than `small` octets."""
        # Joined when a file is made: for all small bodies a Path would cost as much as their octets.
        self._directory = directory
        self._name = name
        self._small = small
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._ended = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append octets. Raises QueueFull, or QueueError for other trouble; the writer is then aborted."""
        if self._ended:
            raise QueueError("the message was given up: its body could not be written")
        self.size += len(data)
        if self._file is None and self.size <= self._small:
            self._pieces.append(data)
            return
        try:
            (self._file or self._spill()).write(data)
        except OSError as error:
            self.abort()
            raise as_queue_error(error) from error

    @property
    def in_memory(self) -> int:
        """Octets of memory that it takes now; a body that was finished is the caller's."""
        if self._ended:
            return 0
        return self.size if self._file is None else _BUFFER

    def spill(self) -> None:
        """Go on in the file, though the body is small yet. Raises as `write` does."""
        if self._file is None and not self._ended:
            try:
                self._spill()
            except OSError as error:
                self.abort()
                raise as_queue_error(error) from error

    @property
    def _path(self) -> Path:
        return self._directory / self._name

    def _spill(self) -> BinaryIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", _BUFFER)
        self._file.writelines(self._pieces)
        self._pieces.clear()
        return self._file

    def finish(self) -> Body:
        """Return the body. Raises as `write` does."""
        if self._ended:
            raise QueueError("the message was given up: its body could not be written")
        if self._file is None:
            self._ended = True
            return MemoryBody(b"".join(self._pieces))
        try:
            self._file.close()
        except OSError as error:
            self.abort()
            raise as_queue_error(error) from error
        self._ended = True
        return FileBody(self._path, self.size)

    def abort(self) -> None:
        """Forget everything; harmless after `finish`, `abort` or a failed `write`."""
        if self._ended:
            return
        self._ended = True
        self._pieces.clear()
        if self._file is not None:
            # What could not be flushed is about to be removed.
            with contextlib.suppress(OSError):
                self._file.close()
            _remove(self._path)


class Bodies:
    """The directory of large bodies. All verbs but `writer`, `body` and `require_room` wait for the disk."""

    def __init__(self, directory: Path, reserve: int, step: Step = no_step, small: int = SMALL) -> None:
        """`reserve`: octets that stay free on the disk, so that what is stored can still be settled."""
        self._directory = directory
        self._reserve = reserve
        self._step = step
        self._small = small
        # Octets that may still be stored before the disk is asked again how much is free.
        self._allowance = 0
        #: Octets of free pages in the queue file, less those that were stored since they were counted.
        self.reusable = 0
        #: Called when the history should make room.
        self.short: Callable[[], object] = lambda: None

    def writer(self, id: QueueId) -> Writer:
        """Return a writer for a body about to be added under this id."""
        return Writer(self._directory, id + PART, self._small)

    def body(self, id: QueueId, size: int) -> FileBody:
        """Return the body of a stored message; its octets may turn out to be missing when they are read."""
        return FileBody(self._directory / id, size)

    def require_room(self, octets: int = 0, *, filed: bool = False) -> None:
        """Raise QueueFull when storing so many octets would touch the reserve; those `filed` are in a file already.

        The disk is asked once for every eighth of the reserve that is stored: for each message it would cost more than
        all checks of policy.
        """
        self._allowance -= octets
        if not filed:
            self.reusable = max(0, self.reusable - octets)
        if self._allowance > 0:
            return
        space = self.space()
        if space.short:
            self.short()
        if space.full or (filed and space.no_files):
            raise no_room(space)
        self._allowance = self._reserve // 8

    def space(self, reusable: int | None = None) -> Space:
        """Return how much room there is, and note the free pages if they were counted. Raises QueueError."""
        if reusable is not None:
            self.reusable = reusable
        space = assess_space(free_octets_or_refuse(self._directory), self.reusable, self._reserve)
        if space.short:
            self._allowance = 0
        return space

    def require_room_for(self, octets: int) -> None:
        """Raise QueueFull when so many octets, which are not written yet, would touch the reserve. Asks the disk."""
        space = assess_space(free_octets_or_refuse(self._directory) - octets, self.reusable, self._reserve)
        if space.full or space.no_files:
            raise no_room(space)

    def place(self, id: QueueId, body: FileBody) -> FileBody:
        """Make a finished file durable under its final name, or find it there from an earlier time, and return it.

        Raises OSError, and BodyLost when it is under neither name: a file whose sync failed is removed, since the next
        sync may succeed without its octets.
        """
        final = self._directory / id
        self._step("sync file")
        try:
            _sync_for(body.path, body.path)
        except FileNotFoundError as error:
            if not final.exists():
                raise BodyLost(f"the body of message {id} is gone from the queue's disk") from error
            return FileBody(final, body.size)
        self._step("rename file")
        body.path.rename(final)
        self._step("sync directory")
        _sync_for(final, self._directory)
        return FileBody(final, body.size)

    def remove(self, ids: Iterable[QueueId]) -> None:
        """Remove what is there of these bodies, if anything."""
        for id in ids:
            self._step("remove file")
            _remove(self._directory / id)
            _remove(self._directory / (id + PART))

    def sweep(self, expected: Collection[QueueId]) -> tuple[int, tuple[QueueId, ...]]:
        """Remove every file that no waiting message has; return how many, and the messages whose file is missing."""
        names = {path.name for path in self._directory.iterdir()}
        strays = names.difference(expected)
        for name in strays:
            _remove(self._directory / name)
        return len(strays), tuple(sorted(set(expected) - names))


def _sync_for(file: Path, path: Path) -> None:
    """Sync a path on which a body's file depends; without that there is no file."""
    try:
        fsync_path(path)
    except OSError:
        _remove(file)
        raise


def _remove(path: Path) -> None:
    """A file that stays is found again at the next start, so failing to remove it is no one's trouble now."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
