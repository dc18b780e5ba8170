"""Clients that close their sending side behind their last command, and wait for the replies."""

import socket
from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.certificates import authority
from mta.inbound.protocol import STOPPING, TIMEOUT
from mta.queue.memory import MemoryQueue
from mta.smtp.server.canned_replies import RECIPIENT_OK
from tests.drivers.listener import Listening, SlowQueue, Wire

MESSAGE = "EHLO app.test\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nBDAT 7 LAST\r\nhello\r\nQUIT\r\n"
PARTS = MESSAGE.partition("MAIL")
CODES = ["250", "250", "250", "250", "221"]


def codes(said: str) -> list[str]:
    """Return the codes of all replies but the greeting."""
    return [line[:3] for line in said.splitlines() if line[3:4] == " " and not line.startswith("220 ")]


def sent(queue: MemoryQueue | None = None, wire: str = MESSAGE) -> tuple[Listening, Wire]:
    """Return a listener and a client that has sent this and closed its sending side."""
    parts = Listening(None, queue)
    client = parts.connect()
    client.protocol.dataReceived(wire.encode())
    client.protocol.readConnectionLost()
    return parts, client


def test_the_replies_come_after_the_sync_and_then_the_connection_closes():
    queue = SlowQueue()
    parts, client = sent(queue)
    assert codes(client.heard()) == CODES[:3]
    assert client.open
    queue.syncs[0].callback(None)
    assert codes(client.heard()) == CODES[3:]
    assert not client.open
    assert len(parts.delivery.taken) == 1


def test_a_reply_that_waits_for_the_dns_arrives_with_the_replies_pipelined_behind_it():
    found: list[Callable[[], None]] = []
    parts = Listening()
    parts.check_domain = lambda _domain, done, choice=None: found.append(lambda: done(RECIPIENT_OK))
    client = parts.connect("203.0.113.9")
    client.protocol.dataReceived(MESSAGE.replace("b@b.test", "b@relay.test").encode())
    client.protocol.readConnectionLost()
    assert codes(client.heard()) == CODES[:2]
    found[0]()
    assert codes(client.heard()) == CODES[2:]
    assert not client.open


def test_a_client_that_does_not_read_its_replies_is_dropped_in_time():
    queue = SlowQueue()
    parts, client = sent(queue)
    client.protocol.pauseProducing()
    queue.syncs[0].callback(None)
    assert not client.transport.aborted
    parts.clock.advance(parts.limits.write_timeout + 5)
    assert client.transport.aborted


def test_a_look_up_that_never_ends_does_not_keep_a_half_closed_session():
    parts = Listening()
    parts.check_domain = lambda _domain, _done, choice=None: None
    client = parts.connect("203.0.113.9")
    client.protocol.dataReceived(MESSAGE.replace("b@b.test", "b@relay.test").encode())
    client.protocol.readConnectionLost()
    client.heard()
    for _ in range(100):
        parts.clock.advance(5)
    assert client.heard().startswith(str(TIMEOUT.code))
    assert not client.open


def test_a_half_closed_session_gets_its_verdict_though_the_relay_stops():
    queue = SlowQueue()
    parts, client = sent(queue)
    client.heard()
    parts.factory.stop()
    queue.syncs[0].callback(None)
    assert codes(client.heard()) in (CODES[3:], ["250", str(STOPPING.code)])
    assert not client.open


def test_a_body_that_ends_too_soon_is_logged_and_the_connection_closes_at_once():
    parts, client = sent(wire=MESSAGE.replace("BDAT 7", "BDAT 700"))
    assert not client.open
    assert parts.delivery.taken == []
    assert "connection lost" in parts.lines[-1]


def test_the_end_of_the_input_is_not_watched_again_when_the_client_reads_on():
    queue = SlowQueue()
    _, client = sent(queue)
    client.transport.pauseProducing()
    client.protocol.pauseProducing()
    client.protocol.resumeProducing()
    assert client.transport.producerState == "paused"


class SocketTests(TestCase):
    """Real connections, in clear and under TLS."""

    def setUp(self) -> None:
        self.queue = SlowQueue()
        self.parts = Listening(None, self.queue, starttls=True)
        self.parts.factory.certificate = authority().leaf(["a.test"]).server_options()
        port = reactor.listenTCP(0, self.parts.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.parts.factory.stop)
        self.address = ("127.0.0.1", port.getHost().port)

    def store_soon(self) -> None:
        """Let the message be stored a moment after its end was read, when the client has closed its sending side."""
        if self.queue.syncs:
            reactor.callLater(0.05, self.queue.syncs[0].callback, None)
        else:
            reactor.callLater(0.01, self.store_soon)

    async def said(self, converse: Callable[[socket.socket], bytes]) -> list[str]:
        """Return the codes of the replies that a client got."""

        def connect() -> bytes:
            with socket.create_connection(self.address, timeout=10) as plain:
                return converse(plain)

        self.store_soon()
        heard = await deferToThread(connect)
        return codes(heard.decode())

    async def test_every_reply_arrives_in_clear(self) -> None:
        def converse(plain: socket.socket) -> bytes:
            plain.sendall(MESSAGE.encode())
            plain.shutdown(socket.SHUT_WR)
            return _rest(plain.recv)

        assert await self.said(converse) == CODES
        assert len(self.parts.delivery.taken) == 1

    async def test_every_reply_arrives_under_tls_behind_close_notify(self) -> None:
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.queue.syncs.clear()
            assert await self.said(lambda plain, version=version: _over_tls(plain, version)) == CODES
        assert len(self.parts.delivery.taken) == 2

    async def test_every_reply_arrives_under_tls_behind_the_end_of_the_tcp_stream(self) -> None:
        assert await self.said(lambda plain: _over_tls(plain, SSL.TLS1_3_VERSION, notify=False)) == CODES
        assert len(self.parts.delivery.taken) == 1

    async def test_a_handshake_that_ends_in_the_middle_ends_the_connection(self) -> None:
        def converse(plain: socket.socket) -> bytes:
            plain.sendall(b"EHLO app.test\r\nSTARTTLS\r\n")
            heard = b""
            while b"ready to start TLS" not in heard:
                heard += plain.recv(4096)
            plain.shutdown(socket.SHUT_WR)
            return _rest(plain.recv)

        heard = await deferToThread(lambda: self._connected(converse))
        assert heard == b""

    def _connected(self, converse: Callable[[socket.socket], bytes]) -> bytes:
        with socket.create_connection(self.address, timeout=10) as plain:
            return converse(plain)


def _over_tls(plain: socket.socket, version: int, *, notify: bool = True) -> bytes:
    """Send all commands under TLS; close the sending side by close_notify, or without it by the end of the stream."""
    plain.sendall(b"EHLO app.test\r\nSTARTTLS\r\n")
    heard = b""
    while b"ready to start TLS" not in heard:
        heard += plain.recv(4096)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    plain.setblocking(True)  # noqa: FBT003
    secure = SSL.Connection(context, plain)
    secure.set_connect_state()
    secure.do_handshake()
    secure.sendall(MESSAGE.encode())
    if notify:
        secure.shutdown()
    else:
        plain.shutdown(socket.SHUT_WR)

    def receive(size: int) -> bytes:
        try:
            return secure.recv(size)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            return b""

    return _rest(receive)


def _rest(receive: Callable[[int], bytes]) -> bytes:
    """Return everything until the end."""
    heard = b""
    while piece := receive(4096):
        heard += piece
    return heard
