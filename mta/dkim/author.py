"""Finds the author's domain in From, which signs the message (RFC 6376 section 3.5, RFC 5322 section 3.6.2)."""

import re
from collections.abc import Iterator
from functools import lru_cache

from mta.message.headers import values
from mta.smtp.address import AddressError, parse_domain

#: The largest From field that is read, in octets.
MAX_FROM = 8192

# RFC 5322 section 3.2: escapes, quoted strings and comments, in which a comma, a bracket or an `@` has no meaning.
_PART = re.compile(r'\\.|"(?>(?:[^"\\]|\\.)*)"|[()]|[^\\"()]++', re.DOTALL)
# A mailbox, or the name of a group. Text in angle brackets is never split.
_PIECE = re.compile(r"(?>(?:[^,;:<>]++|<[^<>]*+>|[<>])+)")
_ANGLES = re.compile(r"<([^<>]*+)>")


def author_domain(block: bytes) -> str | None:
    """Return the domain of the one address in the one From field of a header block, in lower case and ASCII.

    None if there is no such field or address, or more than one, because the signature could belong to any of them.
    """
    found = values(block, "From")
    return _domain(found[0]) if len(found) == 1 and len(found[0]) <= MAX_FROM else None


# The cache pays off because an application sends mail of few authors.
@lru_cache(maxsize=1024)
def _domain(value: bytes) -> str | None:
    domains = list(_domains(_bare(value.decode(errors="replace"))))
    if len(domains) != 1:
        return None
    try:
        domain = parse_domain(domains[0])
    except AddressError:
        return None
    return None if domain.startswith("[") else domain


def _bare(text: str) -> str:
    """Return a text without comments, in which a word replaces each quoted string."""
    depth, kept = 0, []
    for part in _PART.findall(text):
        if part == "(":
            depth += 1
        elif part == ")":
            depth = max(0, depth - 1)
        elif depth == 0:
            kept.append("quoted" if part[0] == '"' else part)
    return "".join(kept)


def _domains(text: str) -> Iterator[str]:
    """Yield the domain of each mailbox.

    The parser of the standard library is not used, because its releases disagree about two forms that many programs
    send unquoted and that all receivers accept: `Doe, Jane <jane@example.org>` and
    `jane@example.org <jane@example.org>`.
    """
    for piece in _PIECE.findall(text):
        angles = _ANGLES.findall(piece)
        _, at, domain = (angles[-1] if angles else piece).rpartition("@")
        if at:
            yield domain.strip()
