"""The content of a message: octets in memory, or a file if it is too large for that.

The octets are those of SMTP without dot stuffing: CRLF line ends, complete lines, the relay's trace field on top.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mta.fast_value import fast_value
from mta.smtp.framing import bare, line_ends

#: Octets that Twisted passes to a socket at once; smaller pieces would cost more turns of the reactor.
CHUNK_BYTES = 131072
#: Octets up to which a body is kept in memory, and in a row of the queue; a larger one is in a file.
MAX_MEMORY_BODY = 256 * 1024


class DamagedError(OSError):
    """A stored body differs from the one that was received; the message says how."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EBADMSG, f"{what}: the queue was damaged, or written by something else")

    def __str__(self) -> str:
        """Return the text without the error number, which adds nothing."""
        return str(self.strerror)


class Body(Protocol):
    """The content of a message, which can be read more than once."""

    @property
    def size(self) -> int:
        """The number of octets."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets in chunks of at most CHUNK_BYTES, or in one chunk if they are in memory. Raises OSError."""


@fast_value(frozen=True, slots=True)
class MemoryBody:
    """A body held in memory. `size` is the number of its octets."""

    data: bytes
    # Not a property, because it is read ten times for each relayed message.
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Set the size."""
        object.__setattr__(self, "size", len(self.data))

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole body at once."""
        yield self.data


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body in a file, which belongs to the queue."""

    path: Path
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the file's octets. Raises OSError if it cannot be read, and DamagedError if it has another size."""
        with self.path.open("rb", buffering=0) as file:
            # BDAT announces the size: further octets would be read as commands.
            if (there := os.fstat(file.fileno()).st_size) != self.size:
                raise DamagedError(f"the stored message has {there} octets instead of {self.size}")
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True, slots=True)
class StoredFile(FileBody):
    """A body in a file that is read back after a restart or a retry: a bare CR, a bare LF or a NUL is an error.

    A body that is sent right after it was received has been checked already; a second check costs 0.5 ms for each MB.
    """

    def chunks(self) -> Iterator[bytes]:
        """Yield the file's octets. Raises OSError, and DamagedError before a chunk that must not be sent."""
        held, left = b"", self.size
        # Not `super()`, because `dataclass` with slots makes a new class, which this method does not know.
        for chunk in FileBody.chunks(self):
            text = held + chunk if held else chunk
            left -= len(chunk)
            # The next chunk may begin with its LF.
            held = b"\r" if left and text.endswith(b"\r") else b""
            _require_text(text[:-1] if held else text)
            yield chunk


@dataclass(frozen=True, slots=True)
class _DamagedBody:
    """A body that must not be sent; `found` names the octet that is not allowed."""

    size: int
    found: str

    def chunks(self) -> Iterator[bytes]:
        raise _not_text(self.found)


def stored(body: Body) -> Body:
    """Return a body read from disk so that reading it fails if it has a bare CR, a bare LF or a NUL."""
    if isinstance(body, FileBody):
        return StoredFile(body.path, body.size)
    if isinstance(body, MemoryBody) and line_ends(body.data) is None:
        return _DamagedBody(body.size, bare(body.data) or "")
    return body


def _require_text(text: bytes) -> None:
    if line_ends(text) is None:
        raise _not_text(bare(text) or "")


def _not_text(found: str) -> DamagedError:
    return DamagedError(f"the stored message holds {found}")


def has_line_beyond(text: bytes, limit: int) -> bool:
    """Whether a line of the text has more than `limit` octets before its LF.

    Each search begins at the start of a line and goes back from the last octet that the line may have, so there are at
    most two searches for every `limit` octets of the text.
    """
    start, size = 0, len(text)
    while size - start > limit:
        end = text.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def head(body: Body, limit: int) -> bytes:
    """Return the first `limit` octets of a body, or all if there are fewer. Raises OSError."""
    gathered = b""
    for chunk in body.chunks():
        gathered += chunk[: limit - len(gathered)]
        if len(gathered) >= limit:
            break
    return gathered
