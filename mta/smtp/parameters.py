"""The parameters of MAIL and RCPT as values, and the encodings of the free text in DSN parameters.

RFC 6152 (BODY), RFC 3461 (RET, ENVID, NOTIFY, ORCPT, xtext), RFC 6533 section 3 (utf-8 addresses in ORCPT).

ENVID and ORCPT are only used in reports, and clients encode them wrongly: Postfix puts UTF-8 in the xtext of an rfc822
address, others omit the type or the encoding. A message is not refused for that: a value is decoded leniently, used as
written, or dropped.
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
    """The part of a message that its failure report returns (RFC 3461 section 4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


class TlsDemand(enum.Enum):
    """The demand of a sender on the TLS of a message's way (RFC 8689). The values are stored."""

    #: REQUIRETLS at MAIL: only TLS with hosts that prove their names and demand the same of the next host (section 2).
    REQUIRED = "required"
    #: The header field `TLS-Required: No`: the demands of the recipient's domain do not count (section 3).
    OPTIONAL = "optional"


class Notify(enum.Flag):
    """The events of which a sender wants a report for a recipient (RFC 3461 section 4.1). NEVER is the empty set."""

    NEVER = 0
    SUCCESS = enum.auto()
    FAILURE = enum.auto()
    DELAY = enum.auto()


# Looking for a flag in another is four calls in Python 3.11, and each settlement asks about this one.
_SUCCESS = Notify.SUCCESS


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient of RCPT. Without NOTIFY, `notify` is None, which means FAILURE and DELAY (RFC 3461 section 4.1)."""

    address: Address
    notify: Notify | None = None
    #: ORCPT, decoded from xtext: `rfc822;Bob@example.test` (RFC 3461 section 4.2).
    original: str | None = None

    def wants(self, event: Notify) -> bool:
        """Return whether the sender wants a report of this event, which is SUCCESS, FAILURE or DELAY."""
        return event is not _SUCCESS if self.notify is None else event in self.notify


def encode_xtext(text: str) -> str:
    """Return ASCII text as xtext (RFC 3461 section 4)."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """Decode ASCII xtext. Return it unchanged if it is malformed or encodes a control character."""
    decoded = _decode_hex(text)
    return decoded if decoded.isascii() and decoded.isprintable() else text


def decode_envid(value: str) -> str | None:
    """Decode the value of ENVID; return None if it is empty, too long or not printable ASCII."""
    usable = 0 < len(value) <= MAX_ENVID and value.isascii() and value.isprintable()
    return decode_xtext(value) if usable else None


def encode_original(original: str, *, utf8: bool) -> str:
    """Return `Recipient.original` as the value of ORCPT. `utf8` means that peer and message use SMTPUTF8."""
    kind, _, text = original.partition(";")
    if kind.lower() != "utf-8":
        return f"{kind};{encode_xtext(text)}"
    unsafe = _NOT_QUCHAR if utf8 else _NOT_QCHAR
    return f"{kind};" + unsafe.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", text)


def without_utf8(original: str) -> str:
    """Return `Recipient.original` for a peer without SMTPUTF8: as rfc822 with A-labels if its local part is ASCII."""
    kind, _, text = original.partition(";")
    if kind.lower() != "utf-8":
        return original
    try:
        address = parse_address(text)
    except AddressError:
        return original
    return original if address.needs_utf8 else f"rfc822;{address}"


def decode_original(value: str) -> str | None:
    """Decode the value of ORCPT; return None if it is empty, too long or has deceptive characters.

    An address without a type gets type rfc822. An rfc822 address with letters outside ASCII gets type utf-8.
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
    """Decode the hexchars of a text, as UTF-8; return invalid text unchanged."""
    try:
        return _HEXCHAR.sub(lambda match: bytes([int(match[1], 16)]), text.encode()).decode()
    except UnicodeError:
        return text


def _decode_embedded(text: str) -> str:
    return _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), text)
