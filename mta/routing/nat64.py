"""The network's own NAT64: which IPv6 addresses it turns into IPv4 (RFC 6052), found by the DNS (RFC 7050).

A network may translate under any prefix of its own, so that an address that looks global ends at a private IPv4
address. The prefix shows in the IPv6 addresses that the network's DNS server makes up for `ipv4only.arpa`.
"""

import ipaddress
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred

from mta.dns.answers import Found, LookupFailed, Resolver

#: A name that has IPv4 addresses alone (RFC 7050 section 8).
WELL_KNOWN_NAME = "ipv4only.arpa"
_WELL_KNOWN = frozenset(map(ipaddress.IPv4Address, ("192.0.0.170", "192.0.0.171")))
# RFC 6052 section 2.2.
_LENGTHS = (32, 40, 48, 56, 64, 96)
# Seconds until the name is looked up again, and after a look-up that failed.
_AGAIN = 600.0
_AFTER_FAILURE = 60.0


class Nat64:
    """Knows the prefixes of the network. Those found last count until a look-up says otherwise."""

    def __init__(self, resolver: Resolver, seconds: Callable[[], float]) -> None:
        """Prepare; `seconds` is a monotonic clock."""
        self._resolver = resolver
        self._seconds = seconds
        self._prefixes: tuple[ipaddress.IPv6Network, ...] = ()
        self._next_look = float("-inf")
        self._first_look: Deferred[None] | None = None

    async def refresh(self) -> None:
        """Look the prefixes up if it is time to. Only the first look-up is waited for, so that mail waits once."""
        if self._seconds() >= self._next_look:
            self._next_look = self._seconds() + _AFTER_FAILURE
            look = Deferred.fromCoroutine(self._look_up())
            if self._first_look is None:
                self._first_look = look
        if self._first_look is not None and not self._first_look.called:
            waiting: Deferred[None] = Deferred()
            self._first_look.addBoth(waiting.callback)
            await waiting

    async def _look_up(self) -> None:
        answer = await self._resolver.addresses(WELL_KNOWN_NAME)
        failed = isinstance(answer, LookupFailed) or (isinstance(answer, Found) and bool(answer.incomplete))
        if not failed:
            self._prefixes = prefixes(answer.records if isinstance(answer, Found) else ())
        self._next_look = self._seconds() + (_AFTER_FAILURE if failed else _AGAIN)

    def reached(self, address: str) -> str:
        """Return the IPv4 address that the network makes of an address; the address itself if it makes none."""
        if ":" in address:
            ip = ipaddress.IPv6Address(address)
            for prefix in self._prefixes:
                if ip in prefix:
                    return str(inner(ip, prefix.prefixlen))
        return address


def prefixes(addresses: Iterable[str]) -> tuple[ipaddress.IPv6Network, ...]:
    """Return the prefixes under which these addresses of `ipv4only.arpa` were made (RFC 7050 section 3)."""
    made = [ipaddress.IPv6Address(address) for address in addresses if ":" in address]
    found = (
        ipaddress.IPv6Network((ip, length), strict=False)
        for ip in made
        for length in _LENGTHS
        if inner(ip, length) in _WELL_KNOWN
    )
    return tuple(dict.fromkeys(found))


def inner(ip: ipaddress.IPv6Address, length: int) -> ipaddress.IPv4Address:
    """Return the IPv4 address in an IPv6 address under a prefix of this length (RFC 6052 section 2.2)."""
    octets = ip.packed
    if length < 96:
        # The ninth octet is left free.
        octets = octets[:8] + octets[9:]
    return ipaddress.IPv4Address(octets[length // 8 :][:4])
