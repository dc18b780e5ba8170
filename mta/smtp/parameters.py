"""What MAIL and RCPT can ask for beside the address, as values, and the encodings of DSN's free text.

RFC 6152 (BODY), RFC 3461 (RET, ENVID, NOTIFY, ORCPT, xtext), RFC 6533 section 3 (utf-8 addresses in ORCPT).
"""

import enum
import re
from dataclasses import dataclass

from mta.smtp.address import Address, is_deceptive

# RFC 3461 section 4: xchar is any printable ASCII character but "+" and "=".
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
# RFC 6533 section 3: QCHAR is an xchar but "\"; every other character may be written \x{HEX}.
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_NOT_QUCHAR = re.compile(r"[^!-*,-<>-\[\]-~\u00a0-\U0010ffff]")
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\u00a0-\U0010ffff]|\\x\{(?:[0-9A-F]{2,5}|10[0-9A-F]{4})\})*")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]+)\}")
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
    """Return what xtext stands for. Raises ValueError when it is malformed or hides anything but printable ASCII."""
    if not _XTEXT.fullmatch(text):
        raise ValueError("malformed xtext")
    decoded = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not (decoded.isascii() and decoded.isprintable()):
        raise ValueError("xtext with an unprintable character")
    return decoded


def encode_original(original: str, *, utf8: bool) -> str:
    """Return `Recipient.original` as the value of ORCPT; `utf8` when the peer and the message have SMTPUTF8."""
    kind, _, text = original.partition(";")
    if kind.lower() != "utf-8":
        return f"{kind};{encode_xtext(text)}"
    unsafe = _NOT_QUCHAR if utf8 else _NOT_QCHAR
    return f"{kind};" + unsafe.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", text)


def decode_original(value: str) -> str:
    """Return the value of ORCPT with its text decoded. Raises ValueError."""
    kind, separator, text = value.partition(";")
    if not separator or not text or not _ADDRESS_TYPE.fullmatch(kind):
        raise ValueError("ORCPT is not of the form type;address")
    return f"{kind};{_decode_utf8_address(text) if kind.lower() == 'utf-8' else decode_xtext(text)}"


def _decode_utf8_address(text: str) -> str:
    if not _UNITEXT.fullmatch(text):
        raise ValueError("malformed utf-8 address")
    decoded = _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), text)
    # A blank may be there, in a quoted local part.
    if is_deceptive(decoded):
        raise ValueError("utf-8 address with an unprintable or unseen character")
    return decoded
