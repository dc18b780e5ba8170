"""The records by which a domain demands proof of its MX hosts and wants reports: MTA-STS, TLSA, TLS-RPT.

For a domain of recipients the findings tell what happens to mail for it. For a domain of the operator they tell whether
other servers can send to it, and print the records that mend a fault.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mta.doctor.findings import Finding, failure, ok, skipped, warning
from mta.doctor.lookups import zone_line
from mta.routing.demands.dane import TlsaFinding, TlsaState
from mta.sts.policy import StsMode, StsPolicy

_DAY = 86_400
_SHOWN = 3
_OWNER = "the owner of the domain must correct it"


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """The relay's certificate, judged as another server would if the relay is the MX host; "" where it is good."""

    #: Why it does not meet a policy of MTA-STS.
    sts_fault: str = ""
    #: Why it matches no TLSA record of the host.
    tlsa_fault: str = ""
    #: The TLSA record of its key, as a line of a zone file.
    tlsa_record: str = ""


@dataclass(frozen=True, slots=True)
class PublishedHost:
    """An MX host."""

    name: str
    #: None if DANE is off.
    tlsa: TlsaFinding | None = None
    #: Given if the host is the relay.
    certificate: OwnCertificate | None = None


@dataclass(frozen=True, slots=True)
class PublishedRecords:
    """The records of a domain and its MX hosts."""

    domain: str
    #: By preference.
    hosts: tuple[PublishedHost, ...] = ()
    #: Whether there is a record of MTA-STS, also a malformed one.
    announced: bool = False
    #: Why there is no policy although it is announced, or "".
    fault: str = ""
    policy: StsPolicy | None = None
    #: The addresses for TLS reports.
    reports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Followed:
    """The settings because of which the relay does not follow a standard; "" if it does."""

    sts: str = ""
    dane: str = ""


def check_destination(found: PublishedRecords, followed: Followed) -> Iterator[Finding]:
    """Yield findings about a domain of recipients."""
    yield _sts_of_destination(found, followed)
    yield from _dane_of_destination(found, followed)
    check = "destination/tls-reports"
    if found.reports:
        yield ok(check, f"{found.domain} wants TLS reports at {_few(found.reports)}")
    else:
        yield skipped(check, f"{found.domain} wants no TLS reports")


def _sts_of_destination(found: PublishedRecords, followed: Followed) -> Finding:
    check, domain, policy = "destination/mta-sts", found.domain, found.policy
    if not found.announced:
        return skipped(check, f"{domain} has no policy of MTA-STS")
    if policy is None:
        seen = f"{domain} announces a policy that cannot be had: {found.fault}; mail goes as without a policy"
        return warning(check, seen, f"{_OWNER}; if it works elsewhere, allow connections to port 443")
    if policy.mode is StsMode.NONE:
        return ok(check, f"{domain} has ended its policy of MTA-STS")
    words = f"{domain} demands verified TLS ({_mode(policy)})"
    if followed.sts:
        return skipped(check, f"{words}, and {followed.sts} does not follow it")
    named, others = _by_policy(found, policy)
    if others and policy.mode is StsMode.ENFORCE:
        seen = f"{words}, and its policy does not name its MX hosts {_few(others)}, which get no mail"
        remedy = f"{_OWNER}; TLS_POLICY={domain}=opportunistic would send it all the same"
        return (warning if named else failure)(check, seen, remedy)
    if others:
        return ok(check, f"{words}, and its policy does not name its MX hosts {_few(others)}")
    return ok(check, f"{words}, and its policy names its MX hosts")


def _dane_of_destination(found: PublishedRecords, followed: Followed) -> Iterator[Finding]:
    check, domain = "destination/dane", found.domain
    asked = [(host.name, host.tlsa) for host in found.hosts if host.tlsa is not None]
    failed = [name for name, tlsa in asked if tlsa.state is TlsaState.FAILED]
    told = False
    for name, tlsa in asked:
        if tlsa.state is TlsaState.USABLE:
            yield ok(check, f"{name} has {_records(len(tlsa.records))} that DNSSEC proves")
        elif tlsa.state is TlsaState.UNUSABLE:
            yield warning(check, f"{name} has only TLSA records that SMTP cannot use: TLS is demanded", _OWNER)
        elif tlsa.state is TlsaState.FAILED:
            level = failure if len(failed) == len(asked) else warning
            remedy = f"{_OWNER}; TLS_POLICY={domain}=opportunistic would send it all the same"
            yield level(check, f"{name} gets no mail: {tlsa.reason}", remedy)
        else:
            continue
        told = True
    if not told:
        reasons = [tlsa.words for _, tlsa in asked]
        yield skipped(check, f"{domain}: {followed.dane or (reasons[0] if reasons else 'no MX host')}")


def check_own_domain(found: PublishedRecords) -> Iterator[Finding]:
    """Yield findings about a domain of the operator."""
    yield _own_sts(found)
    yield from _own_dane(found)


def _own_sts(found: PublishedRecords) -> Finding:
    check, domain, policy = "domain/mta-sts", found.domain, found.policy
    if not found.announced:
        return skipped(check, f"{domain} has no MTA-STS policy")
    if policy is None:
        seen = f"{domain} announces an MTA-STS policy, and other servers cannot have it: {found.fault}"
        return failure(check, seen, "mend that, or remove the record of _mta-sts")
    if policy.mode is StsMode.NONE:
        return ok(check, f"{domain} has ended its MTA-STS policy")
    enforced = policy.mode is StsMode.ENFORCE
    level = failure if enforced else warning
    _, others = _by_policy(found, policy)
    if others:
        lines = ", ".join(f"`mx: {host}`" for host in others[:_SHOWN])
        effect = "get no mail by it" if enforced else "will get no mail once it is enforced"
        seen = f"the MTA-STS policy of {domain} does not name its MX hosts {_few(others)}, which {effect}"
        return level(check, seen, f"add {lines} to the policy, then change the id in the record")
    for host in found.hosts:
        if host.certificate is not None and host.certificate.sts_fault:
            seen = f"the MTA-STS policy of {domain} demands a good certificate of {host.name}, and the relay's is not:"
            return level(check, f"{seen} {host.certificate.sts_fault}", "renew it, or name another in CERTIFICATE_PATH")
    if policy.max_age < _DAY:
        seen = f"the MTA-STS policy of {domain} ends after {policy.max_age} s, so that it hardly protects"
        return warning(check, seen, "set max_age to a week or more, 604800, then change the id in the record")
    if not found.reports:
        line = zone_line(f"_smtp._tls.{domain}", f"v=TLSRPTv1; rua=mailto:postmaster@{domain}")
        seen = f"{domain} has an MTA-STS policy and no TLS-RPT, so that faults go unseen"
        return warning(check, seen, "add it", line)
    return ok(check, f"{domain} has MTA-STS ({_mode(policy)}) and TLS-RPT")


def _own_dane(found: PublishedRecords) -> Iterator[Finding]:
    check = "domain/dane"
    told = False
    for host in found.hosts:
        tlsa, own = host.tlsa, host.certificate
        if tlsa is None or tlsa.state in (TlsaState.ABSENT, TlsaState.INSECURE):
            continue
        told = True
        if tlsa.state is TlsaState.FAILED:
            seen = f"{host.name} gets no mail of servers that follow DANE: {tlsa.reason}"
            yield failure(check, seen, "mend the signatures or the name servers of its zone")
        elif tlsa.state is TlsaState.UNUSABLE:
            lines = (own.tlsa_record,) if own is not None and own.tlsa_record else ()
            seen = f"{host.name} has only TLSA records that SMTP cannot use"
            yield warning(check, seen, "publish one with usage 3, selector 1 and type 1", *lines)
        elif own is not None and own.tlsa_fault:
            lines = (own.tlsa_record,) if own.tlsa_record else ()
            seen = f"{host.name} gets no mail of servers that follow DANE: {own.tlsa_fault}"
            yield failure(check, seen, "publish the record of the present key", *lines)
        else:
            matching = ", and the relay's certificate matches" if own is not None else ""
            yield ok(check, f"{host.name} has {_records(len(tlsa.records))} that DNSSEC proves{matching}")
    if not told:
        yield skipped(check, f"{found.domain} has no MX host with TLSA records that DNSSEC proves")


def _by_policy(found: PublishedRecords, policy: StsPolicy) -> tuple[list[str], list[str]]:
    """Return the MX hosts that a policy names, and the others."""
    named = [host.name for host in found.hosts if policy.allows(host.name)]
    return named, [host.name for host in found.hosts if host.name not in named]


def _mode(policy: StsPolicy) -> str:
    days = policy.max_age // _DAY
    return f"{policy.mode.value}, {days} {'day' if days == 1 else 'days'}" if days else policy.mode.value


def _records(count: int) -> str:
    return "a TLSA record" if count == 1 else f"{count} TLSA records"


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
