"""The policies and failures of sessions in the form in which they are counted."""

from mta.dns.answers import TlsaRecord
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Route
from mta.smtp.address import printable
from mta.sts.policy import StsPolicy
from mta.tls_reports.tally import CountedPolicy, FailedSession, PolicyType, short_text

#: The result of RFC 8460 section 4.3 for a host that is left out before any session.
DNSSEC_INVALID = "dnssec-invalid"

_NO_POLICY = CountedPolicy(PolicyType.NONE)


def counted_policy(proof: Proof | None, sts: StsPolicy | None) -> CountedPolicy:
    """Return the policy under which a session was made, by the proof that its host had to give.

    `sts` is the policy at hand for the domain, None without one.
    """
    if proof is None or proof.source is ProofSource.REQUIRETLS:
        return _NO_POLICY
    if proof.source is ProofSource.DANE:
        return CountedPolicy(PolicyType.TLSA, tuple(map(_text, proof.records)))
    return CountedPolicy(PolicyType.STS) if sts is None else CountedPolicy(PolicyType.STS, sts.lines, sts.mx)


def failed_session(result: str, own_address: str, route: Route, text: str) -> FailedSession:
    """Return the facts about a session that failed with a result of RFC 8460 section 4.3."""
    return FailedSession(result, own_address, route.host, route.address, short_text(printable(text)))


def unproven_host(host: str, text: str) -> FailedSession:
    """Return the facts about a host that got no mail because DNSSEC did not prove the answers about it."""
    return FailedSession(DNSSEC_INVALID, host=host, text=short_text(printable(text)))


def _text(record: TlsaRecord) -> str:
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"
