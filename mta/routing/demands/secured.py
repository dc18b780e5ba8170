"""Routing to MX hosts with the proof that each host must give: by TLS_POLICY, DANE and MTA-STS.

routing = SecuredRouting(direct, resolver, terms, dane=dane, policies=policies, ...)
decision = await routing.resolve("example.org")
secured = await routing.explain("example.org")     # the same, with the demand on each host and its reason
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults

from mta.dns.answers import LookupFailed, MxAnswer, Resolver
from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.demands.dane import Dane, MxFinding, TlsaFinding, TlsaState
from mta.routing.demands.deciding import (
    DemandTerms,
    HostDemand,
    PublishedDemands,
    host_demand,
    lifted_by,
    no_host_left,
    no_proven_host,
    proven_mx,
    weakened,
)
from mta.routing.demands.notices import DailyNotices
from mta.routing.demands.tls_policy import TlsLevel, TlsPolicyEntry
from mta.routing.destination_names import demanded_destination
from mta.routing.direct import DirectRouting, mx_records
from mta.routing.route import Plan, Route
from mta.routing.rules import Decision
from mta.smtp.parameters import TlsDemand
from mta.sts.interface import PolicySource
from mta.sts.policy import StsPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SecuredDecision:
    """A routing with the demands that it was made by: those of all its hosts, also of hosts that were left out."""

    decision: Decision
    published: PublishedDemands
    entry: TlsPolicyEntry | None = None
    hosts: tuple[HostDemand, ...] = ()


class SecuredRouting:
    """Finds the MX hosts of a domain and the proof that each must give; resolves as DirectRouting does."""

    def __init__(
        self,
        direct: DirectRouting,
        resolver: Resolver,
        terms: DemandTerms,
        *,
        dane: Dane | None,
        policies: PolicySource | None,
        seconds: Callable[[], float],
        notice: Callable[[str], object] = lambda _: None,
        unproven: Callable[[str, str, str], object] = lambda *_: None,
    ) -> None:
        """Prepare; `dane` and `policies` are None if DANE and MTA-STS are off. `seconds` is a monotonic clock.

        `notice` takes a line for the operator if TLS_POLICY weakens the policy of a domain, and if a host may get mail
        although a policy that is only tested does not name it. `unproven` takes a domain, a host, and the reason why
        that gets no mail now: the answers about its TLSA records are forged, or none came. The host is "" if that is so
        of the MX records.
        """
        self._direct = direct
        self._resolver = resolver
        self._terms = terms
        self._dane = dane
        self._policies = policies
        self._notice = notice
        self._unproven = unproven
        self._seconds = seconds
        self._weaker, self._unnamed = DailyNotices(), DailyNotices()

    async def resolve(self, domain: str, demand: TlsDemand | None = None) -> Decision:
        """Return the routing of mail for this domain or address literal, and the proofs of its hosts."""
        return (await self.explain(domain, demand)).decision

    async def explain(self, domain: str, demand: TlsDemand | None = None) -> SecuredDecision:
        """Return the same with the demands that decided."""
        if domain.startswith("["):
            return SecuredDecision(await self._direct.resolve(domain, demand), PublishedDemands(domain))
        domain = domain.lower()
        entry = self._terms.tls_policy.entry(domain)
        if demand is TlsDemand.REQUIRED:
            return await self._by_published(domain, entry, required=True)
        if demand is TlsDemand.OPTIONAL and entry is None:
            return await self._without_published(domain)
        if entry is None or entry.level is TlsLevel.DANE:
            return await self._by_published(domain, entry)
        decision = await self._direct.resolve(domain)
        published = PublishedDemands(domain)
        if isinstance(decision.routing, Plan) and self._weaker.due(domain, self._seconds()):
            Deferred.fromCoroutine(self._tell_if_weaker(domain, entry, decision.routing))
        return self._applied(decision, published, entry, {})

    async def _without_published(self, domain: str) -> SecuredDecision:
        """Return the routing of a message for which policies of domains do not count; those of the operator do."""
        default = self._terms.tls_policy.default
        if default is not None and default.level is TlsLevel.DANE:
            return await self._by_published(domain, default)
        decision = await self._direct.resolve(domain)
        if isinstance(decision.routing, Plan):
            # The mail of TLS reports goes this way, and its sessions are not reported.
            decision = replace(decision, routing=replace(decision.routing, domain=""))
        return self._applied(decision, PublishedDemands(domain), None, {})

    async def _by_published(
        self, domain: str, entry: TlsPolicyEntry | None, *, required: bool = False
    ) -> SecuredDecision:
        """Return the routing by what a domain publishes, of which its entry of TLS_POLICY leaves DANE alone.

        With `required` the message has REQUIRETLS, for which a policy also proves the hosts that it names.
        """
        answer, mx, policy = await self._look_up(domain, with_policy=entry is None or required)
        if mx.failure and not isinstance(answer, LookupFailed):
            self._unproven(domain, "", mx.failure)
            text = f"looking up the MX of {domain}: {mx.failure}; mail stays queued"
            # No setting lifts the demand of a sender.
            text = text if required else f"{text}. {lifted_by(domain)}"
            failed = TryLater(text, status="4.7.5", kind=ErrorKind.DNS)
            return SecuredDecision(Decision(failed, mx.ttl), PublishedDemands(domain, policy), entry)
        answer, dane = mx.answer or answer, self._dane
        published = PublishedDemands(domain, policy, mx_secure=mx.answer is not None)
        refused: Sequence[HostDemand] = ()
        allows = published.allows if entry is None and published.enforces(self._terms) else None
        if allows is not None and isinstance(records := mx_records(domain, answer), tuple):
            refused = self._demands([each.host for each in records if not allows(each.host)], published, {})
            if len(refused) == len(records):
                self._look_again(domain)
                failure = _no_host(published, refused, required=required, may_change=True)
                return SecuredDecision(Decision(failure, answer.ttl), published, entry, refused)
        decision = await self._direct.by_mx(domain, answer, allows, None if dane is None else dane.begin)
        decision = replace(decision, ttl=min(decision.ttl, mx.ttl))
        findings = await self._findings(decision.routing.routes) if isinstance(decision.routing, Plan) else {}
        secured = self._applied(decision, published, entry, findings, required=required)
        return replace(secured, hosts=(*secured.hosts, *refused))

    async def _look_up(self, domain: str, *, with_policy: bool) -> tuple[MxAnswer, MxFinding, StsPolicy | None]:
        """Return the MX records, what DNSSEC says of them, and the policy of MTA-STS, asked for at the same time."""
        answer = _begin(self._resolver.mx(domain))
        mx = None if self._dane is None else _begin(self._dane.mx(domain))
        policy = None if self._policies is None or not with_policy else _begin(self._policies.policy(domain))
        return (
            await answer,
            MxFinding(None, math.inf) if mx is None else await mx,
            None if policy is None else await policy,
        )

    async def _findings(self, routes: Sequence[Route]) -> Mapping[str, TlsaFinding]:
        """Return the TLSA records of all hosts of a plan."""
        dane = self._dane
        if dane is None or dane.off:
            return {}
        by_host: dict[str, list[Route]] = {}
        for route in routes:
            by_host.setdefault(route.host, []).append(route)
        asking = [
            _begin(dane.records(host, own[0].port, by_ipv6=all(":" in route.address for route in own)))
            for host, own in by_host.items()
        ]
        return dict(zip(by_host, await gatherResults(asking, consumeErrors=True), strict=True))

    def _demands(
        self, hosts: Sequence[str], published: PublishedDemands, findings: Mapping[str, TlsaFinding]
    ) -> tuple[HostDemand, ...]:
        return tuple(host_demand(host, findings.get(host), published, self._terms) for host in hosts)

    def _applied(
        self,
        decision: Decision,
        published: PublishedDemands,
        entry: TlsPolicyEntry | None,
        findings: Mapping[str, TlsaFinding],
        *,
        required: bool = False,
    ) -> SecuredDecision:
        """Return the decision with the demand on each of its routes, without the hosts that are left out."""
        plan = decision.routing
        if not isinstance(plan, Plan):
            return SecuredDecision(decision, published, entry)
        ttl = min([decision.ttl, *(finding.ttl for finding in findings.values())])
        demands = self._demands(list(dict.fromkeys(route.host for route in plan.routes)), published, findings)
        if required:
            demands = tuple(proven_mx(demand, published) for demand in demands)
        for demand in demands:
            if demand.left_out and demand.finding is not None and demand.finding.state is TlsaState.FAILED:
                self._unproven(published.domain, demand.host, demand.finding.reason)
        used = {demand.host: demand for demand in demands if not demand.left_out}
        if not used:
            dane_may_work = self._dane is not None and self._dane.off
            failure = _no_host(published, demands, required=required, may_change=dane_may_work)
            return SecuredDecision(Decision(failure, ttl), published, entry, demands)
        self._tell_unnamed(published, demands)
        routes = tuple(_demanded(route, used[route.host]) for route in plan.routes if route.host in used)
        name = demanded_destination(plan.destination, routes, self._terms.tls)
        return SecuredDecision(Decision(replace(plan, destination=name, routes=routes), ttl), published, entry, demands)

    def _look_again(self, domain: str) -> None:
        if self._policies is not None:
            self._policies.look_again(domain)

    def _tell_unnamed(self, published: PublishedDemands, demands: Sequence[HostDemand]) -> None:
        """Tell of hosts that get mail although the policy of the domain, which is only tested, does not name them."""
        unnamed = [demand.host for demand in demands if not demand.left_out and not published.allows(demand.host)]
        if unnamed and self._unnamed.due(published.domain, self._seconds()):
            self._notice(
                f"mail for {published.domain} may go to {', '.join(unnamed)}, which the MTA-STS policy of the domain"
                " does not name: the policy is only tested. Told once a day for each domain"
            )

    async def _tell_if_weaker(self, domain: str, entry: TlsPolicyEntry, plan: Plan) -> None:
        _, mx, policy = await self._look_up(domain, with_policy=True)
        findings = await self._findings(plan.routes)
        published = PublishedDemands(domain, policy, mx_secure=mx.answer is not None)
        by = weakened(published, tuple(findings.values()), self._terms)
        if by:
            self._notice(
                f"TLS_POLICY has {entry}, and {domain} demands more by {by}: its mail goes to hosts that need not prove"
                " themselves so. Told once a day for each domain"
            )


def _no_host(
    published: PublishedDemands, demands: Sequence[HostDemand], *, required: bool, may_change: bool
) -> Failed | TryLater:
    """Return why a message has no host; `required` and `may_change` are about one with REQUIRETLS."""
    if required:
        return no_proven_host(published, demands, may_change=may_change)
    return no_host_left(published.domain, demands)


def _demanded(route: Route, demand: HostDemand) -> Route:
    place = "" if demand.entry is None or demand.tls is route.tls else f"TLS_POLICY={demand.entry}"
    return replace(route, tls=demand.tls, proof=demand.proof, tls_place=place)


def _begin(awaitable: Awaitable[T]) -> Deferred[T]:
    return Deferred.fromCoroutine(_awaited(awaitable))


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
