"""Decides the proof that each MX host must give: by TLS_POLICY, DANE, MTA-STS, and the default, in this order.

    demand = host_demand(host, finding, domain_facts, terms)

A host with TLSA records proves itself by them, and MTA-STS still says which hosts may get mail (RFC 8461 section 2).
For a message with REQUIRETLS, DNSSEC or MTA-STS must prove that a host is an MX host of the domain (`proven_mx`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mta.dns.answers import DANE_TA
from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.demands.dane import TlsaFinding, TlsaState
from mta.routing.demands.of_message import STATUS
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.demands.tls_policy import TlsLevel, TlsPolicy, TlsPolicyEntry
from mta.routing.route import TlsRule
from mta.sts.policy import StsMode, StsPolicy

_SHOWN_HOSTS = 3


@dataclass(frozen=True, slots=True)
class DemandTerms:
    """The operator's settings on demands, and the TLS of direct delivery where nobody demands more."""

    tls_policy: TlsPolicy = field(default_factory=TlsPolicy)
    #: Whether policies of MTA-STS in mode enforce are enforced; otherwise they count as if in mode testing.
    enforce_sts: bool = True
    tls: TlsRule = TlsRule.OPPORTUNISTIC


@dataclass(frozen=True, slots=True)
class PublishedDemands:
    """What a recipient's domain publishes, besides the records of its hosts."""

    domain: str
    #: Its policy of MTA-STS; None if there is none.
    policy: StsPolicy | None = None
    #: Whether DNSSEC proves its MX records.
    mx_secure: bool = False

    def enforces(self, terms: DemandTerms) -> bool:
        """Whether MTA-STS decides about hosts, and not only tells of them."""
        return terms.enforce_sts and self.policy is not None and self.policy.mode is StsMode.ENFORCE

    def names(self, host: str) -> bool:
        """Whether there is a policy of MTA-STS, enforced or in testing, that names a host."""
        return self.policy is not None and self.policy.mode is not StsMode.NONE and self.policy.allows(host)

    def allows(self, host: str) -> bool:
        """Whether the policy of MTA-STS names a host. Without a policy every host is allowed."""
        return self.policy is None or self.policy.allows(host)


@dataclass(frozen=True, slots=True)
class HostDemand:
    """The TLS and the proof that one host must give, and the reason in words."""

    host: str
    tls: TlsRule
    proof: Proof | None
    #: Where the demand comes from.
    why: str
    #: Why the host must not get mail now; "" if it may.
    left_out: str = ""
    #: The host's TLSA records; None if they were not asked for.
    finding: TlsaFinding | None = None
    #: The entry of TLS_POLICY that decides.
    entry: TlsPolicyEntry | None = None


def host_demand(host: str, finding: TlsaFinding | None, published: PublishedDemands, terms: DemandTerms) -> HostDemand:
    """Return the demand on a host; `finding` is None if DANE is off."""
    entry = terms.tls_policy.entry(published.domain)
    if entry is not None and entry.level is not TlsLevel.DANE:
        return HostDemand(host, entry.level.rule, None, _words(entry), finding=finding, entry=entry)
    if entry is not None:
        return _by_dane_alone(host, finding, published, terms, entry)
    if published.enforces(terms) and not published.allows(host):
        words = f"the MTA-STS policy of {published.domain}"
        return HostDemand(host, terms.tls, None, words, f"{words} does not name it", finding)
    if finding is not None and finding.state is TlsaState.FAILED:
        return HostDemand(host, terms.tls, None, "DANE", finding.reason, finding)
    if finding is not None and finding.state is TlsaState.USABLE:
        return HostDemand(host, terms.tls, _dane_proof(host, finding, published), "DANE", finding=finding)
    if published.enforces(terms):
        proof = Proof(ProofSource.STS, published.domain, (host,))
        return HostDemand(host, terms.tls, proof, f"the MTA-STS policy of {published.domain}", finding=finding)
    return _by_default(host, finding, published, terms)


def _by_default(host: str, finding: TlsaFinding | None, published: PublishedDemands, terms: DemandTerms) -> HostDemand:
    """Return the demand on a host of which its domain demands no proof: TLS at most."""
    default = terms.tls_policy.default
    level = default.level if default else None
    if default and level is TlsLevel.DANE:
        return _by_dane_alone(host, finding, published, terms, default)
    if finding is not None and finding.state is TlsaState.UNUSABLE and level is not TlsLevel.VERIFY:
        proof = Proof(ProofSource.DANE, published.domain)
        return HostDemand(host, terms.tls, proof, "DANE", finding=finding)
    tls, why = (level.rule, _words(default)) if default and level else (terms.tls, "direct delivery")
    if not published.names(host) or tls is TlsRule.NONE:
        return HostDemand(host, tls, None, why, finding=finding, entry=default)
    told = Proof(ProofSource.STS, published.domain, (host,), enforced=False)
    why = f"{why}; the MTA-STS policy of {published.domain} is only tested"
    return HostDemand(host, tls, told, why, finding=finding, entry=default)


def _by_dane_alone(
    host: str, finding: TlsaFinding | None, published: PublishedDemands, terms: DemandTerms, entry: TlsPolicyEntry
) -> HostDemand:
    """Return the demand on a host that must prove itself by TLSA records, because the operator says so."""
    words = _words(entry)
    if finding is not None and finding.state is TlsaState.USABLE:
        proof = _dane_proof(host, finding, published)
        return HostDemand(host, terms.tls, proof, words, finding=finding, entry=entry)
    found = "DANE is off" if finding is None else finding.words
    return HostDemand(host, terms.tls, None, words, f"{found}, and {words}", finding, entry)


def _words(entry: TlsPolicyEntry) -> str:
    return f"TLS_POLICY has {entry}"


def _dane_proof(host: str, finding: TlsaFinding, published: PublishedDemands) -> Proof:
    names: tuple[str, ...] = ()
    if any(record.usage == DANE_TA for record in finding.records):
        # Only proven MX records say that the host may have a certificate of the domain (RFC 7672 section 3.2.2).
        proven = (published.domain,) if published.mx_secure else ()
        names = tuple(dict.fromkeys((finding.base, *proven)))
    server_name = "" if finding.base == host else finding.base
    return Proof(ProofSource.DANE, published.domain, names, finding.records, server_name)


def no_host_left(domain: str, demands: Sequence[HostDemand]) -> TryLater:
    """Return why the mail for a domain waits whose hosts are all left out."""
    failed = all(demand.finding and demand.finding.state is TlsaState.FAILED for demand in demands)
    kind = ErrorKind.DNS if failed else ErrorKind.TLS
    text = f"no MX host of {domain} may get mail now: {_left_out(demands)}; mail stays queued. {lifted_by(domain)}"
    return TryLater(text, status="4.7.5", kind=kind)


def proven_mx(demand: HostDemand, published: PublishedDemands) -> HostDemand:
    """Return the demand of a message with REQUIRETLS on an MX host; `demand` is that of its domain.

    DNSSEC, or a policy of MTA-STS that is enforced or in testing, must prove that it is an MX host of the domain.
    """
    if demand.left_out:
        return demand
    if not (published.mx_secure or published.names(demand.host)):
        return replace(demand, left_out=_not_proven(published))
    proof = demand.proof
    if proof is not None and proof.enforced and (proof.names or proof.records):
        return demand
    return replace(demand, proof=Proof(ProofSource.REQUIRETLS, "", (demand.host,)), why="REQUIRETLS")


def _not_proven(published: PublishedDemands) -> str:
    return f"neither DNSSEC nor MTA-STS proves that it is an MX host of {published.domain}"


def no_proven_host(
    published: PublishedDemands, demands: Sequence[HostDemand], *, may_change: bool
) -> TryLater | Failed:
    """Return why a message with REQUIRETLS has no host. `may_change` says that DNSSEC may prove the hosts later."""
    text = f"the sender demands REQUIRETLS, and no MX host may get such mail: {_left_out(demands)}"
    if may_change or any(demand.left_out != _not_proven(published) for demand in demands):
        return TryLater(text, status=f"4.{STATUS}", kind=ErrorKind.TLS)
    return Failed(text, status=f"5.{STATUS}")


def _left_out(demands: Sequence[HostDemand]) -> str:
    """Return the reasons for which hosts are left out, those of the first ones."""
    reasons = [f"{demand.host}: {demand.left_out}" for demand in demands[:_SHOWN_HOSTS]]
    if len(demands) > _SHOWN_HOSTS:
        reasons.append(f"and {len(demands) - _SHOWN_HOSTS} more")
    return "; ".join(reasons)


def lifted_by(domain: str) -> str:
    """Return the setting that sends mail for a domain whatever it publishes."""
    return f"TLS_POLICY={domain}=opportunistic would send it all the same"


def weakened(published: PublishedDemands, findings: Sequence[TlsaFinding], terms: DemandTerms) -> str:
    """Return the standards by which a domain demands a proof that TLS_POLICY lifts; "" if there are none."""
    dane = any(finding.state in (TlsaState.USABLE, TlsaState.UNUSABLE) for finding in findings)
    return " and ".join(["MTA-STS"] * published.enforces(terms) + ["DANE"] * dane)
