"""A test case with a connector over real sockets, and a server that is not the relay's."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from harness import certificates
from harness.sink import Sink
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.interface import Connection
from mta.message.outcome import Delivered, TryLater
from mta.routing.route import Plan, Route, TlsRule
from mta.tls.client import TrustAnchors, client_options
from tests.drivers.connector_case import AlwaysNoted, request

AUTHORITY = certificates.authority()


def loopback_options(authority: certificates.Authority, name: str = "me.test", **more: Any) -> ConnectorOptions:
    """Return the options of a connector over real sockets that trusts the certificates of an authority."""
    trust = TrustAnchors(authority.certificate_pem, system=False)
    net: Any = reactor
    return ConnectorOptions(net, name, lambda route: client_options(route, trust), AlwaysNoted(), **more)


class LoopbackCase(TestCase):
    timeout = 20

    def setUp(self) -> Any:
        self.downs: list[Deferred[None]] = []
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def sink(self, **options: Any) -> Sink:
        sink = Sink(**options)
        sink.__enter__()
        self.addCleanup(sink.__exit__)
        return sink

    def tls(self, leaf: certificates.Leaf) -> tuple[str, str]:
        certificate, key = leaf.write(self.folder)
        return str(certificate), str(key)

    def good_tls(self) -> tuple[str, str]:
        return self.tls(AUTHORITY.leaf(["sink.test"]))

    def open(self, sink: Sink, rule: TlsRule = TlsRule.OPPORTUNISTIC, **route: Any) -> Any:
        options = loopback_options(AUTHORITY, lost=self._down)
        return SmtpConnector(options).open(Plan("x", (Route("sink.test", "127.0.0.1", sink.port, rule, **route),)))

    def _down(self, _: Connection) -> None:
        while self.downs:
            self.downs.pop().callback(None)

    def down(self) -> "Deferred[None]":
        """Fire when the next connection is down."""
        self.downs.append(down := Deferred())
        return down

    def close(self, connection: Connection) -> "Deferred[None]":
        down = self.down()
        connection.quit()
        return down

    async def deliver(self, sink: Sink, body: Any = None, **route: Any) -> str:
        """Send one message and return how the connection was protected."""
        connection = await self.open(sink, **route)
        self.assertNotIsInstance(connection, TryLater)
        result = await connection.deliver(request(body=body))
        self.assertIsInstance(result.outcomes[0], Delivered, result)
        await self.close(connection)
        self.assertEqual(sink.faults, [])
        return str(connection.security)
