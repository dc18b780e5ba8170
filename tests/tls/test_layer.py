"""The TLS layer: half-closed connections, large bodies, and connections that end without close_notify."""

from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from harness.certificates import authority
from mta.routing.route import Route, TlsRule
from mta.tls.client import TrustAnchors, client_options
from mta.tls.context import new_context
from mta.tls.prompt_writer import PromptWriter

LEAF = authority().leaf(["a.test"])


class Watched(SSL.Connection):
    """Notes how many octets are put into its memory BIO at once."""

    largest = 0

    def bio_write(self, buf: Any) -> int:
        self.largest = max(self.largest, len(buf))
        return super().bio_write(buf)


@implementer(IOpenSSLServerConnectionCreator)
class Options:
    def __init__(self) -> None:
        self.context = new_context(SSL.TLS_SERVER_METHOD)
        self.context.use_certificate(LEAF.certificate)
        self.context.use_privatekey(LEAF.key)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        self.made = Watched(self.context, None)
        return self.made


@implementer(IHandshakeListener)
class End(Protocol):
    """One end of a connection that begins TLS at once."""

    transport: Any

    def __init__(self, options: object) -> None:
        self.options = options
        self.received = b""
        self.expected = 0
        self.secure: Deferred[None] = Deferred()
        self.complete: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.bufferSize = 131072
        self.writer = PromptWriter(self.transport)
        self.writer.start_tls(self.options)

    def handshakeCompleted(self) -> None:
        self.secure.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if len(self.received) == self.expected:
            self.complete.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


@implementer(IHalfCloseableProtocol)
class Patient(End):
    """Goes on after the end of its input: says so, and closes."""

    def readConnectionLost(self) -> None:
        self.writer.write(b"all heard")
        self.writer.close()

    def writeConnectionLost(self) -> None:
        pass


class LayerTests(TestCase):
    async def pair(self, kind: type[End]) -> tuple[End, End]:
        self.options = Options()
        server = kind(self.options)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(lambda: server))
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        rule = client_options(Route("a.test", "127.0.0.1", number, TlsRule.REQUIRE), trust=TrustAnchors())
        client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", number), End(rule))
        self.addCleanup(client.transport.abortConnection)
        self.addCleanup(server.transport.abortConnection)
        await client.secure
        await server.secure
        return client, server

    async def test_a_large_body_goes_through_a_small_buffer(self) -> None:
        client, server = await self.pair(End)
        server.expected = 1_000_000
        client.writer.write(b"x" * server.expected)
        await server.complete
        assert server.received == b"x" * 1_000_000
        assert self.options.made.largest <= 16384

    async def test_a_protocol_that_knows_half_closed_connections_answers_after_the_end_of_its_input(self) -> None:
        client, _ = await self.pair(Patient)
        client.transport.getHandle().shutdown()
        client.transport.protocol._flushSendBIO()
        await client.lost
        assert client.received == b"all heard"

    async def test_any_other_protocol_gets_connection_lost(self) -> None:
        client, server = await self.pair(End)
        client.writer.write(b"goodbye")
        client.writer.close()
        await server.lost
        assert server.received == b"goodbye"

    async def test_a_connection_that_ends_without_close_notify_is_lost(self) -> None:
        client, server = await self.pair(End)
        client.transport.socket.shutdown(1)
        await server.lost
