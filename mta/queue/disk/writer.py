"""The writer of a body that arrives: a small one stays in memory, a large one goes to a file."""

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from mta.message.body import MAX_MEMORY_BODY, Body, FileBody, MemoryBody
from mta.queue.disk.files import remove
from mta.queue.errors import as_queue_error
from mta.queue.interface import QueueError

# Octets of a file's write buffer, the most that each of many slow clients holds in memory. Larger pieces, as they come
# from a fast client, bypass it.
_BUFFER = 8192


class Writer:
    """The queue's BodyWriter for one body. It blocks no longer than a write to the page cache."""

    def __init__(self, directory: Path, name: str, small: int = MAX_MEMORY_BODY) -> None:
        """Write to the file `name` in a directory once the body has more than `small` octets."""
        # Joined when the file is created, because for a small body a Path would cost as much as its octets.
        self._directory = directory
        self._name = name
        self._small = small
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._ended = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append octets. Raises QueueFull, or QueueError for another failure, and then aborts the writer."""
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
        """Octets of memory that the writer holds; a finished body counts as the caller's."""
        if self._ended:
            return 0
        return self.size if self._file is None else _BUFFER

    def spill(self) -> None:
        """Move the body to the file, even a small one. Raises as `write` does."""
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
        """Delete the body. Has no effect after `finish`, `abort` or a failed `write`."""
        if self._ended:
            return
        self._ended = True
        self._pieces.clear()
        if self._file is not None:
            # A failed flush does not matter, because the file is removed.
            with contextlib.suppress(OSError):
                self._file.close()
            remove(self._path)
