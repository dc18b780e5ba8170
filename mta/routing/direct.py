"""Direct delivery: from a domain to the hosts that take its mail (RFC 5321 section 5.1, RFC 7505)."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

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
from mta.message.outcome import Failed, TryLater
from mta.routing.mx_order import fair_shares, in_order, interleave, preferred_to
from mta.routing.nat64 import Nat64
from mta.routing.route import Plan, Route, Routing
from mta.routing.rules import Decision, RouterRules
from mta.smtp.address import literal_ip

#: MX hosts whose addresses are looked up at a time. The next ones follow when no address of these can be used.
LOOKED_UP_AT_ONCE = 10
#: Characters of a destination's name in which its hosts stand, all of them; of more there is the first, and a digest.
MAX_NAMED = 200
# Hexadecimal digits of it: nobody makes hosts that come to the digest of another's.
_DIGEST = 32
#: Seconds for which a routing is good that the DNS has no part in.
STANDING_TTL = 3600.0


@dataclass(frozen=True, slots=True)
class _Host:
    record: MxRecord
    answer: AddressAnswer

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.answer.records if isinstance(self.answer, Found) else ()

    @property
    def failure(self) -> str:
        """Why not all of its addresses are known; "" when the DNS gave a full answer."""
        match self.answer:
            case LookupFailed(reason=reason) | Found(incomplete=reason):
                return reason
        return ""

    @property
    def name(self) -> str:
        """What its CNAMEs, if there are any, come to (RFC 5321 section 5.1 wants none in an MX, many have them)."""
        return self.answer.name if isinstance(self.answer, Found) else self.record.host


class DirectRouting:
    """Finds the hosts of a domain. `nat64` knows the network's own, `rng` shares the load among equals."""

    def __init__(self, rules: RouterRules, resolver: Resolver, nat64: Nat64, rng: random.Random) -> None:
        self._rules = rules
        self._resolver = resolver
        self._nat64 = nat64
        self._rng = rng

    async def resolve(self, domain: str) -> Decision:
        """Return where mail for this domain, or address literal, goes."""
        if domain.startswith("["):
            await self._prepare([literal_ip(domain)])
            return Decision(self._to_literal(domain), STANDING_TTL)
        answer = await self._resolver.mx(domain)
        records = _exchangers(domain, answer)
        if not isinstance(records, tuple):
            return Decision(records, answer.ttl)
        limit = min((record.preference for record in records if self._is_our_name(record.host)), default=None)
        ahead = in_order(preferred_to(records, limit), self._rng)
        hosts: list[_Host] = []
        routing = self._choose(domain, ahead, hosts, looped=limit is not None)
        for batch in _batches(ahead[:MAX_EXCHANGERS]):
            hosts += await self._look_up(batch)
            await self._prepare([address for host in hosts for address in host.addresses])
            routing = self._choose(domain, ahead, hosts, looped=limit is not None)
            if isinstance(routing, Plan):
                break
        if isinstance(routing, Failed) and len(ahead) >= MAX_EXCHANGERS:
            # The DNS may name more hosts than are kept of its answer.
            routing = TryLater(f"{routing.text}; {domain} may have more MX hosts than the {len(ahead)}", status="4.4.4")
        return Decision(routing, min(answer.ttl, *(host.answer.ttl for host in hosts), STANDING_TTL))

    def _to_literal(self, domain: str) -> Routing:
        address = literal_ip(domain)
        if ":" in address and not self._rules.ipv6:
            return Failed(f"{domain} is an IPv6 address, and IPv6 is off (DISABLE_IPV6)", status="5.4.4")
        reached = self._nat64.reached(address)
        if self._rules.refuses(reached, domain):
            return _private(domain, [address])
        if self._rules.is_us(reached):
            return _loop(domain)
        return Plan(domain, (self._route(address, address),))

    async def _prepare(self, addresses: Sequence[str]) -> None:
        """Make sure that these addresses can be judged."""
        if any(":" in address for address in addresses):
            await self._nat64.refresh()

    def _is_our_name(self, host: str) -> bool:
        return host == self._rules.mailname.lower().rstrip(".")

    async def _look_up(self, records: Sequence[MxRecord]) -> list[_Host]:
        asking = [
            Deferred.fromCoroutine(_awaited(self._resolver, record.host, ipv6=self._rules.ipv6)) for record in records
        ]
        answers = await gatherResults(asking, consumeErrors=True)
        return [_Host(record, answer) for record, answer in zip(records, answers, strict=True)]

    def _choose(self, domain: str, ahead: list[MxRecord], hosts: list[_Host], *, looped: bool) -> Routing:
        """Make the plan out of what the hosts' names gave; `looped` says that our own name was among them."""
        usable = [(host, self._permitted(domain, host)) for host in hosts]
        ours = (host.record.preference for host, addresses in usable if self._is_us(host, addresses))
        limit = min(ours, default=None)
        chosen = [
            (host, addresses)
            for host, addresses in usable
            if addresses and (limit is None or host.record.preference < limit)
        ][: self._rules.max_hosts]
        if chosen:
            return Plan(_destination(preferred_to(ahead, limit)), self._routes(chosen))
        before = [host for host in hosts if limit is None or host.record.preference < limit]
        return self._why_none(domain, before, looped=looped or limit is not None)

    def _is_us(self, host: _Host, addresses: Sequence[str]) -> bool:
        return self._is_our_name(host.name) or any(
            self._rules.is_us(self._nat64.reached(address)) for address in addresses
        )

    def _permitted(self, domain: str, host: _Host) -> list[str]:
        reached = self._nat64.reached
        return [address for address in host.addresses if not self._rules.refuses(reached(address), domain)]

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
                return TryLater(f"looking up {name}, MX of {domain}, failed: {host.failure}", status="4.4.3")
        refused = [address for host in hosts for address in host.addresses]
        if refused:
            return _private(domain, refused)
        if looped:
            return _loop(domain)
        family = "address" if self._rules.ipv6 else "IPv4 address (IPv6 is off)"
        names = ", ".join(host.record.host for host in hosts[:LOOKED_UP_AT_ONCE])
        if len(hosts) > LOOKED_UP_AT_ONCE:
            names = f"{names} and {len(hosts) - LOOKED_UP_AT_ONCE} more"
        return Failed(f"no host for mail to {domain} has an {family}: tried {names}", status="5.4.4")


def _batches(records: Sequence[MxRecord]) -> Iterator[Sequence[MxRecord]]:
    for start in range(0, len(records), LOOKED_UP_AT_ONCE):
        yield records[start : start + LOOKED_UP_AT_ONCE]


def _exchangers(domain: str, answer: MxAnswer) -> tuple[MxRecord, ...] | Failed | TryLater:
    """Return the hosts that take mail for a domain, or why there are none."""
    match answer:
        case LookupFailed(reason=reason):
            return TryLater(f"looking up the MX of {domain} failed: {reason}", status="4.4.3")
        case NoSuchName():
            return Failed(f"domain {domain} does not exist", status="5.1.2")
        case NoData():
            # RFC 5321 section 5.1: a domain without MX is its own mail host.
            return (MxRecord(0, domain),)
    if not answer.records:
        # RFC 5321 section 5.1: MX records of which none can be used are an error.
        return Failed(f"no MX of {domain} is a name that a host can have", status="5.4.4")
    # RFC 7505 section 3: the root among other hosts means nothing.
    named = tuple(record for record in answer.records if record.host)
    return named or Failed(f"domain {domain} accepts no mail (null MX)", status="5.1.10")


def _destination(records: Sequence[MxRecord]) -> str:
    """Name the place where these hosts are: the same for all domains they take mail for, whatever the preferences.

    All of them count, or somebody's last host would be taken for that of another who has the same before it. The name
    is short whoever chose the hosts: with several workers it is said for each connection.
    """
    hosts = sorted(record.host for record in records)
    text = ",".join(hosts)
    if len(hosts) == 1 or len(text) <= MAX_NAMED:
        return text
    return f"{hosts[0]} and {len(hosts) - 1} more ({sha256(text.encode()).hexdigest()[:_DIGEST]})"


def _private(domain: str, addresses: Sequence[str]) -> Failed:
    return Failed(
        f"mail for {domain} would go to a private address only ({addresses[0]}): "
        "PRIVATE_DESTINATIONS=allow would lift this, or the domain in RELAY_DOMAINS",
        status="5.4.4",
    )


def _loop(domain: str) -> Failed:
    return Failed(
        f"mail for {domain} loops back to this host: by its DNS we are its best mail host, but it is not local here "
        "(OTHER_HOSTNAMES)",
        status="5.4.6",
    )


async def _awaited(resolver: Resolver, host: str, *, ipv6: bool) -> AddressAnswer:
    return await resolver.addresses(host, ipv6=ipv6)
