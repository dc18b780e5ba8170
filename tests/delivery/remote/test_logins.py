"""Logins over real TLS connections: SCRAM bound to TLS 1.2 and 1.3, and the sources of logins."""

import base64
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.tcp import Client
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import TestCase

from harness import certificates
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.interface import Connection
from mta.message.outcome import TryLater
from mta.routing.route import Credentials, Plan, Route, TlsRule
from mta.smtp.sasl import scram
from mta.smtp.sasl.logins import ChannelBinding
from mta.smtp.sasl.server import Challenge, LoggedIn, ServerExchange, start
from mta.tls.binding import channel_binding
from mta.tls.client import TrustAnchors, client_options
from tests.drivers.connector_case import AlwaysNoted

AUTHORITY = certificates.authority()
LEAF = AUTHORITY.leaf(["scram.test"])
SECRET = scram.derive("pencil", b"some salt")
PLUS, WITHOUT = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"


class ScramServer(LineOnlyReceiver):
    """Offers SCRAM inside TLS; `foreign` is a channel binding of another connection, as a host between would have."""

    options: Any
    offered = f"{PLUS} {WITHOUT} PLAIN LOGIN"
    implicit = False
    foreign: ChannelBinding | None = None
    commands: list[str]

    def connectionMade(self) -> None:
        self.exchange: ServerExchange | None = None
        self.sendLine(b"220 hi")

    def lineReceived(self, line: bytes) -> None:
        if self.exchange is not None:
            self.step(base64.b64decode(line))
            return
        command = line.decode().split()
        self.commands.append(" ".join(command[:2]))
        if command[0] == "EHLO":
            secure = isinstance(self.transport.getHandle(), SSL.Connection)
            self.sendLine(b"250-scram.test")
            self.sendLine(b"250 AUTH " + self.offered.encode() if secure else b"250 STARTTLS")
        elif command[0] == "STARTTLS":
            self.sendLine(b"220 go")
            self.transport.startTLS(self.options)
        elif command[0] == "AUTH" and command[1].startswith("SCRAM"):
            binding = self.foreign or channel_binding(self.transport, server=True)
            bound = binding if PLUS in self.offered else None
            self.exchange = start(command[1], secret_of=lambda user: SECRET, binding=bound, nonce="servernonce")
            self.step(base64.b64decode(command[2]))
        else:
            self.sendLine(b"535 5.7.8 no")

    def step(self, data: bytes) -> None:
        assert self.exchange is not None
        step = self.exchange.respond(data)
        if isinstance(step, Challenge):
            self.sendLine(b"334 " + base64.b64encode(step.data))
            return
        self.exchange = None
        self.sendLine(b"235 ok" if isinstance(step, LoggedIn) else b"535 5.7.8 no")


class BoundLogins(TestCase):
    timeout = 20

    async def log_in(self, version: int = SSL.TLS1_3_VERSION, *, implicit: bool = False, **server: Any) -> Any:
        """Open a connection; return its protection, or the TryLater."""
        options = LEAF.server_options()
        options.getContext().set_max_proto_version(version)
        self.commands: list[str] = []
        kind = type("Server", (ScramServer,), {"options": options, "commands": self.commands, **server})
        factory = Factory.forProtocol(kind)
        factory.noisy = False
        listen = reactor.listenSSL if implicit else reactor.listenTCP
        port = listen(0, factory, *([options] if implicit else []), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        credentials = Credentials("user", "pencil")
        number = port.getHost().port
        route = Route("scram.test", "127.0.0.1", number, TlsRule.VERIFY, implicit_tls=implicit, credentials=credentials)
        return await self.open(route)

    async def open(self, route: Route) -> Any:
        trust = TrustAnchors(AUTHORITY.certificate_pem, system=False)
        down: Deferred[Connection] = Deferred()
        connector = SmtpConnector(
            ConnectorOptions(
                reactor,  # type: ignore[arg-type]
                "me.test",
                lambda route: client_options(route, trust),
                AlwaysNoted(),
                lost=down.callback,
            )
        )
        connection = await connector.open(Plan("x", (route,)))
        if isinstance(connection, TryLater):
            while any(isinstance(each, Client) for each in reactor.getReaders()):
                await deferLater(reactor, 0)
            return connection
        connection.quit()
        await down
        return connection.security

    async def test_the_login_is_bound_to_tls_1_3_and_to_tls_1_2(self) -> None:
        for version, name in ((SSL.TLS1_3_VERSION, "TLSv1.3"), (SSL.TLS1_2_VERSION, "TLSv1.2")):
            for implicit in (True, False):
                security = await self.log_in(version, implicit=implicit)
                self.assertRegex(str(security), f"^{name} .* verified$")
                self.assertEqual([each for each in self.commands if "AUTH" in each], [f"AUTH {PLUS}"])

    async def test_a_host_that_passes_the_login_on_gets_no_other(self) -> None:
        for name in ("tls-exporter", "tls-unique"):
            outcome = await self.log_in(foreign=ChannelBinding(name, bytes(32)))
            self.assertIn("535 5.7.8 no (SCRAM-SHA-256-PLUS: the login is bound to this TLS connection)", outcome.text)
            self.assertIn("a proxy ends TLS in front of the smarthost, or another host answers", outcome.text)
            self.assertEqual([each for each in self.commands if "AUTH" in each], [f"AUTH {PLUS}"])

    async def test_a_server_without_plus_is_logged_in_to_without_a_binding(self) -> None:
        await self.log_in(offered=f"{WITHOUT} PLAIN")
        self.assertEqual(self.commands[-2:], [f"AUTH {WITHOUT}", "QUIT"])
