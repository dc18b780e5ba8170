"""Connections of load balancers: each must begin with a PROXY header, which names its client.

The header is read before TLS and before the greeting. Then another protocol takes over the transport, and gets the
octets behind the header.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from mta.inbound.sockets.proxy_header import MAX_V2, ProxyHeaderError, read_proxy_header

#: Seconds for a header to arrive; the specification asks for at least 3.
HEADER_TIMEOUT = 5.0


class PendingHeaders:
    """The connections of load balancers whose header is not complete, at most `most`.

    `failed` gets the address of a load balancer, and the reason why a connection of it is closed without a session.
    """

    def __init__(self, clock: IReactorTime, failed: Callable[[str, str], object], most: int) -> None:
        self.clock = clock
        self.failed = failed
        self._most = most
        self._open: set[ProxiedConnection] = set()

    @property
    def full(self) -> bool:
        """Whether there is no room for another connection."""
        return len(self._open) >= self._most

    def enter(self, connection: "ProxiedConnection") -> None:
        """Count a connection that was made."""
        self._open.add(connection)

    def leave(self, connection: "ProxiedConnection") -> None:
        """Forget a connection whose header was read, or that was lost."""
        self._open.discard(connection)

    def abort(self) -> None:
        """Close all of them, because the relay stops."""
        for connection in list(self._open):
            connection.abort()


class ProxiedConnection(Protocol):
    """A connection of a load balancer until its header is read.

    `admit` gets the address of the client, which may be that of the load balancer itself, and returns the protocol that
    takes over.
    """

    transport: Any

    def __init__(self, balancer: str, pending: PendingHeaders, admit: Callable[[str], Protocol]) -> None:
        self._balancer = balancer
        self._pending = pending
        self._admit = admit
        self._received = b""
        self._timeout: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Wait for the header."""
        self._pending.enter(self)
        self._timeout = self._pending.clock.callLater(HEADER_TIMEOUT, self._too_slow)
        # Few octets behind the header are read with it, so that they count as input of the session.
        self.transport.bufferSize = MAX_V2

    def dataReceived(self, data: bytes) -> None:
        """Read the header, and let the protocol of the client take over when it is complete."""
        if self._timeout is None:
            return
        self._received += data
        try:
            header = read_proxy_header(self._received)
        except ProxyHeaderError as error:
            self._fail(str(error))
            return
        if header is not None:
            self._take_over(header.client or self._balancer, self._received[header.size :])

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Forget the connection. One that ends without any octet was only a check whether the port is open."""
        if self._timeout is None:
            return
        if self._received:
            self._pending.failed(self._balancer, "it ended within its PROXY header")
        self._end()

    def _take_over(self, client: str, rest: bytes) -> None:
        transport = self.transport
        self._end()
        protocol = self._admit(client)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if rest:
            # The protocol may have put a TLS layer before itself.
            transport.protocol.dataReceived(rest)

    def _too_slow(self) -> None:
        self._fail(f"no PROXY header came within {HEADER_TIMEOUT:.0f} s")

    def _fail(self, reason: str) -> None:
        self._pending.failed(self._balancer, reason)
        self.abort()

    def abort(self) -> None:
        """Close the connection without a word."""
        self._end()
        self.transport.abortConnection()

    def _end(self) -> None:
        """Stop waiting for the header."""
        self._received = b""
        timeout, self._timeout = self._timeout, None
        if timeout is not None and timeout.active():
            timeout.cancel()
        self._pending.leave(self)
