"""The MX hosts of a domain as the DNS has them, and why the relay leaves some of them out.

The order of equal hosts, which the relay draws anew each time, is by name here. `mta.routing.direct` makes the plans
that these hosts explain.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred, gatherResults

from mta.dns.answers import AddressAnswer, Found, LookupFailed, MxRecord, Resolver
from mta.dns.message import MAX_EXCHANGERS
from mta.routing.direct import PARALLEL_LOOKUPS, mx_records
from mta.routing.mx_order import by_preference, preferred_to
from mta.routing.nat64 import Nat64
from mta.routing.rules import RouterRules


@dataclass(frozen=True, slots=True)
class MxHost:
    """One MX host of a domain."""

    name: str
    preference: int
    addresses: tuple[str, ...] = ()
    #: The reason why no mail goes to it; "" if the relay uses it.
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class MxHosts:
    """The MX hosts by preference, or the reason why there are none."""

    hosts: tuple[MxHost, ...] = ()
    problem: str = ""
    #: Whether the domain has no MX record, so that it is its own host.
    implicit: bool = False


async def find_mx_hosts(domain: str, resolver: Resolver, rules: RouterRules, seconds: Callable[[], float]) -> MxHosts:
    """Look the MX hosts of a domain up, which is no address literal. `seconds` is a monotonic clock."""
    records = mx_records(domain, answer := await resolver.mx(domain))
    if not isinstance(records, tuple):
        return MxHosts(problem=records.text)
    ordered = by_preference(sorted(records), _NoChoice())
    search = _Search(domain, resolver, rules, Nat64(resolver, seconds))
    return MxHosts(tuple(await search.hosts(ordered)), implicit=not isinstance(answer, Found))


class _NoChoice(random.Random):
    """Leaves equal hosts in their order."""

    def random(self) -> float:
        return 0.0


class _Search:
    """Looks hosts up in batches, as the router does, until one of them can be used."""

    def __init__(self, domain: str, resolver: Resolver, rules: RouterRules, nat64: Nat64) -> None:
        self._domain = domain
        self._resolver = resolver
        self._rules = rules
        self._nat64 = nat64

    async def hosts(self, ordered: Sequence[MxRecord]) -> list[MxHost]:
        own = min((record.preference for record in ordered if self._is_own(record.host)), default=None)
        candidates = preferred_to(ordered, own)
        judged: list[MxHost] = []
        for start in range(0, min(len(candidates), MAX_EXCHANGERS), PARALLEL_LOOKUPS):
            batch = candidates[start : start + PARALLEL_LOOKUPS]
            judged += await self._look_up(batch[: MAX_EXCHANGERS - start])
            if any(not host.left_out for host in self._limited(judged)):
                break
        found = list(self._limited(judged))
        rest = [_out(record, "not looked up, because the hosts before it are enough") for record in candidates]
        worse = [_out(each, self._own_words(each)) for each in ordered if own is not None and each.preference >= own]
        return [*found, *rest[len(found) :], *worse]

    async def _look_up(self, records: Sequence[MxRecord]) -> list[MxHost]:
        asking = [Deferred.fromCoroutine(self._addresses(record.host)) for record in records]
        answers = await gatherResults(asking, consumeErrors=True)
        if any(":" in address for answer in answers for address in _addresses(answer)):
            await self._nat64.refresh()
        return [self._judged(record, answer) for record, answer in zip(records, answers, strict=True)]

    async def _addresses(self, host: str) -> AddressAnswer:
        return await self._resolver.addresses(host, ipv6=self._rules.ipv6)

    def _judged(self, record: MxRecord, answer: AddressAnswer) -> MxHost:
        """Return a host with the reason of its own why it is left out."""
        translated, addresses = self._nat64.translated, _addresses(answer)
        host = MxHost(record.host, record.preference, addresses)
        permitted = [each for each in addresses if not self._rules.refuses(translated(each), self._domain)]
        name = answer.name if isinstance(answer, Found) else record.host
        if self._is_own(name) or any(self._rules.is_own_address(translated(address)) for address in permitted):
            return replace(host, left_out=_OWN)
        if permitted:
            return host
        if addresses:
            return replace(host, left_out="all its addresses are private (PRIVATE_DESTINATIONS)")
        if isinstance(answer, LookupFailed):
            return replace(host, left_out=f"the look-up of its addresses failed: {answer.reason}")
        return replace(host, left_out="it has no address" if self._rules.ipv6 else "it has no IPv4 address")

    def _limited(self, judged: Sequence[MxHost]) -> Iterator[MxHost]:
        """Yield the hosts with the reasons that the other hosts give to leave them out."""
        own = min((host.preference for host in judged if host.left_out == _OWN), default=None)
        used = 0
        for host in judged:
            if not host.left_out and own is not None and host.preference >= own:
                yield replace(host, left_out=_WORSE)
            elif not host.left_out and used >= self._rules.max_hosts:
                yield replace(host, left_out=f"the relay tries the first {used} hosts only")
            else:
                used += not host.left_out
                yield host

    def _own_words(self, record: MxRecord) -> str:
        return _OWN if self._is_own(record.host) else _WORSE

    def _is_own(self, host: str) -> bool:
        return host == self._rules.mailname.lower().rstrip(".")


_OWN = "it is this relay itself"
_WORSE = "this relay is itself an MX host of the same or a better preference"


def _addresses(answer: AddressAnswer) -> tuple[str, ...]:
    return answer.records if isinstance(answer, Found) else ()


def _out(record: MxRecord, reason: str) -> MxHost:
    return MxHost(record.host, record.preference, left_out=reason)
