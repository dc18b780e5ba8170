"""The mail that carries a report on TLS (RFC 8460 sections 5.3 and 5.5)."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from textwrap import wrap

from mta.message.dates import mail_date, short_timestamp
from mta.message.envelope import Envelope, Notify, Origin, Recipient, TlsDemand
from mta.smtp.address import Address
from mta.tls_reports.report import MEDIA_TYPE, TlsReport

_BOUNDARY = "=_tls-report"


def report_mail(report: TlsReport, to: Sequence[Address], *, name: str, now: float) -> tuple[Envelope, bytes]:
    """Return the envelope and the content of the mail to these addresses; `name` is the host name of the relay.

    A server whose TLS is broken must be able to learn it, so the mail asks for no proof (`TLS-Required: No`, RFC 8689).
    Its failure is not reported.
    """
    envelope = Envelope(
        sender=report.contact,
        recipients=tuple(Recipient(address, Notify.NEVER) for address in to),
        origin=Origin.of_relay(name),
        smtputf8=any(address.needs_utf8 for address in (report.contact, *to)),
        tls_demand=TlsDemand.OPTIONAL,
    )
    return envelope, "".join(f"{line}\r\n" for line in _lines(report, to, now)).encode()


def _lines(report: TlsReport, to: Sequence[Address], now: float) -> Iterator[str]:
    day = short_timestamp(report.begin)[:10]
    yield f"From: <{report.contact}>"
    yield f"To: {', '.join(f'<{address}>' for address in to)}"
    yield f"Subject: Report Domain: {report.domain} Submitter: {report.submitter}"
    yield f" Report-ID: <{report.id}>"
    yield f"Date: {mail_date(now)}"
    yield f"Message-ID: <{report.id}>"
    yield f"TLS-Report-Domain: {report.domain}"
    yield f"TLS-Report-Submitter: {report.submitter}"
    yield "TLS-Required: No"
    yield "Auto-Submitted: auto-generated"
    yield "MIME-Version: 1.0"
    yield f'Content-Type: multipart/report; report-type="tlsrpt"; boundary="{_BOUNDARY}"'
    yield ""
    yield f"--{_BOUNDARY}"
    yield "Content-Type: text/plain; charset=us-ascii"
    yield ""
    yield f"The TLS sessions of {report.submitter} with the mail hosts of {report.domain}"
    yield f"on {day} (UTC): {report.good} succeeded, and {report.failed} failed."
    yield "The report is attached (RFC 8460)."
    yield ""
    yield f"--{_BOUNDARY}"
    yield f"Content-Type: {MEDIA_TYPE}"
    yield "Content-Transfer-Encoding: base64"
    yield "Content-Disposition: attachment;"
    yield f' filename="{report.file_name}"'
    yield ""
    yield from wrap(b64encode(report.octets()).decode("ascii"), 76)
    yield f"--{_BOUNDARY}--"
