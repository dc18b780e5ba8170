"""What MAIL and RCPT can ask for beside the address, as values, and the encodings of DSN's free text.

RFC 6152 (BODY), RFC 3461 (RET, ENVID, NOTIFY, ORCPT, xtext), RFC 6533 section 3 (utf-8 addresses in ORCPT).

ENVID and ORCPT only come back in reports, and clients write them wrongly: Postfix puts UTF-8 in the xtext of an rfc822
address, others leave out the type or the encoding. No message is refused for them: a value is read as it was meant, or
as it was written, or is left out.
"""

import enum
import re
from dataclasses import dataclass

from mta.smtp.address import Address, AddressError, is_deceptive, parse_address

#: Octets of the encoded values: RFC 3461 sections 4.4 and 4.2.
MAX_ENVID = 100
MAX_ORCPT = 500

# RFC 3461 section 4: xchar is any printable ASCII character but "+" and "=".
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_HEXCHAR = re.compile(rb"\+([0-9A-Fa-f]{2})")
# RFC 6533 section 3: QCHAR is an xchar but "\"; every other character may be written \x{HEX}.
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_NOT_QUCHAR = re.compile(r"[^!-*,-<>-\[\]-~\u00a0-\U0010ffff]")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,5}|10[0-9A-Fa-f]{4})\}")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+")


class BodyType(enum.Enum):
    """The BODY parameter of MAIL (RFC 6152 section 3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"


class Ret(enum.Enum):
    """How much of a message its failure report returns (RFC 3461 section 4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(enum.Flag):
    """When a sender wants a report about a recipient (RFC 3461 section 4.1). NEVER excludes the others."""

    NEVER = 0
    SUCCESS = enum.auto()
    FAILURE = enum.auto()
    DELAY = enum.auto()


# RFC 3461 section 4.1: what a sender is told who did not ask.
_UNASKED = Notify.FAILURE | Notify.DELAY


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT. `notify` None means not asked, which stands for FAILURE and DELAY (RFC 3461 section 4.1)."""

    address: Address
    notify: Notify | None = None
    #: ORCPT as given, decoded from xtext: `rfc822;Bob@example.test` (RFC 3461 section 4.2).
    original: str | None = None

    def wants(self, event: Notify) -> bool:
        """Whether a report of this kind is due to the sender."""
        return event in (_UNASKED if self.notify is None else self.notify)


def encode_xtext(text: str) -> str:
    """Return ASCII text as xtext (RFC 3461 section 4)."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """Return the text that ASCII xtext stands for; when it is malformed or hides a control, it stands for itself."""
    decoded = _decode_hex(text)
    return decoded if decoded.isascii() and decoded.isprintable() else text


def decode_envid(value: str) -> str | None:
    """Return the value of ENVID decoded; None when it is empty, too long or not printable ASCII."""
    usable = 0 < len(value) <= MAX_ENVID and value.isascii() and value.isprintable()
    return decode_xtext(value) if usable else None


def encode_original(original: str, *, utf8: bool) -> str:
    """Return `Recipient.original` as the value of ORCPT; `utf8` when the peer and the message have SMTPUTF8."""
    kind, _, text = original.partition(";")
    if kind.lower() != "utf-8":
        return f"{kind};{encode_xtext(text)}"
    unsafe = _NOT_QUCHAR if utf8 else _NOT_QCHAR
    return f"{kind};" + unsafe.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", text)


def without_utf8(original: str) -> str:
    """Return `Recipient.original` for a peer without SMTPUTF8: as rfc822 with A-labels when its local part is ASCII."""
    kind, _, text = original.partition(";")
    if kind.lower() != "utf-8":
        return original
    try:
        address = parse_address(text)
    except AddressError:
        return original
    return original if address.needs_utf8 else f"rfc822;{address}"


def decode_original(value: str) -> str | None:
    """Return the value of ORCPT with its text decoded, or None if it is empty, too long or has deceptive characters.

    An address without a type is one of type rfc822, and one of that type with letters outside ASCII is of type utf-8.
    """
    kind, separator, text = value.partition(";")
    if not separator:
        kind, text = "rfc822", value
    if not text or len(value) > MAX_ORCPT or not _ADDRESS_TYPE.fullmatch(kind):
        return None
    international = kind.lower() == "utf-8"
    decoded = _decode_embedded(text) if international and "+" not in text else _decode_hex(text)
    if is_deceptive(decoded):
        decoded = text
    if is_deceptive(decoded):
        return None
    if decoded.isascii() or international:
        return f"{kind};{decoded}"
    return f"utf-8;{decoded}" if kind.lower() == "rfc822" else None


def _decode_hex(text: str) -> str:
    """Return text with its hexchars decoded, as UTF-8; unchanged when it is not valid."""
    try:
        return _HEXCHAR.sub(lambda match: bytes([int(match[1], 16)]), text.encode()).decode()
    except UnicodeError:
        return text


def _decode_embedded(text: str) -> str:
    return _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), text)
