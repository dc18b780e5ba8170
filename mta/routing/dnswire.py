"""One DNS question over the wire: each server in turn, UDP first, TCP for what does not fit (RFC 1035 section 4.2)."""

import socket
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from dns.message import QueryMessage
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime, IReadDescriptor, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.routing.answers import LookupFailed
from mta.routing.dnsmessage import Kind, make_query, read_reply, trouble
from mta.routing.dnsreply import DnsReply
from mta.smtp.address import bracketed
from mta.wire.failures import connect_words, loss_words

#: An IP address and a port.
Server = tuple[str, int]

# Datagrams looked at in one turn of the reactor, so that a flood of forgeries cannot hold it.
_DATAGRAMS_A_TURN = 16


class IDnsReactor(IReactorTime, IReactorFDSet, IReactorTCP):
    """What the wire needs of a reactor."""


class _NoReply(Exception):
    """A server gave no usable reply; the message says how, in words for an operator."""


class DnsWire:
    """Asks DNS servers. `timeout` is seconds for one server and try; `in_flight` and `waiting` bound the questions.

    All messages in work may ask at once, as after a start, so there is room for twice as many questions to wait.
    """

    def __init__(
        self,
        reactor: IDnsReactor,
        servers: Sequence[Server],
        *,
        timeout: float = 3.0,
        in_flight: int = 100,
        waiting: int = 10_000,
    ) -> None:
        self._reactor = reactor
        self._servers = list(servers)
        self._timeout = timeout
        self._slots = DeferredSemaphore(in_flight)
        self._waiting = waiting

    async def ask(self, name: str, kind: Kind) -> DnsReply | LookupFailed:
        """Return the first reply that is an answer. Raises ValueError for what cannot be a name."""
        if not self._servers:
            return LookupFailed("no DNS server is known: set DNS_SERVERS, or name one in /etc/resolv.conf")
        if len(self._slots.waiting) >= self._waiting:
            return LookupFailed(f"{self._waiting} DNS look-ups are waiting already")
        async with self._slots:
            return await self._ask_in_turn(name, kind)

    async def _ask_in_turn(self, name: str, kind: Kind) -> DnsReply | LookupFailed:
        """Try each server twice, the second time without EDNS: old servers and firewalls refuse or drop it."""
        troubles: dict[Server, str] = {}
        for edns in (True, False):
            for server in tuple(self._servers):
                try:
                    reply = await self._ask_server(server, make_query(name, kind, edns=edns))
                except _NoReply as error:
                    self._demote(server)
                    troubles[server] = f"{error} from {_label(server)}"
                    continue
                if not trouble(reply):
                    return reply
                troubles[server] = f"{trouble(reply)} from {_label(server)}"
        return LookupFailed(", ".join(troubles.values()))

    def _demote(self, server: Server) -> None:
        """Ask a silent server last from now on, so that it delays one question and not each."""
        self._servers.remove(server)
        self._servers.append(server)

    async def _ask_server(self, server: Server, query: QueryMessage) -> DnsReply:
        reply = await self._timed(self._over_udp(server, query))
        if not reply.truncated:
            return reply
        reply = await self._timed(self._over_tcp(server, query))
        if reply.truncated:
            raise _NoReply("truncated reply over TCP")
        return reply

    async def _timed(self, exchange: Coroutine[Deferred[Any], Any, DnsReply]) -> DnsReply:
        try:
            return await Deferred.fromCoroutine(exchange).addTimeout(self._timeout, self._reactor)
        except DeferredTimeout:
            raise _NoReply(f"no reply within {self._timeout:g} s") from None
        except ConnectionClosed as error:
            raise _NoReply(f"no reply ({loss_words(error)})") from None
        except (OSError, ConnectError) as error:
            raise _NoReply(f"no reply ({connect_words(error, self._timeout)})") from None

    async def _over_udp(self, server: Server, query: QueryMessage) -> DnsReply:
        # A socket a question: the source port is random, and the kernel drops what another address sends. (A Twisted
        # datagram port would do the same and log two lines each time.)
        with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(server)
            reader = _UdpReader(sock, query)
            self._reactor.addReader(reader)
            try:
                sock.send(query.to_wire())
                return await reader.reply
            finally:
                self._reactor.removeReader(reader)

    async def _over_tcp(self, server: Server, query: QueryMessage) -> DnsReply:
        endpoint = TCP6ClientEndpoint if _family(server) is socket.AF_INET6 else TCP4ClientEndpoint
        protocol = _TcpQuery(query)
        await connectProtocol(endpoint(self._reactor, *server, timeout=self._timeout), protocol)
        try:
            return await protocol.reply
        finally:
            protocol.hang_up()


@implementer(IReadDescriptor)
class _UdpReader:
    """Waits on a connected socket for the reply to one query; what is not that reply is passed over."""

    def __init__(self, sock: socket.socket, query: QueryMessage) -> None:
        self._sock = sock
        self._query = query
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
            reply = read_reply(self._query, wire)
            if reply is not None and not self.reply.called:
                self.reply.callback(reply)
                return

    def connectionLost(self, reason: Failure) -> None:
        """End the waiting: the reactor gives the socket up, and the socket knows best why."""
        self.doRead()
        self._fail(reason)

    def _fail(self, reason: Failure) -> None:
        if not self.reply.called:
            self.reply.errback(reason)


class _TcpQuery(Int16StringReceiver):
    """One question and its reply, each with its length before it (RFC 1035 section 4.2.2)."""

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
            self.reply.errback(_NoReply("nonsense over TCP"))
        else:
            self.reply.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the waiting when the server hangs up."""
        if not self.reply.called:
            self.reply.errback(reason)


def _family(server: Server) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET


def _label(server: Server) -> str:
    return f"{bracketed(server[0])}:{server[1]}"
