"""Makes the message that `sendmail` submits of the octets on its standard input."""

import email.utils
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mta.message.headers import MAX_VALUES, header_end, mailbox_line_end, scan, strip, values
from mta.smtp.address import printable

_RECIPIENT_FIELDS = ("To", "Cc", "Bcc")
_DOTS = frozenset((b".\n", b".\r\n", b"."))
_MAX_NAME = 200
# Otherwise one address that the strict parser of newer Pythons cannot read would lose all others.
_PARSING: dict[str, Any] = {"strict": False} if getattr(email.utils, "supports_strict_parsing", False) else {}


class BadAddresses(Exception):  # noqa: N818  an answer about a text
    """A list of addresses cannot be read."""


@dataclass(frozen=True, slots=True)
class MessageText:
    """A message with CRLF as line end, in two parts: its header block, and the rest with the blank line before it."""

    block: bytes
    rest: bytes

    @property
    def octets(self) -> bytes:
        """The whole message."""
        return self.block + self.rest


def read_message(pieces: Iterable[bytes], *, dots: bool) -> MessageText:
    """Read a message to its end, or to a line with a single dot unless `dots` says that it is part of the message.

    A piece is a line, or a part of one. Fields that only the sender should see, such as Bcc, and the `From ` line of a
    mailbox file are still there.
    """
    kept = bytearray()
    for piece in pieces:
        if not dots and piece in _DOTS and (not kept or kept.endswith(b"\n")):
            break
        kept += piece
    text = bytes(kept).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    octets = (text if text.endswith(b"\n") else text + b"\n").replace(b"\n", b"\r\n")
    octets = octets[mailbox_line_end(octets, ended=True) or 0 :]
    end = header_end(octets, ended=True) or 0
    return MessageText(octets[:end], octets[end:])


def header_recipients(message: MessageText) -> list[str]:
    """Return the addresses of the Resent- fields or, without any, of To, Cc and Bcc. Raises BadAddresses."""
    for prefix in ("Resent-", ""):
        fields = [text for name in _RECIPIENT_FIELDS for text in _fields(message.block, prefix + name)]
        if fields:
            return addresses(fields)
    return []


def _fields(block: bytes, name: str) -> Iterator[str]:
    found = values(block, name)
    if len(found) == MAX_VALUES:
        raise BadAddresses(f"{MAX_VALUES} fields {name} or more")
    # Decoded, so that a non-ASCII address stays unchanged.
    yield from (value.decode("utf-8", "surrogateescape") for value in found)


def addresses(texts: list[str]) -> list[str]:
    """Return the addresses in lists of addresses, without names and comments. Raises BadAddresses.

    Addresses may be without a domain. They are not checked, except that they are on one line of UTF-8.
    """
    try:
        found = [address for _, address in email.utils.getaddresses(texts, **_PARSING) if address]
    except RecursionError:
        raise BadAddresses("too deeply nested comments") from None
    for address in found:
        if not is_sendable(address):
            raise BadAddresses(f"{printable(address)!r} is no address")
    return found


def is_sendable(address: str) -> bool:
    """Whether an address can be part of an SMTP command."""
    try:
        return bool(address.encode()) and address.isprintable()
    except UnicodeEncodeError:
        return False


def without_private_fields(message: MessageText) -> MessageText:
    """Return a message without Bcc and the other fields that recipients must not see."""
    return MessageText(strip(message.block, scan(message.block), trusted=True), message.rest)


def with_author(message: MessageText, address: str, full_name: str) -> MessageText:
    """Return a message that has a From field: its own, or one of an address and a name, which may be "".

    RFC 6409 section 8 lets a submission server complete a message; the relay adds the other fields that are missing.
    """
    if scan(message.block).has_from:
        return message
    name = "".join(char for char in full_name[:_MAX_NAME] if char.isprintable()).strip()
    # `formataddr` refuses an address that is not ASCII.
    phrase = email.utils.formataddr((name, "x"))[: -len("<x>")] if name else ""
    return MessageText(message.block + f"From: {phrase}<{address}>\r\n".encode(), message.rest)


def full_name_of(gecos: str, user: str) -> str:
    """Return the full name in the GECOS field of a user, where `&` stands for the user's own name."""
    return gecos.partition(",")[0].replace("&", user.capitalize()).strip()
