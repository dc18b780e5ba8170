"""The two ends of a connection in the reactor, in clear or with TLS from its beginning."""

from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLServerConnectionCreator
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


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """The options of a server whose connections are of a class, and of which `made` is the latest."""

    def __init__(self, kind: type[SSL.Connection] = SSL.Connection) -> None:
        self.kind = kind
        self.context = new_context(SSL.TLS_SERVER_METHOD)
        self.context.use_certificate(LEAF.certificate)
        self.context.use_privatekey(LEAF.key)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        self.made = self.kind(self.context, None)
        return self.made


@implementer(IHandshakeListener)
class End(Protocol):
    """One end of a connection, with TLS if it has options of it.

    `begun` comes when it may be written to, `complete` with all octets when as many as `awaited` have arrived, and
    `ended` when the connection is lost.
    """

    transport: Any

    def __init__(self, options: object | None = None, awaited: int = 1 << 30) -> None:
        self.options = options
        self.awaited = awaited
        self.received = bytearray()
        self.begun: Deferred[None] = Deferred()
        self.complete: Deferred[bytes] = Deferred()
        self.ended: Deferred[None] = Deferred()

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
        if len(self.received) >= self.awaited and not self.complete.called:
            self.complete.callback(bytes(self.received))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


def client_tls() -> object:
    """Return the options with which a client demands TLS, whatever the certificate of the server."""
    return client_options(Route("a.test", "127.0.0.1", 25, TlsRule.REQUIRE), trust=TrustAnchors())


async def connect(case: TestCase, client: End, server: End) -> None:
    """Connect two ends until the end of a test, and wait until both may be written to."""
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(lambda: server))
    case.addCleanup(port.stopListening)
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), client)
    await client.begun
    await server.begun
    for end in (client, server):
        case.addCleanup(end.transport.abortConnection)
