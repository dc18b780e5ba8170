"""Direct delivery: from a domain to the hosts that take its mail (RFC 5321 section 5.1, RFC 7505)."""

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from twisted.internet.defer import Deferred, gatherResults

from mta.dns.answers import (
    AddressAnswer,
    Found,
    LookupFailed,
    MxAnswer,
    MxRecord,
    NoData,
    NoSuchName,
    Resolver,
)
from mta.dns.message import MAX_EXCHANGERS
from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.destination_names import mx_destination
from mta.routing.mx_order import by_preference, fair_shares, interleave, preferred_to
from mta.routing.nat64 import Nat64
from mta.routing.route import Plan, Route, Routing
from mta.routing.rules import Decision, RouterRules
from mta.smtp.address import literal_ip
from mta.smtp.parameters import TlsDemand

#: MX hosts whose addresses are looked up at a time. The next ones follow if no address of these can be used.
PARALLEL_LOOKUPS = 10
#: Seconds for which a routing is valid that does not depend on the DNS.
STATIC_TTL = 3600.0


@dataclass(frozen=True, slots=True)
class _Host:
    record: MxRecord
    answer: AddressAnswer

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.answer.records if isinstance(self.answer, Found) else ()

    @property
    def failure(self) -> str:
        """Why not all addresses of the host are known; "" if the DNS gave a full answer."""
        match self.answer:
            case LookupFailed(reason=reason) | Found(incomplete=reason):
                return reason
        return ""

    @property
    def name(self) -> str:
        """The host's name after CNAMEs, which RFC 5321 section 5.1 forbids in an MX record but many domains have."""
        return self.answer.name if isinstance(self.answer, Found) else self.record.host


class MxRouting(Protocol):
    """Finds the MX hosts of domains."""

    def resolve(self, domain: str, demand: TlsDemand | None = None) -> Awaitable[Decision]:
        """Return the routing of mail for this domain or literal. Does not raise for any behaviour of the DNS.

        `demand` is that of the message on TLS.
        """


class DirectRouting:
    """Finds the mail hosts of a domain. `rng` shares the load among hosts with the same preference."""

    def __init__(self, rules: RouterRules, resolver: Resolver, nat64: Nat64, rng: random.Random) -> None:
        self._rules = rules
        self._resolver = resolver
        self._nat64 = nat64
        self._rng = rng

    async def resolve(self, domain: str, demand: TlsDemand | None = None) -> Decision:
        """Return the routing of mail for this domain or address literal."""
        if demand is TlsDemand.REQUIRED:
            return await self._required(domain)
        if domain.startswith("["):
            await self._refresh_nat64([literal_ip(domain)])
            return Decision(self._to_literal(domain), STATIC_TTL)
        return await self.by_mx(domain, await self._resolver.mx(domain))

    async def by_mx(
        self,
        domain: str,
        answer: MxAnswer,
        allows: Callable[[str], bool] | None = None,
        asking: Callable[[str], object] | None = None,
    ) -> Decision:
        """Return the routing of mail for a domain, which is not a literal, by the answer about its MX.

        `allows` tells of each host whether it may have the mail; it is given if at least one host may. `asking` is
        called with each host whose addresses are looked up.
        """
        records = mx_records(domain, answer)
        if not isinstance(records, tuple):
            return Decision(records, answer.ttl)
        limit = min((record.preference for record in records if self._is_own_name(record.host)), default=None)
        if allows is not None:
            records = tuple(record for record in records if allows(record.host))
        candidates = by_preference(preferred_to(records, limit), self._rng)
        hosts: list[_Host] = []
        routing = self._plan(domain, candidates, hosts, looped=limit is not None)
        for batch in _batches(candidates[:MAX_EXCHANGERS]):
            if asking is not None:
                for record in batch:
                    asking(record.host)
            hosts += await self._look_up(batch)
            await self._refresh_nat64([address for host in hosts for address in host.addresses])
            routing = self._plan(domain, candidates, hosts, looped=limit is not None)
            if isinstance(routing, Plan):
                break
        if isinstance(routing, Failed) and len(candidates) >= MAX_EXCHANGERS:
            # The domain may have more hosts than were kept of the DNS answer.
            routing = TryLater(
                f"{routing.text}; {domain} may have more MX hosts than the {len(candidates)}", status="4.4.4"
            )
        return Decision(routing, min(answer.ttl, *(host.answer.ttl for host in hosts), STATIC_TTL))

    async def _required(self, domain: str) -> Decision:
        """Return the routing of a message with REQUIRETLS, for which MX records without proof do not count."""
        # Imported if needed, because few messages have it.
        from mta.routing.demands.of_message import no_proof_at_all, proven_by_name  # noqa: PLC0415

        if not domain.startswith("["):
            return Decision(no_proof_at_all(domain), STATIC_TTL)
        decision = await self.resolve(domain)
        if isinstance(decision.routing, Plan):
            return replace(decision, routing=proven_by_name(decision.routing, self._rules.tls))
        return decision

    def _to_literal(self, domain: str) -> Routing:
        address = literal_ip(domain)
        if ":" in address and not self._rules.ipv6:
            return Failed(f"{domain} is an IPv6 address, and IPv6 is off (DISABLE_IPV6)", status="5.4.4")
        translated = self._nat64.translated(address)
        if self._rules.refuses(translated, domain):
            return _private_only(domain, [address])
        if self._rules.is_own_address(translated):
            return _looped(domain)
        return Plan(domain, (self._route(address, address),))

    async def _refresh_nat64(self, addresses: Sequence[str]) -> None:
        """Bring the NAT64 prefixes up to date if there is an IPv6 address, so that it can be checked."""
        if any(":" in address for address in addresses):
            await self._nat64.refresh()

    def _is_own_name(self, host: str) -> bool:
        return host == self._rules.mailname.lower().rstrip(".")

    async def _look_up(self, records: Sequence[MxRecord]) -> list[_Host]:
        asking = [
            Deferred.fromCoroutine(_awaited(self._resolver, record.host, ipv6=self._rules.ipv6)) for record in records
        ]
        answers = await gatherResults(asking, consumeErrors=True)
        return [_Host(record, answer) for record, answer in zip(records, answers, strict=True)]

    def _plan(self, domain: str, candidates: list[MxRecord], hosts: list[_Host], *, looped: bool) -> Routing:
        """Return the plan for the hosts whose addresses are known, or the reason why there is none.

        `looped` says that the relay's own name is among the MX hosts.
        """
        usable = [(host, self._permitted(domain, host)) for host in hosts]
        own = (host.record.preference for host, addresses in usable if self._is_own_host(host, addresses))
        limit = min(own, default=None)
        chosen = [
            (host, addresses)
            for host, addresses in usable
            if addresses and (limit is None or host.record.preference < limit)
        ][: self._rules.max_hosts]
        if chosen:
            name = mx_destination(record.host for record in preferred_to(candidates, limit))
            return Plan(name, self._routes(chosen), domain=domain)
        before = [host for host in hosts if limit is None or host.record.preference < limit]
        return self._why_none(domain, before, looped=looped or limit is not None)

    def _is_own_host(self, host: _Host, addresses: Sequence[str]) -> bool:
        return self._is_own_name(host.name) or any(
            self._rules.is_own_address(self._nat64.translated(address)) for address in addresses
        )

    def _permitted(self, domain: str, host: _Host) -> list[str]:
        translated = self._nat64.translated
        return [address for address in host.addresses if not self._rules.refuses(translated(address), domain)]

    def _routes(self, chosen: list[tuple[_Host, list[str]]]) -> tuple[Route, ...]:
        mixed = [interleave(addresses, self._rng) for _, addresses in chosen]
        return tuple(
            self._route(host.record.host, address, host.record.preference)
            for (host, _), addresses in zip(chosen, fair_shares(mixed, self._rules.max_addresses), strict=True)
            for address in addresses
        )

    def _route(self, host: str, address: str, preference: int | None = None) -> Route:
        return Route(host, address, self._rules.port_out, self._rules.tls, preference=preference)

    def _why_none(self, domain: str, hosts: list[_Host], *, looped: bool) -> Failed | TryLater:
        for host in hosts:
            if host.failure:
                name = host.record.host
                return TryLater(
                    f"looking up {name}, MX of {domain}, failed: {host.failure}", status="4.4.3", kind=ErrorKind.DNS
                )
        refused = [address for host in hosts for address in host.addresses]
        if refused:
            return _private_only(domain, refused)
        if looped:
            return _looped(domain)
        family = "address" if self._rules.ipv6 else "IPv4 address (IPv6 is off)"
        names = ", ".join(host.record.host for host in hosts[:PARALLEL_LOOKUPS])
        if len(hosts) > PARALLEL_LOOKUPS:
            names = f"{names} and {len(hosts) - PARALLEL_LOOKUPS} more"
        return Failed(f"no host for mail to {domain} has an {family}: tried {names}", status="5.4.4")


def _batches(records: Sequence[MxRecord]) -> Iterator[Sequence[MxRecord]]:
    for start in range(0, len(records), PARALLEL_LOOKUPS):
        yield records[start : start + PARALLEL_LOOKUPS]


def mx_records(domain: str, answer: MxAnswer) -> tuple[MxRecord, ...] | Failed | TryLater:
    """Return the MX records of a domain without the root, or why there are none."""
    match answer:
        case LookupFailed(reason=reason):
            return TryLater(f"looking up the MX of {domain} failed: {reason}", status="4.4.3", kind=ErrorKind.DNS)
        case NoSuchName():
            return Failed(f"domain {domain} does not exist", status="5.1.2")
        case NoData():
            # RFC 5321 section 5.1: a domain without MX is its own mail host.
            return (MxRecord(0, domain),)
    if not answer.records:
        # RFC 5321 section 5.1: it is an error if none of the MX records can be used.
        return Failed(f"no MX of {domain} is a name that a host can have", status="5.4.4")
    # RFC 7505 section 3: the root besides other hosts has no meaning.
    named = tuple(record for record in answer.records if record.host)
    return named or Failed(f"domain {domain} accepts no mail (null MX)", status="5.1.10")


def _private_only(domain: str, addresses: Sequence[str]) -> Failed:
    return Failed(
        f"mail for {domain} would go to a private address only ({addresses[0]}): "
        "PRIVATE_DESTINATIONS=allow would lift this, or the domain in RELAY_DOMAINS",
        status="5.4.4",
    )


def _looped(domain: str) -> Failed:
    return Failed(
        f"mail for {domain} loops back to this host: it is the domain's best MX host, but the domain is not local here "
        "(OTHER_HOSTNAMES)",
        status="5.4.6",
    )


async def _awaited(resolver: Resolver, host: str, *, ipv6: bool) -> AddressAnswer:
    return await resolver.addresses(host, ipv6=ipv6)
