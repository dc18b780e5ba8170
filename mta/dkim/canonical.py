"""The canonical forms of RFC 6376 section 3.4: bodies are hashed in pieces, header fields are left to dkimpy.

Bodies are handled here because dkimpy needs a whole body in memory and takes time quadratic in the length of a run of
blanks. Lines end with CRLF. A body without a CRLF at its end is hashed as if it had one, because SMTP will add it.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Protocol

#: The forms by name.
SIMPLE, RELAXED = "simple", "relaxed"

# The pattern begins with two fixed spaces, because such a search is seven times as fast as one for a single blank.
_SPACES = re.compile(rb"  ++")
# Ends of a piece whose canonical form depends on the next piece: part of a line end, or of a run of blanks.
_UNDECIDED = (b" \r", b"\r", b" ")
_EMPTY_LINES = 32768

Field = tuple[bytes, bytes]


class BodyHash(Protocol):
    """Hashes a body that comes in pieces of any length."""

    def update(self, piece: bytes) -> None:
        """Add the next octets."""

    def digest(self) -> bytes:
        """Return the SHA-256 of the canonical body. No octets may be added afterwards."""


def body_hash(form: str) -> BodyHash:
    """Return a new hash for the canonical form of this name."""
    return _RelaxedHash() if form == RELAXED else _SimpleHash()


class _SimpleHash:
    """The simple form, section 3.4.3: empty lines at the end are ignored, and there is at least one CRLF."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held = b""
        # The number of line ends at the end so far. All but the first are empty lines, which only count before text.
        self._ends = 0
        self._has_text = False

    def update(self, piece: bytes) -> None:
        self._add(self._held + piece if self._held else piece)

    def digest(self) -> bytes:
        self._hash.update(b"\r\n")
        return self._hash.digest()

    def _add(self, data: bytes) -> None:
        text = data.rstrip(b"\r\n")
        if text:
            self._add_ends()
            self._hash.update(text)
            self._has_text = True
        self._held = b"\r" if data.endswith(b"\r") else b""
        self._ends += data.count(b"\r\n", len(text))

    def _add_ends(self) -> None:
        while self._ends:
            some = min(self._ends, _EMPTY_LINES)
            self._hash.update(b"\r\n" * some)
            self._ends -= some


class _RelaxedHash(_SimpleHash):
    """The relaxed form, section 3.4.4: blanks at line ends are removed, others become a space; empty stays empty."""

    def update(self, piece: bytes) -> None:
        data = (self._held + piece).replace(b"\t", b" ")
        data = _SPACES.sub(b" ", data).replace(b" \r\n", b"\r\n")
        held = next((end for end in _UNDECIDED if data.endswith(end)), b"")
        self._add(data[: -len(held)] if held else data)
        self._held = held

    def digest(self) -> bytes:
        return super().digest() if self._has_text else self._hash.digest()


def canonical_fields(form: str, fields: Iterable[Field]) -> bytes:
    """Return header fields in canonical form. Each field is a name and a value that ends with CRLF."""
    # Imported here because dkimpy imports a DNS resolver: a relay that does not sign saves 1 MB of memory.
    from dkim.canonicalization import CanonicalizationPolicy  # noqa: PLC0415

    policy = CanonicalizationPolicy.from_c_value(form.encode())
    return b"".join(b"%b:%b" % (name, value) for name, value in policy.canonicalize_headers(list(fields)))
