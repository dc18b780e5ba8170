"""The routes of a smarthost: its hosts in the configured order, by address and never by MX."""

import random
from dataclasses import replace

from twisted.internet.defer import Deferred, gatherResults

from mta.dns.answers import AddressAnswer, Found, LookupFailed, Resolver
from mta.message.outcome import ErrorKind, TryLater
from mta.routing.destination_names import smarthost_destination
from mta.routing.hostpatterns import host_address, matches
from mta.routing.mx_order import fair_shares, interleave
from mta.routing.route import Plan, Route, Routing, Smarthost, TlsRule
from mta.routing.rules import Decision, RouterRules
from mta.smtp.parameters import TlsDemand

#: Ports where TLS begins with the first byte: 465 (RFC 8314 section 7.3) and Amazon's second one.
IMPLICIT_TLS_PORTS = frozenset({465, 2465})

# Seconds for which a host that is written as an address is valid.
_STATIC_TTL = 3600.0


class SmarthostRouting:
    """Finds the addresses of smarthosts. All failures are temporary, so that mail waits for the operator."""

    def __init__(self, rules: RouterRules, resolver: Resolver, rng: random.Random) -> None:
        self._rules = rules
        self._resolver = resolver
        self._rng = rng

    async def resolve(self, smarthost: Smarthost, demand: TlsDemand | None = None) -> Decision:
        """Return the plan for all mail that goes to this smarthost and has this demand on TLS."""
        decision = await self._resolve(smarthost)
        if demand is not TlsDemand.REQUIRED or not isinstance(decision.routing, Plan):
            return decision
        # Imported if needed, because few messages have it.
        from mta.routing.demands.of_message import proven_by_name  # noqa: PLC0415

        return replace(decision, routing=proven_by_name(decision.routing, smarthost.tls))

    async def _resolve(self, smarthost: Smarthost) -> Decision:
        hosts = smarthost.hosts
        asking = [Deferred.fromCoroutine(self._look_up(host)) for host, _ in hosts]
        answers = await gatherResults(asking, consumeErrors=True)
        found = [
            self._routes(smarthost, host, port, answer) for (host, port), answer in zip(hosts, answers, strict=True)
        ]
        routes = tuple(route for share in _limited(found, self._rules.max_addresses) for route in share)
        routing: Routing = _why_none(smarthost, answers)
        if routes:
            routing = Plan(smarthost_destination(smarthost), routes, smarthost=smarthost)
        if routes and smarthost.credentials is not None and not _has_login(smarthost, routes):
            routing = _no_login(smarthost, answers)
        return Decision(routing, min((answer.ttl for answer in answers), default=_STATIC_TTL))

    async def _look_up(self, host: str) -> AddressAnswer:
        address = host_address(host)
        if address:
            return Found((address,), _STATIC_TTL, address)
        return await self._resolver.addresses(host, ipv6=self._rules.ipv6, search=True)

    def _routes(self, smarthost: Smarthost, host: str, port: int, answer: AddressAnswer) -> list[Route]:
        if not isinstance(answer, Found):
            return []
        name = host_address(host) or host.rstrip(".")
        aliases = smarthost.aliases
        trusted = aliases is None or matches(aliases, name) or matches(aliases, answer.name)
        rule = smarthost.tls
        implicit = smarthost.implicit_tls
        if implicit is None:
            implicit = port in IMPLICIT_TLS_PORTS
        return [
            Route(
                name,
                address,
                port,
                rule,
                implicit_tls=implicit and rule is not TlsRule.NONE,
                credentials=smarthost.credentials if trusted else None,
                smarthost=smarthost,
            )
            for address in interleave(answer.records, self._rng)
            if not self._rules.listening.includes(address, port) and (self._rules.ipv6 or ":" not in address)
        ]


def _has_login(smarthost: Smarthost, routes: tuple[Route, ...]) -> bool:
    """Whether one of the hosts may be given the login, so that the others are meant to have none."""
    aliases = smarthost.aliases or ()
    named = any(matches(aliases, host_address(host) or host) for host, _ in smarthost.hosts)
    return named or any(route.credentials is not None for route in routes)


def _no_login(smarthost: Smarthost, answers: list[AddressAnswer]) -> TryLater:
    names = {host: None for host, _ in smarthost.hosts}
    names |= {answer.name: None for answer in answers if isinstance(answer, Found)}
    text = (
        f"SMARTHOST_ALIASES does not match {' or '.join(names)}, so no host may be given the login; mail stays"
        " queued. Name the host in SMARTHOST_ALIASES, or unset it"
    )
    return TryLater(text, status="4.7.0")


def _why_none(smarthost: Smarthost, answers: list[AddressAnswer]) -> TryLater:
    names = ", ".join(host for host, _ in smarthost.hosts)
    for answer in answers:
        if isinstance(answer, LookupFailed):
            return TryLater(
                f"looking up the smarthost {names} failed: {answer.reason}", status="4.4.3", kind=ErrorKind.DNS
            )
    if any(isinstance(answer, Found) for answer in answers):
        why = "this relay itself, or an IPv6 address while IPv6 is off"
        return TryLater(f"the smarthost {names} is {why}: check {smarthost.place}", status="4.4.6")
    return TryLater(
        f"the smarthost {names} has no address: check {smarthost.place}", status="4.4.4", kind=ErrorKind.DNS
    )


def _limited(found: list[list[Route]], total: int) -> list[list[Route]]:
    counts = fair_shares([[route.address for route in routes] for routes in found], total)
    return [routes[: len(share)] for routes, share in zip(found, counts, strict=True)]
