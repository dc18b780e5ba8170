"""Sends one DNS query over TCP and returns its reply (RFC 1035 section 4.2.2, RFC 7766)."""

from typing import Any, cast

from dns.message import QueryMessage
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from mta.dns.message import parse_reply_to
from mta.dns.parser import DnsReply


async def query_over_tcp(
    reactor: Any, server: tuple[str, int], query: QueryMessage, time_limit: float
) -> DnsReply | None:
    """Return the reply of a server, by its IP address and port; None if the octets are not a reply to the query.

    `time_limit` is that of the connection, in seconds. Raises ConnectError, and ConnectionClosed if the server closes
    the connection before its reply.
    """
    endpoint = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
    protocol = _TcpQuery(query)
    await connectProtocol(endpoint(reactor, *server, timeout=time_limit), protocol)
    try:
        return await protocol.reply
    finally:
        protocol.abort()


class _TcpQuery(Int16StringReceiver):
    """One query and its reply, each with its length before it."""

    def __init__(self, query: QueryMessage) -> None:
        self._query = query
        self.reply: Deferred[DnsReply | None] = Deferred()

    def connectionMade(self) -> None:
        """Send the query."""
        self.sendString(self._query.to_wire())

    def abort(self) -> None:
        """Close the connection at once."""
        cast(ITCPTransport, self.transport).abortConnection()

    def stringReceived(self, string: bytes) -> None:
        """Parse the reply; on this connection nothing else may be sent."""
        if not self.reply.called:
            self.reply.callback(parse_reply_to(self._query, string))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail if the server closes the connection before its reply."""
        if not self.reply.called:
            self.reply.errback(reason)
