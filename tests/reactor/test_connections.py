"""Connections in the relay's reactor, in clear and inside TLS: pauses of both directions, and ends at each point."""

from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLServerConnectionCreator, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from harness.certificates import authority
from mta.routing.route import Route, TlsRule
from mta.tls.client import TrustAnchors, client_options
from mta.tls.context import new_context
from mta.tls.prompt_writer import PromptWriter

LEAF = authority().leaf(["a.test"])
BODY = bytes(range(256)) * 8192


@implementer(IOpenSSLServerConnectionCreator)
class Options:
    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        context = new_context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(LEAF.certificate)
        context.use_privatekey(LEAF.key)
        return SSL.Connection(context, None)


@implementer(IHandshakeListener, IPushProducer)
class End(Protocol):
    """One end of a connection. `begun` has come when it may be written to, `ended` when it is lost."""

    transport: Any

    def __init__(self, options: object | None) -> None:
        self.options = options
        self.begun: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.received = bytearray()
        self.awaited = len(BODY)
        self.complete: Deferred[None] = Deferred()
        self.pauses = 0
        self.to_write = b""
        self.writing = False

    def connectionMade(self) -> None:
        self.writer = PromptWriter(self.transport)
        if self.options is None:
            self.begun.callback(None)
        else:
            self.writer.start_tls(self.options)

    def handshakeCompleted(self) -> None:
        self.begun.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if len(self.received) == self.awaited:
            self.complete.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)

    def produce(self, data: bytes) -> None:
        """Write so much of the data as the other end takes, and the rest when it takes more."""
        self.to_write = data
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.writing = True
        while self.writing and self.to_write:
            piece, self.to_write = self.to_write[:10_000], self.to_write[10_000:]
            self.transport.write(piece)
        if not self.to_write:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.pauses += 1
        self.writing = False

    def stopProducing(self) -> None:
        self.writing = False
        self.to_write = b""


async def turns(number: int) -> None:
    for _ in range(number):
        await deferLater(reactor, 0)


class ConnectionTests(TestCase):
    secure: ClassVar[bool] = False

    async def pair(self) -> tuple[End, End]:
        """Return the ends of a connection: the client's and the server's."""
        server = End(Options() if self.secure else None)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(lambda: server))
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        options = None
        if self.secure:
            route = Route("a.test", "127.0.0.1", number, TlsRule.REQUIRE)
            options = client_options(route, trust=TrustAnchors())
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", number), End(options))
        await client.begun
        await server.begun
        for end in (client, server):
            self.addCleanup(end.transport.abortConnection)
        return client, server

    async def test_a_paused_end_reads_nothing_and_the_rest_afterwards(self) -> None:
        client, server = await self.pair()
        server.transport.pauseProducing()
        client.produce(BODY)
        await turns(50)
        assert server.received == b""
        server.transport.resumeProducing()
        await server.complete
        assert server.received == BODY

    async def test_an_end_that_pauses_in_each_read_gets_all_octets_in_order(self) -> None:
        client, server = await self.pair()

        def pause(data: bytes) -> None:
            End.dataReceived(server, data)
            server.transport.pauseProducing()
            reactor.callLater(0, server.transport.resumeProducing)

        server.dataReceived = pause
        client.produce(BODY)
        await server.complete
        assert server.received == BODY

    async def test_a_producer_is_paused_while_the_other_end_does_not_read_and_goes_on(self) -> None:
        client, server = await self.pair()
        client.transport.pauseProducing()
        client.awaited = 4 * len(BODY)
        server.produce(BODY * 4)
        await turns(50)
        assert server.pauses > 0
        assert server.to_write != b""
        client.transport.resumeProducing()
        await client.complete
        assert client.received == BODY * 4

    async def test_both_ends_send_at_the_same_time(self) -> None:
        client, server = await self.pair()
        client.produce(BODY)
        server.produce(BODY)
        await server.complete
        await client.complete
        assert server.received == client.received == BODY

    async def test_an_end_before_any_octet(self) -> None:
        client, server = await self.pair()
        client.writer.close()
        await server.ended
        assert server.received == b""

    async def test_octets_that_arrive_with_the_end_are_read_first(self) -> None:
        client, server = await self.pair()
        client.writer.write(b"last words")
        client.writer.close()
        await server.ended
        assert server.received == b"last words"

    async def test_a_reset_within_a_body(self) -> None:
        client, server = await self.pair()
        client.produce(BODY)
        await turns(3)
        client.transport.abortConnection()
        await server.ended
        await client.ended

    async def test_a_reset_of_a_connection_whose_other_end_writes(self) -> None:
        client, server = await self.pair()
        client.transport.pauseProducing()
        server.produce(BODY * 4)
        await turns(10)
        client.transport.abortConnection()
        await server.ended
        assert server.to_write == b""

    async def test_a_reset_of_a_connection_whose_other_end_is_paused_is_found_when_it_goes_on(self) -> None:
        client, server = await self.pair()
        server.transport.pauseProducing()
        client.writer.write(b"x")
        client.transport.abortConnection()
        await client.ended
        server.transport.resumeProducing()
        await server.ended

    async def test_an_end_of_its_own_in_a_read(self) -> None:
        client, server = await self.pair()
        server.dataReceived = lambda _: server.transport.abortConnection()
        client.writer.write(b"x")
        await server.ended
        await client.ended


class SecureConnectionTests(ConnectionTests):
    secure = True
