"""The directory of the bodies that are too large for a row of the queue file.

A file is named `ID.part` until its message is added. Then it is synced and renamed to `ID`, and the directory is
synced, before the row is committed. A file without a row therefore belongs to a message without a 250 reply.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from mta.blocking import fsync_path
from mta.message.body import MAX_MEMORY_BODY, FileBody
from mta.queue.disk.files import PART, remove
from mta.queue.disk.space import assess_space, free_octets_or_refuse, no_room
from mta.queue.disk.writer import Writer
from mta.queue.interface import BodyLost, QueueId, Space
from mta.queue.sqlite.group_commit import Step, no_step


class Bodies:
    """The directory of large bodies. All methods but `writer`, `body` and `require_room` block on the disk."""

    def __init__(self, directory: Path, reserve: int, step: Step = no_step, small: int = MAX_MEMORY_BODY) -> None:
        """`reserve` is the number of octets to keep free on the disk, so that stored messages can be settled."""
        self._directory = directory
        self._reserve = reserve
        self._step = step
        self._small = small
        # Octets that may be stored before the free space of the disk is checked again.
        self._allowance = 0
        #: Octets of free pages in the queue file when they were counted last, less those stored since.
        self.reusable = 0
        #: Called if room is short, so that the history makes room.
        self.short: Callable[[], object] = lambda: None

    def writer(self, id: QueueId) -> Writer:
        """Return a writer for the body of a message that is to be added under this id."""
        return Writer(self._directory, id + PART, self._small)

    def body(self, id: QueueId, size: int) -> FileBody:
        """Return the body of a stored message. Its file may be missing when it is read."""
        return FileBody(self._directory / id, size)

    def require_room(self, octets: int = 0, *, filed: bool = False) -> None:
        """Raise QueueFull if a body of this size does not fit without the reserve; a `filed` one is in a file already.

        The free space is checked once for each eighth of the reserve that is stored, because a check for each message
        would cost more than all checks of policy.
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
        """Return the room for mail; `reusable` is a new count of octets of free pages. Raises QueueError."""
        if reusable is not None:
            self.reusable = reusable
        space = assess_space(free_octets_or_refuse(self._directory), self.reusable, self._reserve)
        if space.short:
            self._allowance = 0
        return space

    def require_room_for(self, octets: int) -> None:
        """Raise QueueFull if a body that is yet to be written does not fit without the reserve. Checks the disk."""
        space = assess_space(free_octets_or_refuse(self._directory) - octets, self.reusable, self._reserve)
        if space.full or space.no_files:
            raise no_room(space)

    def place(self, id: QueueId, body: FileBody) -> FileBody:
        """Make a finished file durable under its final name and return it; an earlier attempt may have renamed it.

        Raises OSError, and BodyLost if the file does not exist under either name. A file whose sync failed is removed,
        because a second sync may succeed although the octets are not on disk.
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
        """Remove the files of these bodies, under both names."""
        for id in ids:
            self._step("remove file")
            remove(self._directory / id)
            remove(self._directory / (id + PART))

    def sweep(self, expected: Collection[QueueId]) -> tuple[int, tuple[QueueId, ...]]:
        """Remove all other files than the expected; return their number, and the messages whose file is missing."""
        names = {path.name for path in self._directory.iterdir()}
        strays = names.difference(expected)
        for name in strays:
            remove(self._directory / name)
        return len(strays), tuple(sorted(set(expected) - names))


def _sync_for(file: Path, path: Path) -> None:
    """Sync a path on which the file of a body depends; remove the file if that fails. Raises OSError."""
    try:
        fsync_path(path)
    except OSError:
        remove(file)
        raise
