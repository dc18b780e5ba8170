"""Ports on which TLS begins with the first octet."""

import socket
from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.certificates import authority
from harness.waiting import eventually
from mta.inbound.limits import InboundLimits
from mta.inbound.sockets.port_rule import RELAY_PORT, PortRule
from mta.inbound.sockets.ports import bind, listen
from tests.drivers.listener import STRANGER, Listening
from tests.drivers.tls_client import TlsClient
from tests.inbound.listener_case import GREET, MAIL, RCPT, ListenerCase

TLS_PORT = PortRule("SUBMISSION_TLS_PORT", implicit_tls=True)


class MemoryTests(ListenerCase):
    def test_no_octet_is_sent_in_clear(self) -> None:
        wire = self.listen(starttls=True).connect(rule=TLS_PORT)
        assert wire.transport.tls_options is self.listening.factory.certificate
        assert wire.heard() == ""
        self.listening.factory.stop()
        assert wire.heard() == ""
        assert wire.transport.aborted

    def test_the_greeting_follows_the_handshake_and_starttls_is_not_offered(self) -> None:
        wire = self.listen(starttls=True).connect(rule=TLS_PORT)
        wire.protocol.handshakeCompleted()
        assert wire.heard().startswith("220 ")
        said = wire.say(GREET)
        assert "250" in said
        assert "STARTTLS" not in said
        assert wire.say("STARTTLS").startswith("503 ")
        assert wire.say(MAIL, RCPT).count("250 ") == 2

    def test_a_handshake_that_does_not_end_is_broken_off_after_a_minute(self) -> None:
        wire = self.listen(starttls=True).connect(rule=TLS_PORT)
        self.listening.clock.pump([5] * 11)
        assert not wire.transport.aborted
        self.listening.clock.pump([5, 5])
        assert wire.transport.aborted
        assert wire.heard() == ""
        assert "the TLS handshake did not come to its end" in self.listening.lines[-1]

    def test_a_rejected_client_gets_no_reply_in_clear_and_is_logged(self) -> None:
        listening = self.listen(InboundLimits(connections_per_stranger=1), starttls=True)
        listening.connect(STRANGER)
        wire = listening.connect(STRANGER, TLS_PORT)
        assert wire.heard() == ""
        assert not wire.open
        assert "turned-away client=203.0.113.9" in listening.lines[-1]

    def test_all_ports_share_the_limits_and_the_end(self) -> None:
        listening = self.listen(InboundLimits(connections=2), starttls=True)
        secure, plain = listening.connect(rule=TLS_PORT), listening.connect()
        assert listening.connect().heard().startswith("421 4.3.2")
        stopped = listening.factory.stop()
        for wire in (secure, plain):
            assert not stopped.called
            wire.protocol.connectionLost()
        assert stopped.called


class SocketTests(TestCase):
    """Real connections."""

    def setUp(self) -> None:
        self.parts = Listening(starttls=True)
        self.parts.factory.certificate = authority().leaf(["a.test"]).server_options()
        self.addresses = {}
        self.ports = {}
        for rule in (RELAY_PORT, TLS_PORT):
            bound = bind("127.0.0.1", 0, "BIND_IP")
            self.addresses[rule] = bound.getsockname()
            self.ports[rule] = port = listen(reactor, bound, self.parts.factory.for_port(rule))
            self.addCleanup(port.stopListening)
        self.addCleanup(self.parts.factory.stop)

    async def converse(self, what: Callable[[socket.socket], bytes]) -> bytes:
        """Return the octets that a client in another thread got."""

        def connect() -> bytes:
            with socket.create_connection(self.addresses[TLS_PORT], timeout=10) as plain:
                return what(plain)

        return await deferToThread(connect)

    async def test_a_session_inside_tls_comes_to_its_end_though_the_client_waits_for_nothing(self) -> None:
        message = f"{GREET}\r\n{MAIL}\r\n{RCPT}\r\nBDAT 7 LAST\r\nhello\r\nQUIT\r\n".encode()

        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            client = TlsClient(version)

            def what(plain: socket.socket, client: TlsClient = client) -> bytes:
                plain.sendall(client.hello)
                return client.converse(plain, message)

            codes = [line[:3] for line in (await self.converse(what)).split(b"\r\n") if line[3:4] == b" "]
            assert codes == [b"220", b"250", b"250", b"250", b"250", b"221"]
        for claim in self.parts.delivery.taken:
            assert claim.envelope.origin.protocol == "ESMTPS"

    async def test_clear_text_is_refused_by_tls_and_the_log_says_so(self) -> None:
        def what(plain: socket.socket) -> bytes:
            plain.sendall(b"EHLO client.test\r\n")
            return plain.recv(4096)

        heard = await self.converse(what)
        # An alert record of TLS, or nothing.
        assert heard[:1] in (b"", b"\x15")
        await eventually(reactor, lambda: bool(self.parts.lines))
        assert "TLS failed: wrong version number" in self.parts.lines[-1]

    async def test_a_check_whether_the_port_is_open_leaves_no_line(self) -> None:
        def half_close(plain: socket.socket) -> bytes:
            plain.shutdown(socket.SHUT_WR)
            return plain.recv(4096)

        await self.converse(lambda _plain: b"")
        await self.converse(half_close)
        await eventually(reactor, lambda: self.ports[TLS_PORT].sessionno == 2 and not self.parts.factory._open)
        assert self.parts.lines == []
