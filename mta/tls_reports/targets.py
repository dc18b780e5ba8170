"""Looks up whether a domain wants reports on TLS, and where."""

from mta.dns.answers import Found, LookupFailed, Resolver
from mta.tls_reports.record import ReportTargets, record_name, report_targets


async def wanted_targets(resolver: Resolver, domain: str) -> ReportTargets | LookupFailed | None:
    """Return the targets of a domain, None if it wants no report, or why the look-up failed."""
    name = record_name(domain)
    answer = await resolver.txt(name) if name else None
    if isinstance(answer, LookupFailed):
        return answer
    return report_targets(answer.records) if isinstance(answer, Found) else None
