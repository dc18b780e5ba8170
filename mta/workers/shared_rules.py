"""The rules in force of all workers: one file in memory, which the parent writes and every worker inherits.

Rules may have passwords and are larger than a line of the channel. A worker that starts later finds the rules in force
there, and not those on disk.
"""

import hashlib
import os
import pickle
import struct

from mta.rules.book import RuleBook

# Place and length of the rules and their digest, followed by a digest of these.
_HEADER = struct.Struct(">QQ32s")
_DIGEST_OCTETS = 32
_START = _HEADER.size + _DIGEST_OCTETS
# A reader that the parent overtakes finds the next rules; it is not overtaken again and again.
_ATTEMPTS = 10


class SharedRules:
    """The rules of all workers. The parent only writes, and a worker only reads."""

    def __init__(self, descriptor: int) -> None:
        #: Inherited by the workers.
        self.descriptor = descriptor
        # The place of the rules in force and its end.
        self._place = self._end = _START

    @classmethod
    def create(cls, book: RuleBook | None) -> "SharedRules":
        """Return new memory with these rules."""
        shared = cls(os.memfd_create("smtprelay-rules"))
        shared.write(book)
        return shared

    def write(self, book: RuleBook | None) -> None:
        """Put rules in force. They do not overwrite those before, so that a worker finds one of the two at any time."""
        content = pickle.dumps(book)
        place = _START if self._place - _START >= len(content) else self._end
        _write(self.descriptor, content, place)
        header = _HEADER.pack(place, len(content), _digest(content))
        _write(self.descriptor, header + _digest(header), 0)
        self._place, self._end = place, place + len(content)
        os.ftruncate(self.descriptor, self._end)

    def read(self) -> RuleBook | None:
        """Return the rules in force. Raises ValueError if the memory has none."""
        for _ in range(_ATTEMPTS):
            content = self._content()
            if content is not None:
                book: RuleBook | None = pickle.loads(content)  # noqa: S301  only the parent writes the memory
                return book
        raise ValueError("the memory with the rules of all workers is damaged")

    def _content(self) -> bytes | None:
        """Return the pickled rules, or None if the parent has replaced them meanwhile."""
        start = os.pread(self.descriptor, _START, 0)
        header = start[: _HEADER.size]
        if len(start) < _START or _digest(header) != start[_HEADER.size :]:
            return None
        place, length, digest = _HEADER.unpack(header)
        content = os.pread(self.descriptor, length, place)
        return content if _digest(content) == digest else None


def _write(descriptor: int, content: bytes, place: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, place)
        rest, place = rest[written:], place + written


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_OCTETS).digest()
