"""Discovers the IPv6 prefixes that the network's NAT64 translates to IPv4 (RFC 6052), by the DNS (RFC 7050).

A network may translate under any prefix of its own, so that an address that looks global leads to a private IPv4
address. The prefix appears in the IPv6 addresses that the network's DNS server synthesizes for `ipv4only.arpa`.
"""

import ipaddress
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred

from mta.dns.answers import Found, LookupFailed, Resolver

#: A name that has only IPv4 addresses (RFC 7050 section 8).
WELL_KNOWN_NAME = "ipv4only.arpa"
_WELL_KNOWN = frozenset(map(ipaddress.IPv4Address, ("192.0.0.170", "192.0.0.171")))
# The prefix lengths of RFC 6052 section 2.2.
_LENGTHS = (32, 40, 48, 56, 64, 96)
# Seconds until the name is looked up again, after a success and after a failure.
_REFRESH_INTERVAL = 600.0
_RETRY_INTERVAL = 60.0


class Nat64:
    """The NAT64 prefixes of the network, as the last successful look-up found them."""

    def __init__(self, resolver: Resolver, seconds: Callable[[], float]) -> None:
        """Prepare; `seconds` is a monotonic clock."""
        self._resolver = resolver
        self._seconds = seconds
        self._prefixes: tuple[ipaddress.IPv6Network, ...] = ()
        self._next_look = float("-inf")
        self._first_look: Deferred[None] | None = None

    async def refresh(self) -> None:
        """Start a look-up if it is due. Only the first one is waited for, so that mail is delayed once at most."""
        if self._seconds() >= self._next_look:
            self._next_look = self._seconds() + _RETRY_INTERVAL
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
        self._next_look = self._seconds() + (_RETRY_INTERVAL if failed else _REFRESH_INTERVAL)

    def translated(self, address: str) -> str:
        """Return the IPv4 address to which the network translates an address, or the same address if it does not."""
        if ":" in address:
            ip = ipaddress.IPv6Address(address)
            for prefix in self._prefixes:
                if ip in prefix:
                    return str(ipv4_under_prefix(ip, prefix.prefixlen))
        return address


def prefixes(addresses: Iterable[str]) -> tuple[ipaddress.IPv6Network, ...]:
    """Return the prefixes of these synthesized addresses of `ipv4only.arpa` (RFC 7050 section 3)."""
    made = [ipaddress.IPv6Address(address) for address in addresses if ":" in address]
    found = (
        ipaddress.IPv6Network((ip, length), strict=False)
        for ip in made
        for length in _LENGTHS
        if ipv4_under_prefix(ip, length) in _WELL_KNOWN
    )
    return tuple(dict.fromkeys(found))


def ipv4_under_prefix(ip: ipaddress.IPv6Address, length: int) -> ipaddress.IPv4Address:
    """Return the IPv4 address in an IPv6 address under a prefix of this length (RFC 6052 section 2.2)."""
    octets = ip.packed
    if length < 96:
        # The ninth octet is reserved.
        octets = octets[:8] + octets[9:]
    return ipaddress.IPv4Address(octets[length // 8 :][:4])
