"""Host look-ups for RELAY_NETWORKS and for the mail store, made of the DNS resolver.

They are here because neither `inbound` nor `delivery` may import `dns`.
"""

from collections.abc import Awaitable, Callable, Sequence

from mta.delivery.local.lmtp import LookUp
from mta.dns.answers import AddressAnswer, Found, LookupFailed, Resolver
from mta.inbound.networks import client_address
from mta.inbound.trust import Addresses
from mta.message.outcome import ErrorKind, TryLater


def trust_lookup(resolver: Resolver) -> Callable[[str], Awaitable[Addresses]]:
    """Return the look-up of a host name in RELAY_NETWORKS."""

    async def look_up(name: str) -> Addresses:
        answer = await resolver.addresses(name, search=True)
        if isinstance(answer, Found):
            found = (client_address(text) for text in answer.records)
            known = frozenset(address for address in found if address is not None)
            return Addresses(known, answer.ttl, answer.incomplete)
        return Addresses(None if isinstance(answer, LookupFailed) else frozenset(), answer.ttl, _failure(answer))

    return look_up


def store_lookup(resolver: Resolver, *, ipv6: bool) -> LookUp:
    """Return the look-up of the mail store's host."""

    async def look_up(host: str) -> Sequence[str] | TryLater:
        answer = await resolver.addresses(host, ipv6=ipv6, search=True)
        if isinstance(answer, Found):
            return answer.records
        return TryLater(f"looking up {host} failed: {_failure(answer)}", status="4.4.3", kind=ErrorKind.DNS)

    return look_up


def _failure(answer: AddressAnswer) -> str:
    return answer.reason if isinstance(answer, LookupFailed) else "there is no such host"
