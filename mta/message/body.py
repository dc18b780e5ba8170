"""Message content by reference: bytes in memory, or a file that is too large for it.

The bytes are as they travel, less dot stuffing: CRLF line ends, complete lines, our trace header on top.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mta.fast_value import fast_value
from mta.smtp.framing import bare, line_ends

#: What Twisted hands to a socket at once: smaller pieces only make more turns of the reactor.
CHUNK_BYTES = 131072
#: Octets that a body may have to be held in memory, and in a row of the queue; a larger one is in a file.
SMALL = 256 * 1024


class DamagedError(OSError):
    """A stored body is not what was taken in; the message says what is wrong with it."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EBADMSG, f"{what}: the queue was damaged, or written by something else")

    def __str__(self) -> str:
        """Leave out the number, which says less than the words."""
        return str(self.strerror)


class Body(Protocol):
    """Something whose bytes can be read more than once."""

    @property
    def size(self) -> int:
        """The number of octets."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets in pieces of at most CHUNK_BYTES, or one piece if they are in memory. Raises OSError."""


@fast_value(frozen=True, slots=True)
class MemoryBody:
    """A body held in memory. `size` is the number of its octets."""

    data: bytes
    # Not a property: a relayed message is asked for it ten times.
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Count the octets."""
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
        """Yield the file's octets. Raises OSError when it cannot be read or has another size."""
        with self.path.open("rb", buffering=0) as file:
            # What is announced by BDAT is counted: octets beyond it would be commands.
            if (there := os.fstat(file.fileno()).st_size) != self.size:
                raise DamagedError(f"the stored message has {there} octets instead of {self.size}")
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True, slots=True)
class StoredFile(FileBody):
    """A body in a file of which nobody knows any more that it was checked: a bare CR, a bare LF or a NUL is an error.

    A body that goes on as it was taken in needs no second look, which costs 0.5 ms for each MB.
    """

    def chunks(self) -> Iterator[bytes]:
        """Yield the file's octets. Raises OSError, DamagedError before a piece that must not go out."""
        held, left = b"", self.size
        # Not `super()`: a dataclass with slots is another class than the one this is written in.
        for chunk in FileBody.chunks(self):
            text = held + chunk if held else chunk
            left -= len(chunk)
            # The next piece may bring its LF.
            held = b"\r" if left and text.endswith(b"\r") else b""
            _require_text(text[:-1] if held else text)
            yield chunk


@dataclass(frozen=True, slots=True)
class _DamagedBody:
    """A body that is not given out, and what was found in it."""

    size: int
    found: str

    def chunks(self) -> Iterator[bytes]:
        raise _not_text(self.found)


def stored(body: Body) -> Body:
    """Return a body as it came back from the disk: one with a bare CR, a bare LF or a NUL cannot be read."""
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
    """Whether a line of the text has more than `limit` octets before its LF. At most two searches for each `limit`.

    Each search begins at the start of a line and goes back from the last octet that the line may have, so that a line
    is never read once for each of its octets.
    """
    start, size = 0, len(text)
    while size - start > limit:
        end = text.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def head(body: Body, limit: int) -> bytes:
    """Return the first octets of a body: `limit` of them, or all if there are fewer. Raises OSError."""
    gathered = b""
    for chunk in body.chunks():
        gathered += chunk[: limit - len(gathered)]
        if len(gathered) >= limit:
            break
    return gathered
