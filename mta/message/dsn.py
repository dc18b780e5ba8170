"""Builds reports to the sender about failure, delay and success: RFC 3464 in a multipart/report (RFC 6522), RFC 6533.

A report has three parts: text for people (`mta.message.report_text`), fields for programs, and the message or its
header. Text from clients and remote hosts reaches the first two parts only through `one_line`, so that a reply cannot
end a line, a field or a part.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mta.message import report_text
from mta.message.body import Body, MemoryBody, has_line_beyond, head
from mta.message.dates import mail_date
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret, TlsDemand
from mta.message.headers import header_end, scan, values
from mta.message.outcome import Delivered, Outcome
from mta.message.report_text import (
    OriginalMessage,
    Report,
    ReportedRecipient,
    ReportIdentity,
    is_reply,
    one_line,
    wrapped,
)
from mta.smtp.address import Address

__all__ = [
    "COPY",
    "MAX_QUOTED_CHARACTERS",
    "MAX_RETURNED_HEADER",
    "MAX_WHOLE_BY_DEFAULT",
    "MAX_WHOLE_IF_ASKED",
    "OriginalMessage",
    "ReportIdentity",
    "ReportedRecipient",
    "is_copy",
    "make_report",
]

#: Octets up to which a message is returned whole with its failure report, unless the sender asked for RET=HDRS.
MAX_WHOLE_BY_DEFAULT = 100 * 1024
#: Octets up to which RET=FULL is honoured, because a report is built in memory.
MAX_WHOLE_IF_ASKED = 1024 * 1024
#: Octets of a header that are returned at most.
MAX_RETURNED_HEADER = 100 * 1024
#: Characters of replies that one report quotes in all. Each recipient gets an equal share, but not less than the length
#: of a usual reply. A thousand long replies would make a report of 17 MB, which takes 4 s (measured).
MAX_QUOTED_CHARACTERS = 128 * 1024
MIN_QUOTED_CHARACTERS = 256
#: The header field of a copy for the postmaster; its value is the id of the message.
COPY = "X-Smtprelay-Postmaster-Copy"
# The longest line of RFC 5321 section 4.5.3.1.6, without its CRLF.
_MAX_LINE = 998

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
# RFC 5322 section 3.6.4, loosely: a value that is copied into a field of the report must be one printable word.
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,900}>")
_IPV4 = re.compile(r"[0-9.]+")
_REQUIRED = TlsDemand.REQUIRED
# Stands for a message that cannot be read; every other message has at least the relay's trace field.
_UNREADABLE = MemoryBody(b"")


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    content: bytes


def make_report(
    event: Notify,
    original: OriginalMessage,
    results: Sequence[ReportedRecipient],
    identity: ReportIdentity,
    retry_until: float | None = None,
    *,
    postmaster: Address | None = None,
) -> tuple[Envelope, bytes] | None:
    """Return the envelope and the content of a report of FAILURE, DELAY or SUCCESS, or None if none must be sent.

    There is no report about a message with the null sender (RFC 5321 section 4.5.5), a recipient whose NOTIFY excludes
    the event, a success that the next host reports (RFC 3461 section 5.2.1), and the delay of a message from a program
    or a list (RFC 3834 section 2). `retry_until` is the time at which delivery will be given up, for DELAY. If the
    message cannot be read, the report does not return any part of it.

    With a `postmaster` the report of FAILURE is a copy for that address about a message with the null sender, whatever
    NOTIFY says; its header has the field COPY, by which `is_copy` knows it.
    """
    try:
        return _report(event, original, results, identity, retry_until, postmaster=postmaster)
    except OSError:
        return _report(
            event, replace(original, body=_UNREADABLE), results, identity, retry_until, postmaster=postmaster
        )


def is_copy(body: Body) -> bool:
    """Return whether a message is a copy for the postmaster or returns one, so that none is made of it. Raises OSError.

    A host that answers a message with the null sender would otherwise make a loop of copies.
    """
    return f"\n{COPY}:".lower().encode() in head(body, MAX_RETURNED_HEADER).lower()


def _report(
    event: Notify,
    original: OriginalMessage,
    results: Sequence[ReportedRecipient],
    identity: ReportIdentity,
    retry_until: float | None,
    *,
    postmaster: Address | None,
) -> tuple[Envelope, bytes] | None:
    sender = original.envelope.sender or postmaster
    copied = postmaster is not None
    reported = _shortened_replies([result for result in results if copied or _is_told(event, result)])
    if sender is None or not reported:
        return None
    header = _header(original.body)
    if event is Notify.DELAY and scan(header).automatic:
        return None
    report = Report(event, original, reported, identity, retry_until, copied)
    message = _assemble(_header_fields(report, sender, header), _parts(report, header), f"=_{identity.token}")
    return _envelope(report, sender, message), message


def _parts(report: Report, header: bytes) -> list[_Part]:
    whole = _whole_message(report, header)
    text = report_text.human_readable_text(report, whole=whole is not None).encode()
    words = _Part(f"text/plain; charset={'us-ascii' if text.isascii() else 'utf-8'}", text)
    return [words, _delivery_status(report), whole or _header_only(report, header)]


def _is_told(event: Notify, result: ReportedRecipient) -> bool:
    reported_by_next = isinstance(result.outcome, Delivered) and result.outcome.reports_success
    return result.recipient.wants(event) and not reported_by_next


def _shortened_replies(results: Sequence[ReportedRecipient]) -> list[ReportedRecipient]:
    """Return the results with each reply cut to the length that the report quotes."""
    most = max(MIN_QUOTED_CHARACTERS, MAX_QUOTED_CHARACTERS // max(1, len(results)))
    return [result if len(result.outcome.text) <= most else _shortened(result, most) for result in results]


def _shortened(result: ReportedRecipient, most: int) -> ReportedRecipient:
    return replace(result, outcome=replace(result.outcome, text=f"{result.outcome.text[:most]}..."))


def _envelope(report: Report, sender: Address, message: bytes) -> Envelope:
    return Envelope(
        sender=None,
        # RFC 3461 section 6.1: a report must not request reports about itself.
        recipients=(Recipient(sender, Notify.NEVER),),
        origin=Origin.of_relay(report.identity.name),
        body_type=BodyType.SEVEN_BIT if message.isascii() else BodyType.EIGHT_BIT,
        smtputf8=sender.needs_utf8,
        # RFC 8689 section 5: a report is protected as its message was.
        tls_demand=_REQUIRED if report.original.envelope.tls_demand is _REQUIRED else None,
    )


def _header_fields(report: Report, sender: Address, header: bytes) -> list[str]:
    """Return the header fields of the report. They have UTF-8 only if the sender's address needs it anyway."""
    fields = [
        f"From: Mail Delivery System <Mailer-Daemon@{report.identity.name}>",
        f"To: <{sender}>",
        f"Subject: {report_text.subject(report)}",
        f"Date: {mail_date(report.identity.now)}",
        f"Message-ID: <{report.identity.id}@{report.identity.name}>",
        "Auto-Submitted: auto-replied",
        *([f"{COPY}: {report.original.id}"] if report.is_copy else ()),
    ]
    ids = [value.decode() for value in values(header, "Message-ID") if _MESSAGE_ID.fullmatch(value)]
    if ids:
        fields += [f"In-Reply-To: {ids[0]}", f"References: {ids[0]}"]
    addresses = [result.recipient.address for result in report.results]
    named = [str(address) for address in addresses if sender.needs_utf8 or not address.needs_utf8]
    if report.event is Notify.FAILURE and named:
        fields.append("X-Failed-Recipients: " + ",\r\n ".join(named))
    return [*fields, "MIME-Version: 1.0"]


def _assemble(fields: Sequence[str], parts: Sequence[_Part], boundary: str) -> bytes:
    kind = f'multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"'
    ascii_only = all(part.content.isascii() for part in parts)
    pieces = ["\r\n".join(fields).encode(), b"\r\n", _mime_head(kind, ascii_only=ascii_only)]
    for part in parts:
        pieces += [f"\r\n--{boundary}\r\n".encode(), _mime_head(part.kind, ascii_only=part.content.isascii())]
        pieces += [b"\r\n", part.content]
    return b"".join([*pieces, f"\r\n--{boundary}--\r\n".encode()])


def _mime_head(kind: str, *, ascii_only: bool) -> bytes:
    encoding = "" if ascii_only else "Content-Transfer-Encoding: 8bit\r\n"
    return f"Content-Type: {kind}\r\n{encoding}".encode()


# The fields for programs (RFC 3464 section 2).


def _delivery_status(report: Report) -> _Part:
    utf8 = any(_needs_utf8(result.recipient) for result in report.results)
    message = [
        ("Original-Envelope-Id", report.original.envelope.envid or ""),
        ("Reporting-MTA", f"dns; {report.identity.name}"),
        ("Arrival-Date", mail_date(report.original.created)),
        ("X-Smtprelay-Queue-Id", report.original.id),
    ]
    groups = [message, *(_recipient_fields(report, result) for result in report.results)]
    content = "\r\n".join(_field_group(group, utf8=utf8) for group in groups)
    return _Part("message/global-delivery-status" if utf8 else "message/delivery-status", content.encode())


def _needs_utf8(recipient: Recipient) -> bool:
    return recipient.address.needs_utf8 or not (recipient.original or "").isascii()


def _field_group(fields: Sequence[tuple[str, str]], *, utf8: bool) -> str:
    """Return the fields that have a value, cleaned and folded, each line with its CRLF."""
    lines: list[str] = []
    for name, value in fields:
        text = one_line(value, utf8=utf8)
        lines += wrapped(text, f"{name}:", " ") if text else []
    return "".join(f"{line}\r\n" for line in lines)


def _recipient_fields(report: Report, result: ReportedRecipient) -> list[tuple[str, str]]:
    """Return the per-recipient fields."""
    recipient, outcome = result.recipient, result.outcome
    original = recipient.original or ""
    return [
        ("Original-Recipient", original if ";" in original else ""),
        ("Final-Recipient", f"{'utf-8' if recipient.address.needs_utf8 else 'rfc822'}; {recipient.address}"),
        ("Action", _action(report.event, outcome)),
        ("Status", _valid_status(report.event, outcome)),
        ("Remote-MTA", _remote(outcome.host)),
        ("Diagnostic-Code", _diagnostic(outcome)),
        ("Last-Attempt-Date", mail_date(report.identity.now)),
        (
            "Will-Retry-Until",
            mail_date(report.retry_until) if report.event is Notify.DELAY and report.retry_until is not None else "",
        ),
    ]


def _action(event: Notify, outcome: Outcome) -> str:
    """Return the action-value of RFC 3464 section 2.3.3."""
    if event is Notify.SUCCESS:
        return "relayed" if outcome.host else "delivered"
    return "delayed" if event is Notify.DELAY else "failed"


def _valid_status(event: Notify, outcome: Outcome) -> str:
    if _STATUS.fullmatch(outcome.status):
        return outcome.status
    return {Notify.SUCCESS: "2.0.0", Notify.DELAY: "4.0.0"}.get(event, "5.0.0")


def _remote(host: str) -> str:
    """Return the mta-name of a route's label: its host name, or else its address in brackets."""
    name = host.partition("[")[0]
    if ":" in name:
        name = f"[IPv6:{name}]"
    elif _IPV4.fullmatch(name):
        name = f"[{name}]"
    return f"dns; {name}" if name else ""


def _diagnostic(outcome: Outcome) -> str:
    """Return a reply as `smtp; 550 ...`; the relay's own text must not look like a reply (RFC 3464 section 2.3.6)."""
    if not outcome.text:
        return ""
    return f"{'smtp' if is_reply(outcome) else 'x-smtprelay'}; {outcome.text}"


# The message, or its header.


def _header(body: Body) -> bytes:
    """Return the header block, cut at the end of a line if it is too large."""
    content = head(body, MAX_RETURNED_HEADER)
    block = content[: header_end(content, ended=True)]
    return block[: block.rfind(b"\n") + 1]


def _whole_message(report: Report, header: bytes) -> _Part | None:
    """Return the whole message for a failure (RFC 3461 section 4.3), or None if it or one of its lines is too long."""
    if report.original.body is _UNREADABLE:
        return None
    ret = report.original.envelope.ret
    if report.original.envelope.tls_demand is _REQUIRED:
        # RFC 8689 section 5: whatever the sender asked for.
        ret = Ret.HEADERS
    limit = MAX_WHOLE_IF_ASKED if ret is Ret.FULL else MAX_WHOLE_BY_DEFAULT
    if report.event is not Notify.FAILURE or ret is Ret.HEADERS or report.original.body.size > limit:
        return None
    content = head(report.original.body, limit)
    if has_line_beyond(content, _MAX_LINE + 1):
        return None
    returned = _return_path(report) + header
    kind = "message/global" if _is_international(report, returned) else "message/rfc822"
    return _Part(kind, _return_path(report) + content)


def _header_only(report: Report, header: bytes) -> _Part:
    returned = _return_path(report) + b"\r\n".join(line[:_MAX_LINE] for line in header.split(b"\r\n"))
    kind = "message/global-headers" if _is_international(report, returned) else "text/rfc822-headers"
    return _Part(kind, returned)


def _is_international(report: Report, header: bytes) -> bool:
    """Whether the header is valid UTF-8 under RFC 6532. Without SMTPUTF8 such octets are copied as they are."""
    return report.original.envelope.smtputf8 and not header.isascii()


def _return_path(report: Report) -> bytes:
    return f"Return-Path: <{report.original.envelope.sender or ''}>\r\n".encode()
