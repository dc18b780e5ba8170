"""Makes DKIM-Signature fields from a message and keys (RFC 6376, and RFC 8463 for Ed25519).

dkimpy makes the canonical form of the header. Its signing is not used, because it does RSA in Python and may fold a
header inside a domain.
"""

import base64
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mta.dkim.canonical import RELAXED, Field, body_hash, canonical_fields
from mta.dkim.keys import SigningKey
from mta.message.body import Body
from mta.message.headers import header_end

#: The fields that are signed, whether present or not. `h=` names each once more than it occurs, so that none can be
#: added (RFC 6376 section 5.4.2). The list is Exim's, with List-Unsubscribe-Post added as RFC 8058 section 4 demands.
SIGNED = (
    *("from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc", "mime-version", "content-type"),
    *("content-transfer-encoding", "content-id", "content-description", "resent-date", "resent-from", "resent-sender"),
    *("resent-to", "resent-cc", "resent-message-id", "in-reply-to", "references", "list-id", "list-help"),
    *("list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive", "list-unsubscribe-post"),
)
#: A message with more of these fields in its header is not signed, because the signature would name each one.
MAX_FIELDS = 256
#: A message with a longer header block, in octets, is not signed; the intake does not accept such messages.
MAX_HEADER = 2 * 1024 * 1024

_NAME = "DKIM-Signature"
_WIDTH = 76
_SIGNED = tuple(name.encode() for name in SIGNED)
_FIELD = re.compile(rb"^([!-9;-~]++[ \t]*+):([^\n]*+\n?+(?>(?:[ \t][^\n]*+\n?+)*))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Canon:
    """The names of the canonical forms of header and body, `relaxed` or `simple`."""

    header: str = RELAXED
    body: str = RELAXED


@dataclass(frozen=True, slots=True)
class Header:
    """The header block of a message, and the number of octets before the body."""

    block: bytes
    size: int


def read_header(body: Body) -> Header | None:
    """Return the header of a message, or None if it is longer than MAX_HEADER. Raises OSError."""
    data = b""
    for chunk in body.chunks():
        seen = len(data)
        data += chunk
        end = header_end(data, seen, ended=len(data) >= body.size)
        if end is not None:
            return Header(data[:end], end + 2 if data.startswith(b"\r\n", end) else end)
        if len(data) > MAX_HEADER:
            return None
    return Header(data, len(data))


def body_digest(body: Body, header: Header, form: str) -> bytes:
    """Return the hash of the canonical body, for the `bh=` tag. Reads the body in pieces. Raises OSError."""
    hashing, skip = body_hash(form), header.size
    for chunk in body.chunks():
        hashing.update(chunk[skip:] if skip else chunk)
        skip = max(0, skip - len(chunk))
    return hashing.digest()


@dataclass(frozen=True, slots=True)
class UnsignedField:
    """A DKIM-Signature field without its signature. `value` ends with `b=`; `data` holds the octets to sign."""

    key: SigningKey
    value: bytes
    data: bytes

    @property
    def quick(self) -> bool:
        """Whether `sign` takes less time than a switch to another thread."""
        return self.key.type == "ed25519"

    def sign(self) -> bytes:
        """Return the complete field with its CRLF, for the top of the message."""
        signature = base64.b64encode(self.key.sign(self.data))
        lines = (signature[start : start + _WIDTH - 4] for start in range(0, len(signature), _WIDTH - 4))
        return b"%b:%b%b\r\n" % (_NAME.encode(), self.value, b"\r\n\t".join(lines))


def unsigned_fields(
    header: Header, digest: bytes, domain: str, keys: Sequence[SigningKey], canon: Canon
) -> list[UnsignedField]:
    """Return a field for each key, without signatures; empty if there are too many fields to sign."""
    names, fields = _select(header.block)
    if len(fields) > MAX_FIELDS:
        return []
    signed = canonical_fields(canon.header, fields)
    fronts = ((key, _front(domain, key.selector, key.algorithm, canon, names)) for key in keys)
    return [_unsigned(key, front, digest, signed, canon.header) for key, front in fronts]


def _unsigned(key: SigningKey, front: bytes, digest: bytes, signed: bytes, form: str) -> UnsignedField:
    value = b"%b\r\n\tbh=%b;\r\n\tb=" % (front, base64.b64encode(digest))
    # RFC 6376 section 3.7: the signature covers the field itself, with an empty b= tag and without its line end.
    itself = canonical_fields(form, [(_NAME.encode(), value + b"\r\n")]).removesuffix(b"\r\n")
    return UnsignedField(key, value, signed + itself)


@lru_cache(maxsize=256)
def _front(domain: str, selector: str, algorithm: str, canon: Canon, names: str) -> bytes:
    """Return the value of the field up to the hash of the body, folded."""
    tags = f"v=1; a={algorithm}; c={canon.header}/{canon.body}; d={domain}; q=dns/txt; s={selector}; h={names};"
    lines = textwrap.wrap(
        f"{_NAME}: {tags}", _WIDTH, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False
    )
    return "\r\n".join(lines).removeprefix(f"{_NAME}:").replace(": ", ":").encode()


def _select(block: bytes) -> tuple[str, list[Field]]:
    """Return the `h=` tag, with blanks where it may be folded, and the fields it names, the last of a name first."""
    found: dict[bytes, list[Field]] = {name: [] for name in _SIGNED}
    for name, value in _FIELD.findall(block):
        occurrences = found.get(name.rstrip().lower())
        if occurrences is not None:
            occurrences.append((name, value))
    names: list[bytes] = []
    fields: list[Field] = []
    for name, occurrences in found.items():
        names += [name] * (len(occurrences) + 1)
        fields += reversed(occurrences)
    return b": ".join(names).decode(), fields
