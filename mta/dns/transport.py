"""Sends one DNS query to one server and returns its reply, over UDP or TCP (RFC 1035 section 4.2)."""

import socket
from collections.abc import Callable, Coroutine
from typing import Any

from dns.message import QueryMessage
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.connection_errors import connect_error_text, connection_loss_text
from mta.dns.message import parse_reply_to
from mta.dns.parser import DnsReply

#: An IP address and a port.
Server = tuple[str, int]
#: Mismatched UDP replies to one query, after which the true reply is no longer waited for.
MAX_MISMATCHES = 5

# Datagrams read in one turn of the reactor, so that a flood of forged replies cannot block it.
_DATAGRAMS_A_TURN = 16


class IDnsReactor(IReactorTime, IReactorFDSet, IReactorTCP):
    """The parts of a reactor that the transport needs."""


class NoReply(Exception):
    """A server gave no usable reply; the message is the reason, in words for an operator."""


class ForgedReplies(NoReply):
    """MAX_MISMATCHES datagrams came from the server's address that are not a reply to the query."""


class DnsTransport:
    """Sends queries. `on_mismatch` is called for each datagram from a server that is not a reply to its query."""

    def __init__(self, reactor: IDnsReactor, on_mismatch: Callable[[], object]) -> None:
        self._reactor = reactor
        self._on_mismatch = on_mismatch

    async def query_udp(self, server: Server, query: QueryMessage, time_limit: float) -> DnsReply:
        """Return the reply if it comes within `time_limit` seconds. Raises NoReply, and ForgedReplies."""
        return await self._with_timeout(self._query_udp(server, query), time_limit)

    async def query_tcp(self, server: Server, query: QueryMessage, time_limit: float) -> DnsReply:
        """Return the reply if it comes within `time_limit` seconds. Raises NoReply."""
        reply = await self._with_timeout(self._query_tcp(server, query, time_limit), time_limit)
        if reply.truncated:
            raise NoReply("truncated reply over TCP")
        return reply

    async def _with_timeout(self, exchange: Coroutine[Deferred[Any], Any, DnsReply], time_limit: float) -> DnsReply:
        try:
            return await Deferred.fromCoroutine(exchange).addTimeout(time_limit, self._reactor)
        except DeferredTimeout:
            raise NoReply(f"no reply within {time_limit:g} s") from None
        except ConnectionClosed as error:
            raise NoReply(f"no reply ({connection_loss_text(error)})") from None
        except (OSError, ConnectError) as error:
            raise NoReply(f"no reply ({connect_error_text(error, time_limit)})") from None

    async def _query_udp(self, server: Server, query: QueryMessage) -> DnsReply:
        # A new socket for each query: the source port is random, and the kernel drops datagrams from other addresses.
        # (A Twisted datagram port would do the same, but log two lines each time.)
        with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(server)
            reader = _UdpReader(sock, query, self._on_mismatch)
            self._reactor.addReader(reader)
            try:
                sock.send(query.to_wire())
                return await reader.reply
            finally:
                self._reactor.removeReader(reader)

    async def _query_tcp(self, server: Server, query: QueryMessage, time_limit: float) -> DnsReply:
        # Imported if needed, because few replies are too long for UDP, and the endpoints of Twisted are large.
        from mta.dns.tcp_query import query_over_tcp  # noqa: PLC0415

        reply = await query_over_tcp(self._reactor, server, query, time_limit)
        if reply is None:
            raise NoReply("malformed reply over TCP")
        return reply


@implementer(IReadDescriptor)
class _UdpReader:
    """Waits on a connected socket for the reply to one query; datagrams that are not that reply are counted."""

    def __init__(self, sock: socket.socket, query: QueryMessage, on_mismatch: Callable[[], object]) -> None:
        self._sock = sock
        self._query = query
        self._on_mismatch = on_mismatch
        self._mismatches = 0
        self.reply: Deferred[DnsReply] = Deferred()

    def fileno(self) -> int:
        """Return the socket's descriptor; called by the reactor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Return the name of this reader; called by the reactor."""
        return "dns"

    def doRead(self) -> None:
        """Read the datagrams that have arrived; called by the reactor."""
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                wire = self._sock.recv(65535)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(Failure(error))
                return
            if self.reply.called:
                return
            reply = parse_reply_to(self._query, wire)
            if reply is None:
                self._count_mismatch()
            else:
                self.reply.callback(reply)

    def connectionLost(self, reason: Failure) -> None:
        """Fail, because the reactor gives the socket up; the error of the socket tells more than `reason` does."""
        self.doRead()
        self._fail(reason)

    def _count_mismatch(self) -> None:
        self._on_mismatch()
        self._mismatches += 1
        if self._mismatches >= MAX_MISMATCHES:
            self._fail(Failure(ForgedReplies(f"{MAX_MISMATCHES} replies to other queries")))

    def _fail(self, reason: Failure) -> None:
        if not self.reply.called:
            self.reply.errback(reason)


def _family(server: Server) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET
