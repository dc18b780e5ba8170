"""Header blocks: finds their end, reads and removes fields, and builds the fields that the relay adds.

A header block is the octets of the header fields with their line ends, without the blank line after them (RFC 5322,
RFC 5321 section 4.4). Malformed fields are not rejected; they are relayed as they are.
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import islice

from mta.fast_value import fast_value
from mta.message.dates import mail_date
from mta.message.envelope import Origin, Recipient
from mta.smtp.address import Address

#: Fields of one name that are read; as many as the Received fields that end a mail loop (`mta.inbound.limits`).
MAX_VALUES = 50
# RFC 5322 section 2.1.1: lines should not be longer than this without their CRLF.
_MAX_LINE = 78
_MAX_HELO = 255

# RFC 5322 section 3.6.8 field-name; section 4.5 (obs-optional) allows blanks before the colon. The possessive `++`
# keeps the time linear, because a name is not tried again at a shorter length.
_FIELD = re.compile(rb"[!-9;-~]++[ \t]*+:")
_OTHER_LINE = re.compile(rb"\n(?![!-9;-~]++[ \t]*+:|[ \t])")
_SCANNED_NAMES = (
    rb"received|date|message-id|from|return-path|envelope-to|delivery-date"
    rb"|subject|auto-submitted|precedence|list-id|list-post|list-subscribe|bcc|resent-bcc|content-length|tls-required"
)
_SCANNED = frozenset(_SCANNED_NAMES.split(b"|"))
_FROM = {b"from"}
_NAMES = re.compile(rb"\n(?=[rdmfeasplb]|content-l|tls-r)(" + _SCANNED_NAMES + rb")[ \t]*+:")
# RFC 5321 section 4.4: Return-Path is added by the host that makes the final delivery, so one in a received message is
# left over from an earlier delivery. Envelope-To and Delivery-Date are similar, and Exim removes them as well.
_UNWANTED = frozenset({b"return-path", b"envelope-to", b"delivery-date"})
# RFC 5322 section 3.6.3: Bcc names recipients that the others must not see; a mail program that sends it expects the
# relay to remove it. Content-Length belongs to a mailbox file, and is wrong as soon as a header field is added.
_PRIVATE = frozenset({b"bcc", b"resent-bcc", b"content-length"})


def _fields(names: frozenset[bytes]) -> re.Pattern[bytes]:
    return re.compile(
        rb"^(?:%b)[ \t]*+:[^\n]*+\n?+(?>(?:[ \t][^\n]*+\n?+)*)" % b"|".join(sorted(names)), re.IGNORECASE | re.MULTILINE
    )


_UNWANTED_FIELDS, _UNWANTED_OR_PRIVATE_FIELDS = _fields(_UNWANTED), _fields(_UNWANTED | _PRIVATE)
# The line that separates the messages of a mailbox file: the envelope's sender and a date, in many formats. Some
# programs send it as part of a message, quoted or not.
_MAILBOX_LINE = re.compile(rb">*+From [^\r\n]*+\r\n")
_TIME_OF_DAY = re.compile(rb"[ \t][0-9]{1,2}:[0-9]{2}")
# Fields in which hosts, including this relay, write addresses of the envelope.
_TRACE_FIELDS = re.compile(
    rb"^(?:received|delivered-to|return-path)[ \t]*+:[^\n]*+\n?+(?>(?:[ \t][^\n]*+\n?+)*)",
    re.IGNORECASE | re.MULTILINE,
)
_LIST_FIELDS = frozenset({b"list-id", b"list-post", b"list-subscribe"})
_TLS_REQUIRED = b"tls-required"
# The fields that have a say in `unwanted`, `private`, `automatic` and `tls_optional`.
_NOTABLE = _UNWANTED | _PRIVATE | _LIST_FIELDS | {b"auto-submitted", b"precedence", _TLS_REQUIRED}
# RFC 5322 section 3.2.2, without comments in comments.
_COMMENT = re.compile(rb"\([^()]*+\)")
_BULK_PRECEDENCES = frozenset({b"list", b"bulk", b"junk"})
_FOLD = re.compile(rb"\r?\n(?=[ \t])")

# A HELO argument that can be the Extended-Domain of RFC 5321 section 4.4; `_` is not allowed there, but common.
_HELO_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}|\[[A-Za-z0-9.:]{1,64}\]")
_NOT_IN_COMMENT = re.compile(r"[^!#-'*-\[\]-~ ]")


@fast_value(frozen=True, slots=True)
class HeaderScan:
    """The properties of a header block that the relay needs."""

    #: The number of Received fields, one for each host that the message passed (RFC 5321 section 6.3).
    hops: int
    has_date: bool
    has_message_id: bool
    has_from: bool
    #: Whether there is a field that `strip` removes from every message.
    unwanted: bool
    #: Whether there is a field that `strip` removes from messages of trusted clients.
    private: bool
    #: Whether a program or a list sent it, so that a delay is not reported (RFC 3834, Precedence, List-*).
    automatic: bool
    #: The values of the topmost Message-ID, Subject and From, unfolded; b"" if missing.
    message_id: bytes = b""
    subject: bytes = b""
    author: bytes = b""
    #: Whether the sender wants the message delivered without TLS if need be (RFC 8689 section 3).
    tls_optional: bool = False

    def with_author(self, author: bytes | None) -> "HeaderScan":
        """Return the properties with another value of From, unfolded; None if there is none."""
        return HeaderScan(
            self.hops,
            self.has_date,
            self.has_message_id,
            author is not None,
            self.unwanted,
            self.private,
            self.automatic,
            self.message_id,
            self.subject,
            author or b"",
            self.tls_optional,
        )


def header_end(data: bytes | bytearray, seen: int = 0, *, ended: bool = False) -> int | None:
    """Return the offset at which the header block at the beginning of `data` ends, or None if more octets are needed.

    The block ends before the first line that is neither a field nor a continuation line: a blank line, or a line of the
    body, for which `needs_blank_line` is true. A message without a header gives 0. `seen` is the length of `data` at an
    earlier call that returned None; those octets are not read again. `ended` says that `data` is complete.
    """
    # Without a new line end the answer is the same, so a line that arrives octet by octet is not read each time.
    if not ended and data.find(b"\n", seen) < 0:
        return None
    line = data.rfind(b"\n", 0, seen)
    if line < 0 and not _FIELD.match(data):
        return 0 if ended or b"\n" in data else None
    found = _OTHER_LINE.search(data, max(line, 0))
    if found is None:
        return len(data) if ended else None
    return found.end() if ended or data.find(b"\n", found.end()) >= 0 else None


def needs_blank_line(data: bytes | bytearray, end: int) -> bool:
    """Whether the body follows the header block without the blank line between them (RFC 5322 section 2.1)."""
    return end < len(data) and data[end : end + 2] != b"\r\n"


def scan(block: bytes) -> HeaderScan:
    """Return the properties of a header block. The time is linear in its length; never raises."""
    lower = b"\n" + block.lower()
    names = _NAMES.findall(lower)
    found = frozenset(names)
    has_message_id, has_from = b"message-id" in found, b"from" in found
    unwanted = private = automatic = tls_optional = False
    # Most headers have none of these fields.
    if not _NOTABLE.isdisjoint(found):
        unwanted, private = not _UNWANTED.isdisjoint(found), not _PRIVATE.isdisjoint(found)
        automatic = _is_automatic(block, found)
        tls_optional = _TLS_REQUIRED in found and _is_tls_optional(block)
    return HeaderScan(
        names.count(b"received"),
        b"date" in found,
        has_message_id,
        has_from,
        unwanted,
        private,
        automatic,
        _value(block, lower, b"\nmessage-id:", 11) if has_message_id else b"",
        _value(block, lower, b"\nsubject:", 8) if b"subject" in found else b"",
        _value(block, lower, b"\nfrom:", 5) if has_from else b"",
        tls_optional,
    )


def scan_changed(found: HeaderScan, block: bytes, names: AbstractSet[bytes], author: bytes | None) -> HeaderScan:
    """Return the properties of a header block after changes; `found` are those before. Reads as little as possible.

    `names` are those of the changed fields in lower case, `author` is the value of the topmost From, unfolded, or None.
    """
    names = names & _SCANNED
    if not names:
        return found
    # Most rules that change a scanned field change this one.
    return found.with_author(author) if names == _FROM else scan(block)


def _value(block: bytes, lower: bytes, mark: bytes, length: int) -> bytes:
    """Return the value of the topmost field that begins with a mark: a line feed, its name in lower case, a colon.

    `length` is that of name and colon; `lower` is the block in lower case behind a line feed. A plain search costs a
    tenth of the regular expression, which is left for fields with folds, and for a message whose only such field has
    blanks before its colon.
    """
    start = lower.find(mark)
    if start >= 0:
        end = block.find(b"\n", start)
        if end < 0:
            return block[start + length :].strip()
        # Not a slice, which costs as much as the search.
        if end + 1 == len(block) or block[end + 1] not in b" \t":
            return block[start + length : end].strip()
    found = _field_pattern(mark[1:-1].decode()).search(block)
    return _FOLD.sub(b"", found[1]).strip() if found else b""


def _is_tls_optional(block: bytes) -> bool:
    """Return whether each field TLS-Required says `No`, which is its only value (RFC 8689 section 3)."""
    return {_COMMENT.sub(b" ", value).strip().lower() for value in values(block, "TLS-Required")} == {b"no"}


def _is_automatic(block: bytes, found: frozenset[bytes]) -> bool:
    if not _LIST_FIELDS.isdisjoint(found):
        return True
    # RFC 3834 section 5: `no` may be followed by parameters; a comment is harmless.
    if b"auto-submitted" in found and any(_keyword(value) != b"no" for value in values(block, "Auto-Submitted")):
        return True
    return b"precedence" in found and any(_keyword(value) in _BULK_PRECEDENCES for value in values(block, "Precedence"))


def _keyword(value: bytes) -> bytes:
    return re.split(rb"[;( \t]", value, maxsplit=1)[0].lower()


def values(block: bytes, name: str) -> list[bytes]:
    """Return the values of the fields with this name, unfolded and without the blanks around them.

    If there are more than MAX_VALUES fields, only the topmost are read, which bounds the time.
    """
    # A plain search for a name that is absent costs a fraction of the regular expression.
    if name.lower().encode() not in block.lower():
        return []
    found = islice(_field_pattern(name).finditer(block), MAX_VALUES)
    return [_FOLD.sub(b"", field[1]).strip() for field in found]


def delivered_to(block: bytes) -> tuple[bytes, ...]:
    """Return the values of Delivered-To in lower case, topmost first. Each delivery adds one, which reveals a loop."""
    return tuple(value.lower() for value in values(block, "Delivered-To"))


@lru_cache(maxsize=32)
def _field_pattern(name: str) -> re.Pattern[bytes]:
    return re.compile(
        rb"^%b[ \t]*+:([^\n]*+(?>(?:\n[ \t][^\n]*+)*))" % re.escape(name).encode(), re.IGNORECASE | re.MULTILINE
    )


def strip(block: bytes, found: HeaderScan, *, trusted: bool = False) -> bytes:
    """Return the block without Return-Path, Envelope-To and Delivery-Date; the same object if it has none of them.

    Bcc, Resent-Bcc and Content-Length are removed too if a `trusted` client sent the message.
    """
    if trusted and found.private:
        return _UNWANTED_OR_PRIVATE_FIELDS.sub(b"", block)
    return _UNWANTED_FIELDS.sub(b"", block) if found.unwanted else block


def mailbox_line_end(data: bytes | bytearray, *, ended: bool = False) -> int | None:
    """Return the offset at which `From ` lines of a mailbox file at the beginning of `data` end; 0 without any.

    None means that more octets are needed. A line without a time of day counts only if a header field follows. There
    may be several lines, the inner ones quoted, if a mailbox file was stored inside another one.
    """
    front = 0
    while (line := _MAILBOX_LINE.match(data, front)) is not None and _TIME_OF_DAY.search(line[0]):
        front = line.end()
    if line is None:
        return front
    if _FIELD.match(data, line.end()):
        return line.end()
    return front if ended or data.find(b"\n", line.end()) >= 0 else None


def needs_utf8(block: bytes) -> bool:
    """Whether only an SMTPUTF8 host may get this header block, because a field has non-ASCII octets (RFC 6532).

    Trace fields do not count, because the address of an alias in them does not belong to the message.
    """
    return not (block.isascii() or _TRACE_FIELDS.sub(b"", block).isascii())


def protocol_keyword(*, esmtp: bool, tls: bool = False, login: bool = False, smtputf8: bool = False) -> str:
    """Return the keyword for a client's protocol (RFC 3848, RFC 6531 section 4.3). A `login` is a feature of ESMTP."""
    if not (esmtp or login):
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if tls else "") + ("A" if login else "")


def received_field(
    origin: Origin,
    name: str,
    id: str,
    recipients: Sequence[Recipient],
    *,
    now: float,
    tls: str = "",
    hide_client: bool = False,
) -> bytes:
    """Return the relay's trace field (RFC 5321 section 4.4), with its CRLF.

    `name` is the relay's host name, `tls` the protocol and cipher or "". The field names a single recipient, but not
    one of several, because that would disclose it to the others. With `hide_client` there is no From-domain: RFC 5322
    section 3.6.7 allows that, and RFC 5321 does not.
    """
    protocol = f"{origin.protocol} ({_comment(tls)})" if tls else origin.protocol
    by = _joined(f"\tby {name} with {protocol}", f"id {id}")
    ends = f"\tfor <{recipients[0].address.text}>;" if len(recipients) == 1 else ""
    dated = _joined(ends, mail_date(now)) if ends else f"\t{mail_date(now)}"
    begin = "Received:" if hide_client else f"Received: from {_client(origin)}"
    return f"{begin}\r\n{by}{'' if ends else ';'}\r\n{dated}\r\n".encode()


def _client(origin: Origin) -> str:
    """Return the From-domain of a trace field; the client's HELO argument is a comment unless it can be a name."""
    if not origin.client:
        return origin.helo
    kind = "IPv6:" if ":" in origin.client else ""
    if _HELO_NAME.fullmatch(origin.helo):
        return f"{origin.helo} ([{kind}{origin.client}])"
    address = f"[{kind}{origin.client}]"
    claim = _comment(origin.helo[:_MAX_HELO])
    return _joined(address, f"(helo={claim})", used=len("Received: from ")) if claim else address


def _comment(text: str) -> str:
    """Return text that is safe in a comment: `?` replaces parentheses, backslashes, controls and non-ASCII letters."""
    return _NOT_IN_COMMENT.sub("?", text)


def _joined(first: str, second: str, used: int = 0) -> str:
    """Join two strings by a blank, or by a fold if the line would be too long."""
    return f"{first} {second}" if used + len(first) + len(second) < _MAX_LINE else f"{first}\r\n\t{second}"


def date_field(now: float) -> bytes:
    """Return a Date field for wall-clock seconds."""
    return f"Date: {mail_date(now)}\r\n".encode()


def message_id_field(id: str, name: str) -> bytes:
    """Return a Message-ID field (RFC 5322 section 3.6.4) from a queue id and the relay's host name."""
    return f"Message-ID: <{id}@{name}>\r\n".encode()


def from_field(sender: Address) -> bytes:
    """Return a From field with the envelope's sender."""
    return f"From: <{sender}>\r\n".encode()
