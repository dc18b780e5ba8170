"""The canonical forms of RFC 6376 section 3.4: bodies hashed in pieces, header fields by dkimpy.

dkimpy wants a whole body in memory and takes time that grows with the square of a run of blanks, so bodies are done
here. What is read has CRLF line ends; a body that does not end with one is hashed as if it did, for SMTP will add it.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Protocol

#: The forms by name.
SIMPLE, RELAXED = "simple", "relaxed"

# Two spaces to begin with: a search for fixed octets is seven times as fast as one for a single blank.
_SPACES = re.compile(rb"  ++")
# What may turn out to be the end of a line, or of a run of blanks, when more comes.
_UNDECIDED = (b" \r", b"\r", b" ")
_EMPTY_LINES = 32768

Field = tuple[bytes, bytes]


class BodyHash(Protocol):
    """Takes a body in pieces, however it is cut."""

    def update(self, piece: bytes) -> None:
        """Take the next octets."""

    def digest(self) -> bytes:
        """Return the SHA-256 of the canonical body; nothing is taken after it."""


def body_hash(form: str) -> BodyHash:
    """Return a new hash for the form of this name."""
    return _RelaxedHash() if form == RELAXED else _SimpleHash()


class _SimpleHash:
    """Section 3.4.3: empty lines at the end count for nothing, and there is at least one CRLF."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held = b""
        # Line ends that came last. More than one are empty lines, which count only if text follows.
        self._ends = 0
        self._any = False

    def update(self, piece: bytes) -> None:
        self._take(self._held + piece if self._held else piece)

    def digest(self) -> bytes:
        self._hash.update(b"\r\n")
        return self._hash.digest()

    def _take(self, data: bytes) -> None:
        text = data.rstrip(b"\r\n")
        if text:
            self._add_ends()
            self._hash.update(text)
            self._any = True
        self._held = b"\r" if data.endswith(b"\r") else b""
        self._ends += data.count(b"\r\n", len(text))

    def _add_ends(self) -> None:
        while self._ends:
            some = min(self._ends, _EMPTY_LINES)
            self._hash.update(b"\r\n" * some)
            self._ends -= some


class _RelaxedHash(_SimpleHash):
    """Section 3.4.4: blanks at the end of a line go too, all others become one space, and nothing stays nothing."""

    def update(self, piece: bytes) -> None:
        data = (self._held + piece).replace(b"\t", b" ")
        data = _SPACES.sub(b" ", data).replace(b" \r\n", b"\r\n")
        held = next((end for end in _UNDECIDED if data.endswith(end)), b"")
        self._take(data[: -len(held)] if held else data)
        self._held = held

    def digest(self) -> bytes:
        return super().digest() if self._any else self._hash.digest()


def canonical_fields(form: str, fields: Iterable[Field]) -> bytes:
    """Return header fields, each a name and its value with the CRLF, as they are signed."""
    # Here and not above: dkimpy brings a DNS resolver along, 1 MB that a relay that does not sign need not carry.
    from dkim.canonicalization import CanonicalizationPolicy  # noqa: PLC0415

    policy = CanonicalizationPolicy.from_c_value(form.encode())
    return b"".join(b"%b:%b" % (name, value) for name, value in policy.canonicalize_headers(list(fields)))
