"""The senders that a user may use: MAIL FROM, and every address in From (RFC 5322 section 3.6.2).

A From field is read so that no reader can find an address in it that was not checked: a field that readers may
understand differently, such as one with an unbalanced comment, is refused.
"""

import re
from collections.abc import Iterator
from typing import Protocol

from mta.message import headers
from mta.smtp.address import Address, AddressError, parse_address, printable
from mta.smtp.replies import Reply, reply

#: The largest From field that is read, in octets.
MAX_FROM = 8192
# Characters of a user name or an address that are shown.
_MAX_SHOWN = 100

# RFC 5322 section 3.2: escapes, quoted strings and the parentheses of comments. The last octet is an open quote.
_PART = re.compile(r'\\.|"(?>(?:[^"\\]|\\.)*)"|[()]|[^\\"()]++|.', re.DOTALL)
_QUOTED = r'"(?>(?:[^"\\]|\\.)*)"'
# Only these are blanks: other readers take a blank that ASCII does not have as a part of a word.
_BLANKS = r"[ \t\r\n]*+"
_ATOM = r'[^ \t\r\n<>,;:@"]++'
# A word, which is an address if a domain follows; or a separator, or an `@` without a word before it.
_TOKEN = re.compile(rf"({_QUOTED}|{_ATOM})(?:{_BLANKS}@{_BLANKS}({_ATOM}))?|[<>,;:@]", re.DOTALL)
_QUOTED_STRING = re.compile(_QUOTED, re.DOTALL)
_IN_BRACKETS = re.compile(rf"<{_BLANKS}{_ATOM}{_BLANKS}@{_BLANKS}{_ATOM}{_BLANKS}>")
# The tokens that may stand before an address, directly behind it, and behind its brackets. A word beside an address is
# part of another one for some readers: in the obsolete syntax, `a@b .c` is an address of the domain b.c.
_BEFORE = frozenset(("", "<", ",", ";", ":"))
_ENDS = frozenset((",", ";"))
_BEHIND = {True: _ENDS | {"<", ">"}, False: _ENDS}


class AllowedSenders(Protocol):
    """The senders of one user; `mta.users.users_file` has the implementation."""

    def allows(self, address: Address) -> bool:
        """Return whether the user may send as an address."""


class SenderRule:
    """The rule for the mail of one user. The replies name the user, but not the senders that are allowed."""

    def __init__(self, user: str, senders: AllowedSenders) -> None:
        self._user = printable(user[:_MAX_SHOWN])
        self._senders = senders

    def refusal_of_sender(self, sender: Address | None) -> Reply | None:
        """Return the refusal of a MAIL command, or None. The null path is allowed, because From is checked as well."""
        return None if sender is None or self._senders.allows(sender) else self._refuse(f"MAIL FROM <{sender}>")

    def refusal_of_header(self, block: bytes, sender: Address | None) -> Reply | None:
        """Return the refusal of a message by its header block, or None.

        A message without From is allowed if it has a `sender`, because the relay then adds From with that address.
        """
        values = headers.values(block, "From")
        if not values:
            return self._refuse("a message without From") if sender is None else None
        if len(values) > 1:
            return self._refuse("a message with several From fields")
        try:
            for author in authors(values[0]):
                if not self._senders.allows(author):
                    return self._refuse(f"From <{author}>")
        except AddressError as error:
            return self._refuse(f"a From field that cannot be checked ({error})")
        return None

    def _refuse(self, subject: str) -> Reply:
        return reply(550, "5.7.1", f"not permitted by the sender list of user {self._user}: {subject}")


def authors(value: bytes) -> Iterator[Address]:
    """Yield all addresses in the value of a From field. Raises AddressError if there is none, or doubt about one."""
    if len(value) > MAX_FROM:
        raise AddressError(f"longer than {MAX_FROM} octets")
    try:
        text = _without_comments(value.decode())
    except UnicodeDecodeError:
        raise AddressError("not valid UTF-8") from None
    yield from _addresses(text)
    unquoted = _QUOTED_STRING.sub("quoted", text)
    if not unquoted.count("<") == unquoted.count(">") == len(_IN_BRACKETS.findall(unquoted)):
        raise AddressError("brackets without an address")


def _addresses(text: str) -> Iterator[Address]:
    """Yield the addresses in a text without comments. Raises AddressError if there is none, or a word beside one."""
    found = is_address = False
    before = ""
    for token in _TOKEN.finditer(f"{text},"):
        local, domain = token.groups()
        if token[0] == "@":
            raise AddressError("an @ without a local part")
        if (is_address or before == ">") and token[0] not in _BEHIND[is_address]:
            raise AddressError("a word behind an address")
        if not is_address and before[:1] == '"' and "@" in before and token[0] != "<":
            raise AddressError("a quoted string with an @ that is not the name before an address")
        is_address = domain is not None
        if is_address:
            if before not in _BEFORE:
                raise AddressError("a word before an address")
            if "=?" in local:
                # RFC 2047 section 5 forbids it, but some readers decode it, and show an address that is not this one.
                raise AddressError("an encoded word in an address")
            found = True
            yield parse_address(f"{local}@{domain}")
        before = token[0]
    if not found:
        raise AddressError("no address")


def _without_comments(text: str) -> str:
    """Return a text with a blank in place of each comment."""
    depth, kept = 0, []
    for part in _PART.findall(text):
        if part in ('"', "\\") or (part[0] == '"' and depth) or (part[0] == "\\" and not depth):
            raise AddressError("a quote or backslash out of place")
        if part == "(":
            depth += 1
            kept.append(" ")
        elif part == ")":
            depth -= 1
            if depth < 0:
                break
        elif not depth:
            kept.append(part)
    if depth:
        raise AddressError("an unbalanced parenthesis")
    return "".join(kept)
