"""Connections of load balancers, in memory and by real sockets."""

import socket
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.certificates import authority
from harness.waiting import eventually
from mta.inbound.limits import InboundLimits
from mta.inbound.sockets.balance import Balance, shared_memory
from mta.inbound.sockets.port_rule import RELAY_PORT, PortRule
from mta.inbound.sockets.ports import bind, listen
from mta.inbound.sockets.proxied import HEADER_TIMEOUT
from tests.drivers.listener import FRIEND, STRANGER, Listening, Wire
from tests.drivers.tls_client import TlsClient
from tests.inbound.listener_case import GREET, MAIL, RCPT, AnyLimits, ListenerCase
from tests.inbound.sockets.test_proxy_header import V4, v1, v2

BALANCER = "10.0.0.2"
TLS_PORT = PortRule("SUBMISSION_TLS_PORT", implicit_tls=True)
LOCAL = v2(b"", family=0, command=0x20)


def from_client(address: str) -> bytes:
    return v1(f"TCP4 {address} {BALANCER} 40000 25")


class ProxiedTests(ListenerCase):
    def balanced(self, limits: AnyLimits | None = None) -> Listening:
        listening = self.listen(limits, starttls=True)
        listening.balancers = frozenset((BALANCER,))
        return listening

    def proxied(self, header: bytes, listening: Listening | None = None, rule: PortRule = RELAY_PORT) -> Wire:
        """Connect a client through the load balancer."""
        wire = (listening or self.balanced()).connect(BALANCER, rule)
        wire.protocol.dataReceived(header)
        return wire

    def test_nothing_is_said_before_the_header_and_then_the_relay_greets(self) -> None:
        wire = self.balanced().connect(BALANCER)
        for octet in v2(V4, family=0x11):
            assert wire.heard() == ""
            wire.protocol.dataReceived(bytes((octet,)))
        assert wire.heard().startswith("220 ")

    def test_the_named_client_is_the_client_in_trust_and_trace(self) -> None:
        for header, address, code in ((from_client(FRIEND), FRIEND, "250"), (from_client(STRANGER), STRANGER, "550")):
            wire = self.proxied(header)
            said = wire.say(GREET, MAIL, RCPT, RCPT.replace("b.test", "relay.test"), "BDAT 0 LAST")
            assert said.splitlines()[-3][:3] == code
            (claim,) = self.listening.delivery.taken
            assert claim.envelope.origin.client == address

    def test_a_header_without_a_client_means_the_load_balancer_itself(self) -> None:
        for header in (LOCAL, v1("UNKNOWN"), v2(b"", family=0)):
            wire = self.proxied(header)
            assert wire.protocol.client.address == BALANCER
            assert wire.say("QUIT").splitlines()[-1].startswith("221 ")

    def test_octets_behind_the_header_are_commands_in_any_piece(self) -> None:
        data = from_client(FRIEND) + f"{GREET}\r\nNOOP\r\nQUIT\r\n".encode()
        for size in range(1, len(data) + 1):
            wire = self.balanced().connect(BALANCER)
            wire.protocol.dataReceived(data[:size])
            wire.protocol.dataReceived(data[size:])
            codes = [line[:3] for line in wire.heard().splitlines() if line[3:4] == " "]
            assert codes == ["220", "250", "250", "221"]

    def test_a_second_header_is_no_command(self) -> None:
        wire = self.proxied(from_client(STRANGER) + from_client(FRIEND))
        assert wire.heard().splitlines()[-1].startswith("554 5.5.1 the PROXY protocol")

    def test_a_header_of_anybody_else_is_refused(self) -> None:
        for address in (STRANGER, FRIEND):
            wire = self.balanced().connect(address)
            wire.protocol.dataReceived(from_client(FRIEND))
            assert wire.heard().splitlines()[-1].startswith("554 5.5.1 the PROXY protocol")
            assert wire.protocol.client.address == address

    def test_without_a_header_the_connection_ends_in_silence_and_one_line_a_minute(self) -> None:
        listening = self.balanced()
        for data in (b"EHLO a.test\r\n", b"PROXY TCP9\r\n", b"\x16\x03\x01\0\0"):
            wire = self.proxied(data, listening)
            assert wire.transport.aborted
            wire.protocol.dataReceived(from_client(FRIEND))
            assert wire.heard() == ""
            wire.protocol.connectionLost()
        (line,) = listening.lines
        assert "trouble" in line
        assert f"{BALANCER}, which PROXY_NETWORKS names, was closed: it began without a PROXY header" in line
        listening.clock.pump([5] * 13)
        self.proxied(b"PROXY TCP9\r\n", listening)
        assert len(listening.lines) == 2

    def test_a_header_must_be_complete_in_time_whatever_arrives(self) -> None:
        wire = self.balanced().connect(BALANCER)
        for octet in v2(V4, family=0x11)[:4]:
            self.listening.clock.advance(HEADER_TIMEOUT / 5)
            wire.protocol.dataReceived(bytes((octet,)))
        assert not wire.transport.aborted
        self.listening.clock.advance(HEADER_TIMEOUT / 5)
        assert wire.transport.aborted
        assert "no PROXY header came within 5 s" in self.listening.lines[-1]

    def test_a_complete_header_leaves_no_timer(self) -> None:
        wire = self.proxied(from_client(FRIEND))
        wire.protocol.connectionLost()
        self.listening.clock.advance(HEADER_TIMEOUT)
        assert not self.listening.clock.getDelayedCalls()
        assert self.listening.lines == []

    def test_a_check_whether_the_port_is_open_leaves_no_line(self) -> None:
        listening = self.balanced()
        listening.connect(BALANCER).protocol.connectionLost()
        self.proxied(LOCAL, listening).protocol.connectionLost()
        assert listening.lines == []
        self.proxied(LOCAL[:5], listening).protocol.connectionLost()
        assert "it ended within its PROXY header" in listening.lines[-1]

    def test_each_named_stranger_has_its_own_limit_and_the_load_balancer_none(self) -> None:
        listening = self.balanced(InboundLimits(connections_per_stranger=2))
        for _ in range(10):
            assert self.proxied(LOCAL, listening).heard().startswith("220")
        for number in range(10):
            wires = [self.proxied(from_client(f"198.51.100.{number}"), listening) for _ in range(3)]
            assert [wire.heard()[:3] for wire in wires] == ["220", "220", "421"]
            assert not wires[-1].open
            assert f"turned-away client=198.51.100.{number} " in listening.lines[-1]
            wires[0].protocol.connectionLost()
            assert self.proxied(from_client(f"198.51.100.{number}"), listening).heard().startswith("220")

    def test_unfinished_headers_are_bounded(self) -> None:
        listening = self.balanced(InboundLimits(unfinished_headers=3))
        wires = [listening.connect(BALANCER) for _ in range(3)]
        refused = listening.connect(BALANCER)
        assert refused.heard().startswith("421 4.3.2")
        assert not refused.open
        assert listening.connect(STRANGER).heard().startswith("220")
        wires[0].protocol.dataReceived(from_client(FRIEND))
        wires[1].protocol.connectionLost()
        assert listening.connect(BALANCER).heard() == ""
        assert listening.connect(BALANCER).heard() == ""
        assert listening.connect(BALANCER).heard().startswith("421")

    def test_a_stop_closes_connections_without_a_header_and_refuses_new_ones(self) -> None:
        listening = self.balanced()
        pending, served = listening.connect(BALANCER), self.proxied(from_client(FRIEND), listening)
        stopped = listening.factory.stop()
        assert pending.transport.aborted
        assert pending.heard() == ""
        assert served.heard().endswith("421 4.3.2 The service is stopping, please try again later\r\n")
        self.assertNoResult(stopped)
        served.protocol.connectionLost()
        self.successResultOf(stopped)
        pending.protocol.connectionLost()
        assert not listening.clock.getDelayedCalls()
        assert listening.connect(BALANCER).heard().startswith("421")

    def test_a_proxied_session_has_the_deadlines_of_every_session(self) -> None:
        wire = self.proxied(from_client(FRIEND))
        wire.heard()
        self.listening.clock.pump([5] * 61)
        assert wire.heard().startswith("421 4.4.2")

    def test_where_tls_begins_at_once_it_begins_behind_the_header(self) -> None:
        wire = self.balanced().connect(BALANCER, TLS_PORT)
        assert wire.transport.tls_options is None
        wire.protocol.dataReceived(from_client(STRANGER))
        assert wire.transport.tls_options is not None
        assert wire.heard() == ""

    def test_a_stranger_who_is_refused_behind_a_header_gets_no_clear_text_where_tls_begins_at_once(self) -> None:
        listening = self.balanced(InboundLimits(connections_per_stranger=1))
        self.proxied(from_client(STRANGER), listening, TLS_PORT)
        refused = self.proxied(from_client(STRANGER), listening, TLS_PORT)
        assert refused.heard() == ""
        assert not refused.open


class SocketTests(TestCase):
    """Real connections, between processes that share a socket."""

    def setUp(self) -> None:
        self.parts = Listening(starttls=True)
        self.parts.balancers = frozenset(("127.0.0.1",))
        self.parts.factory.certificate = authority().leaf(["a.test"]).server_options()
        self.balance = Balance(shared_memory(1), 1)
        self.balance.begin()
        self.addresses = {}
        for rule in (RELAY_PORT, TLS_PORT):
            bound = bind("127.0.0.1", 0, "BIND_IP")
            self.addresses[rule] = bound.getsockname()
            port = listen(reactor, bound, self.parts.factory.for_port(rule), self.balance)
            self.addCleanup(port.stopListening)
        self.addCleanup(self.parts.factory.stop)

    async def converse(self, what: Callable[[socket.socket], bytes], rule: PortRule = RELAY_PORT) -> bytes:
        def connect() -> bytes:
            with socket.create_connection(self.addresses[rule], timeout=10) as plain:
                return what(plain)

        return await deferToThread(connect)

    async def test_a_client_that_closes_its_sending_side_gets_every_reply(self) -> None:
        def what(plain: socket.socket) -> bytes:
            plain.sendall(from_client("127.0.0.1") + f"{GREET}\r\n{MAIL}\r\n{RCPT}\r\nNOOP\r\nQUIT\r\n".encode())
            plain.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: plain.recv(4096), b""))

        said = await self.converse(what)
        codes = [line[:3] for line in said.split(b"\r\n") if line[3:4] == b" "]
        assert codes == [b"220", b"250", b"250", b"250", b"250", b"221"]
        await eventually(reactor, lambda: not self.parts.factory._open)

    async def test_tls_whose_first_octets_arrive_with_the_header_goes_on_behind_it(self) -> None:
        def what(plain: socket.socket) -> bytes:
            client = TlsClient()
            plain.sendall(from_client(STRANGER) + client.hello)
            return client.converse(plain, f"{GREET}\r\nQUIT\r\n".encode())

        said = await self.converse(what, TLS_PORT)
        assert said.startswith(b"220 ")
        assert b"221 " in said

    async def test_the_balance_of_the_processes_counts_pending_headers_and_forgets_them(self) -> None:
        def what(plain: socket.socket) -> bytes:
            plain.sendall(b"no header\r\n")
            return plain.recv(4096)

        for _ in range(3):
            with self.assertRaises(ConnectionResetError):
                await self.converse(what)
        await eventually(reactor, lambda: self.balance._open[0] == 0)
