"""Header blocks: where one ends, what it says, what is put on top and taken out. RFC 5322, RFC 5321 section 4.4.

A header block is the octets of the header fields with their line ends, without the blank line after them. Nothing is
judged: a field that is malformed travels as it came.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from mta.fast_value import fast_value
from mta.message.dates import mail_date
from mta.message.envelope import Origin, Recipient
from mta.smtp.address import Address

#: Fields of one name that are read; as many as the Received fields that make a message a loop (mta.inbound.limits).
MAX_VALUES = 50
# RFC 5322 section 2.1.1: lines should be no longer than this without their CRLF.
_LINE = 78
_MAX_HELO = 255

# RFC 5322 section 3.6.8 field-name; section 4.5 (obs-optional) allows blanks before the colon. The possessive `++`
# keeps the time linear: a name is never tried again at a shorter length.
_FIELD = re.compile(rb"[!-9;-~]++[ \t]*+:")
_LINE_OUTSIDE = re.compile(rb"\n(?![!-9;-~]++[ \t]*+:|[ \t])")
_TOLD_APART = (
    rb"received|date|message-id|from|return-path|envelope-to|delivery-date"
    rb"|auto-submitted|precedence|list-id|list-post|list-subscribe|bcc|resent-bcc|content-length"
)
_NAMES = re.compile(rb"\n(?=[rdmfeaplb]|content-l)(" + _TOLD_APART + rb")[ \t]*+:")
# RFC 5321 section 4.4: Return-Path is added by the host that makes the final delivery; one that comes in is a leftover
# of an earlier one. Envelope-To and Delivery-Date are the same kind of trace, which Exim takes out as well.
_UNWANTED = frozenset({b"return-path", b"envelope-to", b"delivery-date"})
# RFC 5322 section 3.6.3: Bcc names recipients that the others must not see; a mail program that sends it leaves its
# removal to the relay. Content-Length is a mailbox's, and is wrong as soon as a header field is added.
_PRIVATE = frozenset({b"bcc", b"resent-bcc", b"content-length"})


def _fields(names: frozenset[bytes]) -> re.Pattern[bytes]:
    return re.compile(
        rb"^(?:%b)[ \t]*+:[^\n]*+\n?+(?:[ \t][^\n]*+\n?+)*+" % b"|".join(sorted(names)), re.IGNORECASE | re.MULTILINE
    )


_UNWANTED_FIELDS, _UNWANTED_OR_PRIVATE_FIELDS = _fields(_UNWANTED), _fields(_UNWANTED | _PRIVATE)
# The line that parts the messages of a mailbox file: the envelope's sender, then a date, in forms without number. Some
# programs send it on, quoted or not.
_MAILBOX_LINE = re.compile(rb">*+From [^\r\n]*+\r\n")
_CLOCK = re.compile(rb"[ \t][0-9]{1,2}:[0-9]{2}")
# Where hosts on the way, this relay among them, write the addresses of an envelope.
_TRACE_FIELDS = re.compile(
    rb"^(?:received|delivered-to|return-path)[ \t]*+:[^\n]*+\n?+(?:[ \t][^\n]*+\n?+)*+",
    re.IGNORECASE | re.MULTILINE,
)
_LIST_FIELDS = frozenset({b"list-id", b"list-post", b"list-subscribe"})
_NOBODY_WAITS = frozenset({b"list", b"bulk", b"junk"})
_FOLD = re.compile(rb"\r?\n(?=[ \t])")

# What a HELO argument may hold to stand as Extended-Domain (RFC 5321 section 4.4); `_` is not allowed and common.
_HELO_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}|\[[A-Za-z0-9.:]{1,64}\]")
_NOT_IN_COMMENT = re.compile(r"[^!#-'*-\[\]-~ ]")


@fast_value(frozen=True, slots=True)
class HeaderScan:
    """What a relay needs to know of a header block."""

    #: Received fields: the hosts the message passed (RFC 5321 section 6.3).
    hops: int
    has_date: bool
    has_message_id: bool
    has_from: bool
    #: Whether there is a field that `strip` takes out of every message.
    unwanted: bool
    #: Whether there is a field that `strip` takes out of the messages of trusted clients.
    private: bool
    #: Whether a program or a list sent it, so that no one waits for news of a delay (RFC 3834, Precedence, List-*).
    automatic: bool


def header_end(data: bytes | bytearray, seen: int = 0, *, ended: bool = False) -> int | None:
    """Return where the header block at the front of `data` ends; None means more octets are needed to tell.

    The block ends before the first line that is neither a field nor the continuation of one: a blank line, or at once
    a line of the body, and then `needs_blank_line`. A body without any header gives 0. `seen` is the length of `data`
    at a call before that gave None: it is not read again. `ended` says that no more will come.
    """
    # Without a new line's end there is no new answer, and a line that comes octet by octet is not read each time.
    if not ended and data.find(b"\n", seen) < 0:
        return None
    line = data.rfind(b"\n", 0, seen)
    if line < 0 and not _FIELD.match(data):
        return 0 if ended or b"\n" in data else None
    found = _LINE_OUTSIDE.search(data, max(line, 0))
    if found is None:
        return len(data) if ended else None
    return found.end() if ended or data.find(b"\n", found.end()) >= 0 else None


def needs_blank_line(data: bytes | bytearray, end: int) -> bool:
    """Whether the body follows the header block without the blank line that must part them (RFC 5322 section 2.1)."""
    return end < len(data) and data[end : end + 2] != b"\r\n"


def scan(block: bytes) -> HeaderScan:
    """Read a header block once. Linear in its length; never raises."""
    names = _NAMES.findall(b"\n" + block.lower())
    found = frozenset(names)
    return HeaderScan(
        hops=names.count(b"received"),
        has_date=b"date" in found,
        has_message_id=b"message-id" in found,
        has_from=b"from" in found,
        unwanted=not _UNWANTED.isdisjoint(found),
        private=not _PRIVATE.isdisjoint(found),
        automatic=_is_automatic(block, found),
    )


def _is_automatic(block: bytes, found: frozenset[bytes]) -> bool:
    if not _LIST_FIELDS.isdisjoint(found):
        return True
    # RFC 3834 section 5: `no` may be followed by parameters; a comment is harmless.
    if b"auto-submitted" in found and any(_keyword(value) != b"no" for value in values(block, "Auto-Submitted")):
        return True
    return b"precedence" in found and any(_keyword(value) in _NOBODY_WAITS for value in values(block, "Precedence"))


def _keyword(value: bytes) -> bytes:
    return re.split(rb"[;( \t]", value, maxsplit=1)[0].lower()


def values(block: bytes, name: str) -> list[bytes]:
    """Return the values of the fields of this name, unfolded and without the blanks around them.

    Of more than MAX_VALUES fields the topmost count: a header full of one field costs no time.
    """
    found = islice(_field_pattern(name).finditer(block), MAX_VALUES)
    return [_FOLD.sub(b"", field[1]).strip() for field in found]


def delivery_marks(block: bytes) -> tuple[bytes, ...]:
    """Return the values of Delivered-To in lower case. Each delivery puts its own on top, where a loop shows."""
    return tuple(value.lower() for value in values(block, "Delivered-To"))


@lru_cache(maxsize=32)
def _field_pattern(name: str) -> re.Pattern[bytes]:
    return re.compile(
        rb"^%b[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)" % re.escape(name).encode(), re.IGNORECASE | re.MULTILINE
    )


def strip(block: bytes, found: HeaderScan, *, trusted: bool = False) -> bytes:
    """Return the block without Return-Path, Envelope-To and Delivery-Date; the same object when it has none.

    From a message of a `trusted` client Bcc, Resent-Bcc and Content-Length are taken out too.
    """
    if trusted and found.private:
        return _UNWANTED_OR_PRIVATE_FIELDS.sub(b"", block)
    return _UNWANTED_FIELDS.sub(b"", block) if found.unwanted else block


def mailbox_line_end(data: bytes | bytearray, *, ended: bool = False) -> int | None:
    """Return where a mailbox file's `From ` lines at the front of `data` end; 0 when there is none.

    None means that more octets are needed to tell. A line without a time of day counts only if a header field follows.
    A mailbox inside a mailbox has more than one line, of which the inner ones are quoted.
    """
    front = 0
    while (line := _MAILBOX_LINE.match(data, front)) is not None and _CLOCK.search(line[0]):
        front = line.end()
    if line is None:
        return front
    if _FIELD.match(data, line.end()):
        return line.end()
    return front if ended or data.find(b"\n", line.end()) >= 0 else None


def needs_utf8(block: bytes) -> bool:
    """Whether only an SMTPUTF8 host may be given this header block (RFC 6532): a field has letters outside ASCII.

    Trace fields do not count: the address of an alias there says nothing about the message.
    """
    return not (block.isascii() or _TRACE_FIELDS.sub(b"", block).isascii())


def with_protocol(*, esmtp: bool, tls: bool = False, smtputf8: bool = False) -> str:
    """Return how a client spoke, by the keywords of RFC 3848 and RFC 6531 section 4.3."""
    if not esmtp:
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if tls else "")


def received_field(
    origin: Origin, name: str, id: str, recipients: Sequence[Recipient], *, now: float, tls: str = ""
) -> bytes:
    """Return our trace field (RFC 5321 section 4.4), ready to stand on top.

    `name` is our own, `tls` the protocol and cipher or "". A single recipient is named; of several none is, for that
    would tell each of the others.
    """
    protocol = f"{origin.protocol} ({_comment(tls)})" if tls else origin.protocol
    by = _pair(f"\tby {name} with {protocol}", f"id {id}")
    ends = f"\tfor <{recipients[0].address}>;" if len(recipients) == 1 else ""
    dated = _pair(ends, mail_date(now)) if ends else f"\t{mail_date(now)}"
    return f"Received: from {_client(origin)}\r\n{by}{'' if ends else ';'}\r\n{dated}\r\n".encode()


def _client(origin: Origin) -> str:
    """Return the From-domain of a trace field; what the client claimed is a comment unless it can be a name."""
    if not origin.client:
        return origin.helo
    kind = "IPv6:" if ":" in origin.client else ""
    if _HELO_NAME.fullmatch(origin.helo):
        return f"{origin.helo} ([{kind}{origin.client}])"
    address = f"[{kind}{origin.client}]"
    claim = _comment(origin.helo[:_MAX_HELO])
    return _pair(address, f"(helo={claim})", used=len("Received: from ")) if claim else address


def _comment(text: str) -> str:
    """Make text safe inside a comment: no parenthesis, no backslash, no control, nothing but ASCII."""
    return _NOT_IN_COMMENT.sub("?", text)


def _pair(first: str, second: str, used: int = 0) -> str:
    """Join two pieces by a blank, or by a fold where the line would be too long."""
    return f"{first} {second}" if used + len(first) + len(second) < _LINE else f"{first}\r\n\t{second}"


def date_field(now: float) -> bytes:
    """Return a Date field for wall-clock seconds."""
    return f"Date: {mail_date(now)}\r\n".encode()


def message_id_field(id: str, name: str) -> bytes:
    """Return a Message-ID field (RFC 5322 section 3.6.4) made from a queue id and our own name."""
    return f"Message-ID: <{id}@{name}>\r\n".encode()


def from_field(sender: Address) -> bytes:
    """Return a From field that holds the envelope's sender."""
    return f"From: <{sender}>\r\n".encode()
