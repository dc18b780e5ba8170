"""Address fields such as From, To and Reply-To: finds the addresses in a value, and replaces them in place.

The grammar is that of RFC 5322 section 3.4: mailboxes, groups, comments, quoted strings and folds. Of the obsolete
syntax, empty elements and comments beside an `@` are read. A value that is no such list has no addresses.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from mta.smtp.address import Address, AddressError, parse_address

#: The longest value that is read, in octets.
MAX_VALUE = 100_000

_MAX_REMEMBERED = 300
_COMMENT_PART = re.compile(rb"[^()\\]++|\\.|[()]", re.DOTALL)
# A quoted string, a domain literal, or an atom with dots and non-ASCII octets; blanks; or a special character.
_TOKEN = re.compile(
    rb"""(?P<quoted>"(?>(?:[^"\\]|\\.)*)") | (?P<literal>\[[^\[\]\\\s]*+\]) | (?P<atom>[^\s()<>,;:@"\[\]\\]++)
        | (?P<blank>[ \t\r\n]++) | (?P<special>[<>,;:@(])""",
    re.VERBOSE | re.DOTALL,
)


class _NoAddressList(Exception):  # noqa: N818  the answer to a question
    """The value is no address list."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An element of an address list. Offsets count octets of the value.

    `phrase` is the display name as it stands in the value, or b"". `address` is None if the element has none that SMTP
    allows, such as a local part without a domain.
    """

    phrase: bytes
    address: Address | None
    #: Begin and end of the parts of the address: one, or three if comments or blanks stand beside its `@`.
    parts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    start: int
    end: int


_END = _Token("end", -1, -1)


def mailboxes(value: bytes) -> tuple[Mailbox, ...] | None:
    """Return the mailboxes of a list in their order, those of groups too, or None if the value is no address list.

    The time is linear in the length of the value, up to MAX_VALUE octets; a longer value is no address list.
    """
    if len(value) <= _MAX_REMEMBERED:
        return _read_short(value)
    return _read(value) if len(value) <= MAX_VALUE else None


def _read(value: bytes) -> tuple[Mailbox, ...] | None:
    try:
        return tuple(_ListReader(value).read())
    except _NoAddressList:
        return None


# The programs on a host send with the same few addresses in From.
_read_short = lru_cache(maxsize=256)(_read)


def replace_addresses(value: bytes, change: Callable[[Address], Address]) -> bytes:
    """Return a value with other addresses in the places of its addresses; the same object if nothing changes.

    All other octets stay as they are. A value that is no address list stays as a whole.
    """
    kept: list[bytes] = []
    position = 0
    for mailbox in mailboxes(value) or ():
        if mailbox.address is None:
            continue
        changed = change(mailbox.address)
        if changed == mailbox.address:
            continue
        kept += value[position : mailbox.parts[0][0]], str(changed).encode()
        position = mailbox.parts[0][1]
        for start, end in mailbox.parts[1:]:
            kept.append(value[position:start])
            position = end
    return b"".join((*kept, value[position:])) if kept else value


def _tokens(value: bytes) -> list[_Token]:
    """Return the tokens of a value without its blanks and comments. Raises _NoAddressList."""
    found = []
    position = 0
    while position < len(value):
        token = _TOKEN.match(value, position)
        if token is None:
            raise _NoAddressList
        if token[0] == b"(":
            position = _comment_end(value, position)
            continue
        position = token.end()
        kind = token.lastgroup or ""
        if kind != "blank":
            found.append(_Token(token[0].decode() if kind == "special" else kind, token.start(), position))
    return found


def _comment_end(value: bytes, start: int) -> int:
    """Return the end of the comment that begins at an offset. Raises _NoAddressList if it does not end."""
    depth = 0
    position = start
    while part := _COMMENT_PART.match(value, position):
        position = part.end()
        depth += {b"(": 1, b")": -1}.get(part[0], 0)
        if not depth:
            return position
    raise _NoAddressList


class _ListReader:
    """Reads the elements of one value. Methods raise _NoAddressList."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._tokens = _tokens(value)
        self._next = 0
        self._found: list[Mailbox] = []

    def read(self) -> list[Mailbox]:
        in_group = False
        while (token := self._peek()) is not _END:
            if token.kind == ",":
                self._take()
            elif token.kind == ";" and in_group:
                self._take()
                in_group = False
                self._check_behind(",")
            elif self._element(in_group=in_group):
                in_group = True
            else:
                self._check_behind(",;" if in_group else ",")
        if in_group:
            raise _NoAddressList
        return self._found

    def _element(self, *, in_group: bool) -> bool:
        """Read a mailbox, or the name of a group and its colon. Return whether it was a group."""
        words = []
        while self._peek().kind in {"atom", "quoted"}:
            words.append(self._take())
        token = self._peek()
        if token.kind == "@" and len(words) == 1:
            self._found.append(self._address(b"", words[0]))
        elif token.kind == "<":
            self._take()
            self._found.append(self._in_brackets(self._text(words)))
        elif token.kind == ":" and words and not in_group:
            self._take()
            return True
        elif words:
            # A name alone is no mailbox, but common: `root`, or a name with a comma that is not quoted.
            self._found.append(Mailbox(self._text(words), None))
        else:
            raise _NoAddressList
        return False

    def _in_brackets(self, phrase: bytes) -> Mailbox:
        found = Mailbox(phrase, None)
        if self._peek().kind in {"atom", "quoted"}:
            local = self._take()
            if self._peek().kind == "@":
                found = self._address(phrase, local)
        if self._take().kind != ">":
            raise _NoAddressList
        return found

    def _address(self, phrase: bytes, local: _Token) -> Mailbox:
        """Return the mailbox whose local part was read."""
        at, domain = self._take(), self._take()
        if domain.kind not in {"atom", "literal"}:
            raise _NoAddressList
        try:
            text = b"@".join(self._value[each.start : each.end] for each in (local, domain)).decode()
            address = parse_address(text, loose=True)
        except (AddressError, UnicodeDecodeError):
            return Mailbox(phrase, None)
        if local.end == at.start and at.end == domain.start:
            return Mailbox(phrase, address, ((local.start, domain.end),))
        return Mailbox(phrase, address, tuple((each.start, each.end) for each in (local, at, domain)))

    def _check_behind(self, separators: str) -> None:
        token = self._peek()
        if token is not _END and token.kind not in separators:
            raise _NoAddressList

    def _text(self, words: list[_Token]) -> bytes:
        return self._value[words[0].start : words[-1].end] if words else b""

    def _peek(self) -> _Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else _END

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token
