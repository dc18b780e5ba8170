"""One DNS query to one server and its reply, over UDP or TCP (RFC 1035 section 4.2)."""

import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

from dns.message import QueryMessage
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime, IReadDescriptor, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.connection_errors import connect_words, loss_words
from mta.dns.message import read_reply
from mta.dns.parser import DnsReply

#: An IP address and a port.
Server = tuple[str, int]
#: Replies to anything but the query, after which the true one is no longer waited for over UDP.
MAX_WRONG = 5

# Datagrams looked at in one turn of the reactor, so that a flood of forgeries cannot hold it.
_DATAGRAMS_A_TURN = 16


class IDnsReactor(IReactorTime, IReactorFDSet, IReactorTCP):
    """The parts of a reactor that the transports need."""


class NoReply(Exception):
    """A server gave no usable reply; the message says how, in words for an operator."""


class ForgedReplies(NoReply):
    """MAX_WRONG datagrams came from the server's address that are no reply to the query."""


class DnsTransport:
    """Sends queries. `wrong` is called for each datagram from a server that is no reply to its query."""

    def __init__(self, reactor: IDnsReactor, wrong: Callable[[], object]) -> None:
        self._reactor = reactor
        self._wrong = wrong

    async def over_udp(self, server: Server, query: QueryMessage, patience: float) -> DnsReply:
        """Return the reply if it comes within `patience` seconds. Raises NoReply, ForgedReplies above all."""
        return await self._timed(self._over_udp(server, query), patience)

    async def over_tcp(self, server: Server, query: QueryMessage, patience: float) -> DnsReply:
        """Return the reply if it comes within `patience` seconds. Raises NoReply."""
        reply = await self._timed(self._over_tcp(server, query, patience), patience)
        if reply.truncated:
            raise NoReply("truncated reply over TCP")
        return reply

    async def _timed(self, exchange: Coroutine[Deferred[Any], Any, DnsReply], patience: float) -> DnsReply:
        try:
            return await Deferred.fromCoroutine(exchange).addTimeout(patience, self._reactor)
        except DeferredTimeout:
            raise NoReply(f"no reply within {patience:g} s") from None
        except ConnectionClosed as error:
            raise NoReply(f"no reply ({loss_words(error)})") from None
        except (OSError, ConnectError) as error:
            raise NoReply(f"no reply ({connect_words(error, patience)})") from None

    async def _over_udp(self, server: Server, query: QueryMessage) -> DnsReply:
        # A socket a query: the source port is random, and the kernel drops datagrams from another address. (A Twisted
        # datagram port would do the same and log two lines each time.)
        with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(server)
            reader = _UdpReader(sock, query, self._wrong)
            self._reactor.addReader(reader)
            try:
                sock.send(query.to_wire())
                return await reader.reply
            finally:
                self._reactor.removeReader(reader)

    async def _over_tcp(self, server: Server, query: QueryMessage, patience: float) -> DnsReply:
        endpoint = TCP6ClientEndpoint if _family(server) is socket.AF_INET6 else TCP4ClientEndpoint
        protocol = _TcpQuery(query)
        await connectProtocol(endpoint(self._reactor, *server, timeout=patience), protocol)
        try:
            return await protocol.reply
        finally:
            protocol.hang_up()


@implementer(IReadDescriptor)
class _UdpReader:
    """Waits on a connected socket for the reply to one query; datagrams that are not that reply are counted."""

    def __init__(self, sock: socket.socket, query: QueryMessage, wrong: Callable[[], object]) -> None:
        self._sock = sock
        self._query = query
        self._wrong = wrong
        self._wrong_replies = 0
        self.reply: Deferred[DnsReply] = Deferred()

    def fileno(self) -> int:
        """Return the socket's descriptor, for the reactor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Name this reader, for the reactor."""
        return "dns"

    def doRead(self) -> None:
        """Look at the datagrams that have come."""
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
            reply = read_reply(self._query, wire)
            if reply is None:
                self._count_wrong()
            else:
                self.reply.callback(reply)

    def connectionLost(self, reason: Failure) -> None:
        """End the waiting: the reactor gives the socket up, and the socket knows best why."""
        self.doRead()
        self._fail(reason)

    def _count_wrong(self) -> None:
        self._wrong()
        self._wrong_replies += 1
        if self._wrong_replies >= MAX_WRONG:
            self._fail(Failure(ForgedReplies(f"{MAX_WRONG} replies to other queries")))

    def _fail(self, reason: Failure) -> None:
        if not self.reply.called:
            self.reply.errback(reason)


class _TcpQuery(Int16StringReceiver):
    """One query and its reply, each with its length before it (RFC 1035 section 4.2.2)."""

    def __init__(self, query: QueryMessage) -> None:
        self._query = query
        self.reply: Deferred[DnsReply] = Deferred()

    def connectionMade(self) -> None:
        """Ask."""
        self.sendString(self._query.to_wire())

    def hang_up(self) -> None:
        """Close the connection at once."""
        cast(ITCPTransport, self.transport).abortConnection()

    def stringReceived(self, string: bytes) -> None:
        """Take the reply; a stream has no place for anything else."""
        if self.reply.called:
            return
        reply = read_reply(self._query, string)
        if reply is None:
            self.reply.errback(NoReply("nonsense over TCP"))
        else:
            self.reply.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the waiting when the server hangs up."""
        if not self.reply.called:
            self.reply.errback(reason)


def _family(server: Server) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET
