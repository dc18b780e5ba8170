"""The listener's limits: times, rates, memory and connections, and the counter that decides who may connect."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Network

from mta.inbound.policy import Client
from mta.smtp.replies import Reply, reply

TOO_MANY_CONNECTIONS = reply(421, "4.3.2", "Too many connections, please try again later")
TOO_MANY_FROM_YOU = reply(421, "4.7.0", "Too many connections from your address, please try again later")
SHUT_OUT = reply(421, "4.7.0", "Too many failed logins from your address, please try again later")


@dataclass(frozen=True, slots=True)
class InboundLimits:
    """Limits of the listener, for one client and for all of them. Sizes are octets, times are seconds.

    Section numbers are those of RFC 5321. The limits of the SMTP machine are in `mta.smtp.limits`.
    """

    #: 4.5.3.2.7: the wait for the next command.
    command_timeout: float = 300.0
    #: 4.5.3.2.5 is 180; the wait for the next piece of a body.
    data_timeout: float = 180.0
    #: Octets a second at which a body must arrive, averaged over each data_rate_window, however it is cut into chunks.
    data_rate: int = 500
    data_rate_window: float = 60.0
    #: The longest time that a session may last without an accepted message; the time of a body does not count.
    fruitless_timeout: float = 3600.0
    #: The wait for the end of a TLS handshake.
    handshake_timeout: float = 60.0
    #: The wait for a client to read its replies before the connection is dropped.
    write_timeout: float = 60.0
    #: The header block of a message; a message with a larger one is refused.
    header_size: int = 1024 * 1024
    #: Received fields that make a message a loop (6.3 asks for at least 100 to be "large"; Postfix takes 50).
    hops: int = 50
    #: Recipients beyond a hundred a message, for all messages that are under way at once; 0.5 KB of memory each.
    surplus_recipients: int = 100_000
    #: Octets of all messages under way that are kept in memory; beyond it a message goes to its file at once.
    octets_in_memory: int = 64 * 1024 * 1024
    #: Clients connected at once. An idle one takes 5 KB, under TLS 30 KB, and 52 KB after a large body. A busy one has
    #: at most 256 KiB of its input in memory.
    connections: int = 6000
    #: For one address that is not trusted (of IPv6: one /64, and four times as many for a /48).
    connections_per_stranger: int = 50
    #: Connections of load balancers that have not yet named their clients.
    unfinished_headers: int = 500
    #: The share of all connections that strangers may have together; the rest is kept for trusted clients.
    stranger_share: float = 0.75


class ConnectionLimiter:
    """Counts connections and decides which clients may connect. Strangers can never use all connections.

    `is_balancer` tells whether an address is that of a load balancer. Its own connections, and those whose clients it
    does not know, are limited as those of a trusted client.
    """

    def __init__(self, limits: InboundLimits, is_balancer: Callable[[str], bool] | None = None) -> None:
        self._is_balancer = is_balancer
        self._max = limits.connections
        self._max_strangers = max(1, int(limits.connections * limits.stranger_share))
        self._per_stranger = limits.connections_per_stranger
        self._total = 0
        self._strangers = 0
        self._by_source: Counter[str] = Counter()

    def refusal(self, client: Client) -> Reply | None:
        """Return the reply that rejects a client, or None if the client may connect."""
        if self._total >= self._max:
            return TOO_MANY_CONNECTIONS
        if client.trusted or self.is_balancers(client):
            return None
        for source, share in zip(_sources(client.address), _SHARES, strict=False):
            if self._by_source[source] >= self._per_stranger * share:
                return TOO_MANY_FROM_YOU
        return TOO_MANY_CONNECTIONS if self._strangers >= self._max_strangers else None

    def enter(self, client: Client) -> None:
        """Count a new connection."""
        self._total += 1
        if not (client.trusted or self.is_balancers(client)):
            self._strangers += 1
            self._by_source.update(_sources(client.address))

    def leave(self, client: Client) -> None:
        """Count the end of a connection."""
        self._total -= 1
        if client.trusted or self.is_balancers(client):
            return
        self._strangers -= 1
        for source in _sources(client.address):
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]

    def is_balancers(self, client: Client) -> bool:
        """Return whether a connection counts as one of a load balancer itself."""
        return self._is_balancer is not None and self._is_balancer(client.address)


# The limits of a client's sources, in multiples of the limit for one stranger.
_SHARES = (1, 4)


@lru_cache(maxsize=1024)
def _sources(address: str) -> tuple[str, ...]:
    """Return the sources by which a connection is counted: of IPv6 the /64 of one host and the /48 of a site."""
    return (address,) if ":" not in address else (_ipv6_network(address, 64), _ipv6_network(address, 48))


def _ipv6_network(address: str, length: int) -> str:
    return str(IPv6Network((address, length), strict=False))
