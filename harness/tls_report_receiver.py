"""A strict receiver of TLS reports (RFC 8460) for tests, which shares no code with the relay: by HTTPS and by mail.

A report that breaks a rule of the RFC raises ReportError, and over HTTPS is refused and recorded as a fault.
"""

import email
import email.policy
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import jsonschema

from harness.web_server import WebAnswer, WebRequest, WebServer

_GZIP, _JSON = "application/tlsrpt+gzip", "application/tlsrpt+json"
# RFC 8460 section 5.1: sender, domain, begin and end of the time, and perhaps an id.
_FILE_NAME = re.compile(r"(?P<submitter>[^!]+)!(?P<domain>[^!]+)!(?P<begin>\d+)!(?P<end>\d+)(![^!]+)?\.json(\.gz)?")
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string", "minLength": 1}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


#: The results of RFC 8460 section 4.3.
RESULT_TYPES = (
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
)
_FAILURE = _object(
    {"result-type": {"enum": list(RESULT_TYPES)}, "failed-session-count": {"type": "integer", "minimum": 1}},
    {
        "sending-mta-ip": _TEXT,
        "receiving-mx-hostname": _TEXT,
        "receiving-mx-helo": _TEXT,
        "receiving-ip": _TEXT,
        "additional-information": {"type": "string"},
        "failure-reason-code": {"type": "string"},
    },
)
_POLICY = _object(
    {
        "policy": _object(
            {"policy-type": {"enum": ["tlsa", "sts", "no-policy-found"]}, "policy-domain": _TEXT},
            {"policy-string": {"type": "array", "items": _TEXT}, "mx-host": {"type": "array", "items": _TEXT}},
        ),
        "summary": _object({"total-successful-session-count": _COUNT, "total-failure-session-count": _COUNT}),
    },
    {"failure-details": {"type": "array", "items": _FAILURE}},
)
#: The form of a report (RFC 8460 section 4.4).
SCHEMA = _object(
    {
        "organization-name": _TEXT,
        "date-range": _object({"start-datetime": _TIME, "end-datetime": _TIME}),
        "contact-info": _TEXT,
        "report-id": _TEXT,
        "policies": {"type": "array", "minItems": 1, "items": _POLICY},
    }
)


class ReportError(Exception):
    """A report that breaks a rule of RFC 8460; the message says which."""


@dataclass(frozen=True)
class TlsReport:
    """One report as it came."""

    content: Mapping[str, Any]
    #: The domain that it is about, and the organization that sends it, as the mail or the file name tells.
    domain: str
    submitter: str = ""

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """The numbers of good and failed sessions by the type of policy."""
        return {
            each["policy"]["policy-type"]: (
                each["summary"]["total-successful-session-count"],
                each["summary"]["total-failure-session-count"],
            )
            for each in self.content["policies"]
        }

    @property
    def failures(self) -> dict[str, int]:
        """The numbers of failed sessions by result."""
        found: dict[str, int] = {}
        for each in self.content["policies"]:
            for detail in each.get("failure-details", ()):
                found[detail["result-type"]] = found.get(detail["result-type"], 0) + detail["failed-session-count"]
        return found


def report_of(kind: str, octets: bytes) -> dict[str, Any]:
    """Return the report in a body of this media type, with or without gzip. Raises ReportError."""
    if kind not in {_GZIP, _JSON}:
        raise ReportError(f"the media type is {kind}")
    try:
        content = json.loads(gzip.decompress(octets) if kind == _GZIP else octets)
        jsonschema.validate(content, SCHEMA)
    except (OSError, EOFError, ValueError, jsonschema.ValidationError) as error:
        raise ReportError(str(error)) from error
    for each in content["policies"]:
        details = sum(detail["failed-session-count"] for detail in each.get("failure-details", ()))
        if details != each["summary"]["total-failure-session-count"]:
            raise ReportError("the failures are not as many as their details")
    return dict(content)


def report_in_mail(octets: bytes) -> TlsReport:
    """Return the report in a message (RFC 8460 section 5.3). Raises ReportError."""
    message = email.message_from_bytes(octets, policy=email.policy.SMTP)
    domain, submitter = str(message["TLS-Report-Domain"]), str(message["TLS-Report-Submitter"])
    kind = message.get_content_type(), message.get_param("report-type")
    if kind != ("multipart/report", "tlsrpt"):
        raise ReportError(f"the message is {kind}")
    parts = [part for part in message.iter_parts() if isinstance(part, EmailMessage)]
    if len(parts) != 2 or parts[0].get_content_type() != "text/plain":
        raise ReportError("the message has not just a text for people and the report")
    named = _FILE_NAME.fullmatch(parts[1].get_filename() or "")
    if named is None or (named["submitter"], named["domain"]) != (submitter, domain):
        raise ReportError(f"the file name is {parts[1].get_filename()}")
    body = parts[1].get_content()
    content = report_of(parts[1].get_content_type(), body if isinstance(body, bytes) else b"")
    subject = rf"Report Domain: {re.escape(domain)} Submitter: {re.escape(submitter)} Report-ID: <[^<>@ ]+@[^<>@ ]+>"
    if not re.fullmatch(subject, str(message["Subject"])):
        raise ReportError(f"the subject is {message['Subject']}")
    return TlsReport(content, domain, submitter)


class ReportReceiver(WebServer):
    """A web server that takes reports by POST (RFC 8460 section 5.4). `reports` and `faults` may be read any time."""

    def __post_init__(self) -> None:
        """Begin without reports."""
        super().__post_init__()
        self.reports: list[TlsReport] = []
        self.faults: list[str] = []

    def own_answer(self, request: WebRequest) -> WebAnswer:
        """Take a report."""
        try:
            if request.method != "POST":
                raise ReportError(f"the method is {request.method}")
            content = report_of(request.headers.get("Content-Type", ""), request.body)
        except ReportError as error:
            self.faults.append(str(error))
            return WebAnswer(400)
        self.reports.append(TlsReport(content, content["policies"][0]["policy"]["policy-domain"]))
        return WebAnswer(201)
