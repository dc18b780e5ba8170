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
_PART = re.compile(r'\\.|"(?:[^"\\]|\\.)*+"|[()]|[^\\"()]++|.', re.DOTALL)
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ATOM = r'[^\s<>,;:@"]++'
# A word, which is an address if a domain follows, or an `@` without a word before it.
_WORD = re.compile(rf"({_QUOTED}|{_ATOM})(?:\s*+@\s*+({_ATOM}))?|@", re.DOTALL)
_QUOTED_STRING = re.compile(_QUOTED, re.DOTALL)
_IN_BRACKETS = re.compile(rf"<\s*+{_ATOM}\s*+@\s*+{_ATOM}\s*+>")


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
    found = False
    for word in _WORD.finditer(text):
        local, domain = word.groups()
        if local is None:
            raise AddressError("an @ without a local part")
        if domain is not None:
            found = True
            yield parse_address(f"{local}@{domain}")
    if not found:
        raise AddressError("no address")
    unquoted = _QUOTED_STRING.sub("quoted", text)
    if unquoted.count("<") != len(_IN_BRACKETS.findall(unquoted)):
        raise AddressError("brackets without an address")


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
