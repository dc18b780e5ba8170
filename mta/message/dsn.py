"""Reports to the sender about failure, delay and success: RFC 3464 in a multipart/report (RFC 6522), RFC 6533.

A report is three parts: words for people (mta.message.report_text), fields for programs, and the message or its header.
What others wrote reaches the first two only through `clean`, so no reply can end a line, a field or a part.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mta.message import report_text
from mta.message.body import Body, MemoryBody, has_line_beyond, head
from mta.message.dates import mail_date
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret
from mta.message.headers import header_end, scan, values
from mta.message.outcome import Delivered, Outcome
from mta.message.report_facts import Original, Report, ReportedRecipient, ReportIdentity
from mta.message.report_text import clean, is_reply, wrapped
from mta.smtp.address import Address

__all__ = [
    "MAX_RETURNED_HEADER",
    "WHOLE_BY_DEFAULT",
    "WHOLE_WHEN_ASKED",
    "Original",
    "ReportIdentity",
    "ReportedRecipient",
    "report",
]

#: A message up to this size is returned whole with its failure report, unless the sender asked for the header only.
WHOLE_BY_DEFAULT = 100 * 1024
#: RET=FULL is honoured up to here: a report that is built in memory must have a bound.
WHOLE_WHEN_ASKED = 1024 * 1024
#: More of a header is not returned.
MAX_RETURNED_HEADER = 100 * 1024
#: Characters of the replies that one report quotes, over all its recipients; each is quoted up to its share of them,
#: which is not less than a usual reply has. A thousand long replies would be a report of 17 MB (measured: 4 s).
QUOTED_REPLIES = 128 * 1024
LEAST_QUOTED = 256
# RFC 5321 section 4.5.3.1.6, without the CRLF.
_MAX_LINE = 998

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
# RFC 5322 section 3.6.4, loosely: what is copied into a field of ours must be one printable word.
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,900}>")
_IPV4 = re.compile(r"[0-9.]+")
# Every other message has at least the trace field that we put on top.
_UNREADABLE = MemoryBody(b"")


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    content: bytes


def report(
    event: Notify,
    original: Original,
    results: Sequence[ReportedRecipient],
    stamp: ReportIdentity,
    until: float | None = None,
) -> tuple[Envelope, bytes] | None:
    """Return the report of FAILURE, DELAY or SUCCESS as a message to the sender; None when nobody is to be told.

    Nobody is told of a message with the null sender (RFC 5321 section 4.5.5), of a recipient whose NOTIFY excludes the
    event, of a success that the next host reports (RFC 3461 section 5.2.1), and of the delay of a message that a
    program or a list sent (RFC 3834 section 2). `until` is when delivery will be given up, for DELAY. Of a message that
    cannot be read nothing is returned.
    """
    try:
        return _report(event, original, results, stamp, until)
    except OSError:
        return _report(event, replace(original, body=_UNREADABLE), results, stamp, until)


def _report(
    event: Notify, original: Original, results: Sequence[ReportedRecipient], stamp: ReportIdentity, until: float | None
) -> tuple[Envelope, bytes] | None:
    sender = original.envelope.sender
    told = _quoted([result for result in results if _is_told(event, result)])
    if sender is None or not told:
        return None
    header = _header(original.body)
    if event is Notify.DELAY and scan(header).automatic:
        return None
    news = Report(event, original, told, stamp, until)
    message = _assemble(_top(news, sender, header), _parts(news, header), f"=_{stamp.token}")
    return _envelope(news, sender, message), message


def _parts(news: Report, header: bytes) -> list[_Part]:
    whole = _whole(news, header)
    text = report_text.human_readable_text(news, whole=whole is not None).encode()
    words = _Part(f"text/plain; charset={'us-ascii' if text.isascii() else 'utf-8'}", text)
    return [words, _status(news), whole or _header_only(news, header)]


def _is_told(event: Notify, result: ReportedRecipient) -> bool:
    reported_by_next = isinstance(result.outcome, Delivered) and result.outcome.reports_success
    return result.recipient.wants(event) and not reported_by_next


def _quoted(results: Sequence[ReportedRecipient]) -> list[ReportedRecipient]:
    """Return the results, each with as much of its reply as the report quotes."""
    most = max(LEAST_QUOTED, QUOTED_REPLIES // max(1, len(results)))
    return [result if len(result.outcome.text) <= most else _shortened(result, most) for result in results]


def _shortened(result: ReportedRecipient, most: int) -> ReportedRecipient:
    return replace(result, outcome=replace(result.outcome, text=f"{result.outcome.text[:most]}..."))


def _envelope(news: Report, sender: Address, message: bytes) -> Envelope:
    return Envelope(
        sender=None,
        # RFC 3461 section 6.1: no report is asked for about a report.
        recipients=(Recipient(sender, Notify.NEVER),),
        origin=Origin.ourselves(news.stamp.name),
        body_type=BodyType.SEVEN_BIT if message.isascii() else BodyType.EIGHT_BIT,
        smtputf8=sender.needs_utf8,
    )


def _top(news: Report, sender: Address, header: bytes) -> list[str]:
    """Return the fields of the report itself; only a sender that needs UTF-8 anyway makes them hold any."""
    fields = [
        f"From: Mail Delivery System <Mailer-Daemon@{news.stamp.name}>",
        f"To: <{sender}>",
        f"Subject: {report_text.subject(news)}",
        f"Date: {mail_date(news.stamp.now)}",
        f"Message-ID: <{news.stamp.id}@{news.stamp.name}>",
        "Auto-Submitted: auto-replied",
    ]
    ids = [value.decode() for value in values(header, "Message-ID") if _MESSAGE_ID.fullmatch(value)]
    if ids:
        fields += [f"In-Reply-To: {ids[0]}", f"References: {ids[0]}"]
    addresses = [result.recipient.address for result in news.results]
    named = [str(address) for address in addresses if sender.needs_utf8 or not address.needs_utf8]
    if news.event is Notify.FAILURE and named:
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


# The fields for programs: RFC 3464 section 2.


def _status(news: Report) -> _Part:
    utf8 = any(_needs_utf8(result.recipient) for result in news.results)
    message = [
        ("Original-Envelope-Id", news.original.envelope.envid or ""),
        ("Reporting-MTA", f"dns; {news.stamp.name}"),
        ("Arrival-Date", mail_date(news.original.created)),
        ("X-Smtprelay-Queue-Id", news.original.id),
    ]
    groups = [message, *(_about(news, result) for result in news.results)]
    content = "\r\n".join(_group(group, utf8=utf8) for group in groups)
    return _Part("message/global-delivery-status" if utf8 else "message/delivery-status", content.encode())


def _needs_utf8(recipient: Recipient) -> bool:
    return recipient.address.needs_utf8 or not (recipient.original or "").isascii()


def _group(fields: Sequence[tuple[str, str]], *, utf8: bool) -> str:
    """Return the fields that have a value, folded and safe, each line with its CRLF."""
    lines: list[str] = []
    for name, value in fields:
        text = clean(value, utf8=utf8)
        lines += wrapped(text, f"{name}:", " ") if text else []
    return "".join(f"{line}\r\n" for line in lines)


def _about(news: Report, result: ReportedRecipient) -> list[tuple[str, str]]:
    """Return the fields of one recipient."""
    recipient, outcome = result.recipient, result.outcome
    original = recipient.original or ""
    return [
        ("Original-Recipient", original if ";" in original else ""),
        ("Final-Recipient", f"{'utf-8' if recipient.address.needs_utf8 else 'rfc822'}; {recipient.address}"),
        ("Action", _action(news.event, outcome)),
        ("Status", _valid_status(news.event, outcome)),
        ("Remote-MTA", _remote(outcome.host)),
        ("Diagnostic-Code", _diagnostic(outcome)),
        ("Last-Attempt-Date", mail_date(news.stamp.now)),
        ("Will-Retry-Until", mail_date(news.until) if news.event is Notify.DELAY and news.until is not None else ""),
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
    """Return the mta-name of a route's label: its host, or the address in brackets when it has no other name."""
    name = host.partition("[")[0]
    if ":" in name:
        name = f"[IPv6:{name}]"
    elif _IPV4.fullmatch(name):
        name = f"[{name}]"
    return f"dns; {name}" if name else ""


def _diagnostic(outcome: Outcome) -> str:
    """Return a reply as `smtp; 550 ...`; what we found ourselves must not look like one (RFC 3464 section 2.3.6)."""
    if not outcome.text:
        return ""
    return f"{'smtp' if is_reply(outcome) else 'x-smtprelay'}; {outcome.text}"


# The message, or its header.


def _header(body: Body) -> bytes:
    """Return the header block, cut after a whole line where it is too large."""
    content = head(body, MAX_RETURNED_HEADER)
    block = content[: header_end(content, ended=True)]
    return block[: block.rfind(b"\n") + 1]


def _whole(news: Report, header: bytes) -> _Part | None:
    """Return the whole message: only with a failure (RFC 3461 section 4.3), and when neither it nor a line is huge."""
    if news.original.body is _UNREADABLE:
        return None
    ret = news.original.envelope.ret
    limit = WHOLE_WHEN_ASKED if ret is Ret.FULL else WHOLE_BY_DEFAULT
    if news.event is not Notify.FAILURE or ret is Ret.HEADERS or news.original.body.size > limit:
        return None
    content = head(news.original.body, limit)
    if has_line_beyond(content, _MAX_LINE + 1):
        return None
    returned = _return_path(news) + header
    kind = "message/global" if _is_international(news, returned) else "message/rfc822"
    return _Part(kind, _return_path(news) + content)


def _header_only(news: Report, header: bytes) -> _Part:
    returned = _return_path(news) + b"\r\n".join(line[:_MAX_LINE] for line in header.split(b"\r\n"))
    kind = "message/global-headers" if _is_international(news, returned) else "text/rfc822-headers"
    return _Part(kind, returned)


def _is_international(news: Report, header: bytes) -> bool:
    """Whether the header is UTF-8 by right (RFC 6532); without SMTPUTF8 such octets are an old client's, and travel."""
    return news.original.envelope.smtputf8 and not header.isascii()


def _return_path(news: Report) -> bytes:
    return f"Return-Path: <{news.original.envelope.sender}>\r\n".encode()
