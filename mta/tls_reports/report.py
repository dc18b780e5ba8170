"""A report on TLS for one domain and one day, as the JSON of RFC 8460 section 4.4, and its names."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mta.message.dates import short_timestamp
from mta.smtp.address import Address
from mta.tls_reports.day_file import DAY
from mta.tls_reports.tally import CountedPolicy, FailedSession, PolicyCounts

#: The media type of a report (RFC 8460 section 6.4).
MEDIA_TYPE = "application/tlsrpt+gzip"


@dataclass(frozen=True, slots=True)
class TlsReport:
    """A report, and the facts by which its mail and its file are named."""

    #: The domain that it is about.
    domain: str
    #: The sender of the report, whose domain names the organization.
    contact: Address
    #: The first second of its day, since 1970.
    begin: int
    #: Tells the reports of several relays of an organization apart.
    relay: str
    counts: Mapping[CountedPolicy, PolicyCounts]

    @property
    def submitter(self) -> str:
        """The domain of the organization that sends it."""
        return self.contact.domain

    @property
    def id(self) -> str:
        """The id of the report, the same whenever it is made."""
        return f"{short_timestamp(self.begin)[:10]}.{self.domain}.{self.relay}@{self.submitter}"

    @property
    def file_name(self) -> str:
        """The name of its file (RFC 8460 section 5.1)."""
        return f"{self.submitter}!{self.domain}!{self.begin}!{self.begin + DAY - 1}.json.gz"

    @property
    def good(self) -> int:
        """How many sessions succeeded."""
        return sum(counts.good for counts in self.counts.values())

    @property
    def failed(self) -> int:
        """How many sessions failed."""
        return sum(counts.failed for counts in self.counts.values())

    def octets(self) -> bytes:
        """Return its JSON, compressed."""
        text = json.dumps(self._object(), ensure_ascii=True, separators=(",", ":"))
        return gzip.compress(text.encode("ascii"), mtime=0)

    def _object(self) -> dict[str, Any]:
        end = self.begin + DAY - 1
        return {
            "organization-name": self.submitter,
            "date-range": {"start-datetime": short_timestamp(self.begin), "end-datetime": short_timestamp(end)},
            "contact-info": str(self.contact),
            "report-id": self.id,
            "policies": [_policy(self.domain, policy, counts) for policy, counts in self.counts.items()],
        }


def _policy(domain: str, policy: CountedPolicy, counts: PolicyCounts) -> dict[str, Any]:
    described: dict[str, Any] = {"policy-type": policy.type.value, "policy-domain": domain}
    if policy.lines:
        described["policy-string"] = list(policy.lines)
    if policy.hosts:
        described["mx-host"] = list(policy.hosts)
    summary = {"total-successful-session-count": counts.good, "total-failure-session-count": counts.failed}
    result: dict[str, Any] = {"policy": described, "summary": summary}
    if counts.failures:
        result["failure-details"] = [dict(_failure(each, number)) for each, number in counts.failures.items()]
    return result


def _failure(failure: FailedSession, number: int) -> Iterator[tuple[str, Any]]:
    yield "result-type", failure.result
    for name, text in (
        ("sending-mta-ip", failure.own_address),
        ("receiving-mx-hostname", failure.host),
        ("receiving-ip", failure.address),
    ):
        if text:
            yield name, text
    yield "failed-session-count", number
    if failure.text:
        yield "failure-reason-code", failure.text
