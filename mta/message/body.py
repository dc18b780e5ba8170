"""Message content by reference: bytes in memory, or a file that is too large for it.

The bytes are as they travel, less dot stuffing: CRLF line ends, complete lines, our trace header on top.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mta.smtp.values import value

#: What Twisted hands to a socket at once: smaller pieces only make more turns of the reactor.
CHUNK_BYTES = 131072


class Body(Protocol):
    """Something whose bytes can be read more than once."""

    @property
    def size(self) -> int:
        """The number of octets."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets in pieces of at most CHUNK_BYTES, or one piece if they are in memory. Raises OSError."""


@value(frozen=True, slots=True)
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
        """Yield the file's octets. Raises OSError when it cannot be read."""
        with self.path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


def head(body: Body, limit: int) -> bytes:
    """Return the first octets of a body: `limit` of them, or all if there are fewer. Raises OSError."""
    gathered = b""
    for chunk in body.chunks():
        gathered += chunk[: limit - len(gathered)]
        if len(gathered) >= limit:
            break
    return gathered
