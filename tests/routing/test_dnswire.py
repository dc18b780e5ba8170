import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from mta.delivery.limits import DeliveryLimits
from mta.routing.answers import Found, LookupFailed
from mta.routing.dnswire import DnsWire
from mta.routing.resolver import DnsResolver
from tests.fakes.dnsserver import DnsServer
from tests.fakes.processes import PATIENCE
from tests.fakes.zone import Zone
from tests.routing.resolver_contract import RECORDS


class _CrankedReactor(Clock):
    """Time by hand, real sockets: `look` lets the readers look at what has come."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def look(self) -> None:
        for reader in tuple(self.readers):
            reader.doRead()


class TestLyingServers(SynchronousTestCase):
    """The server is a bare socket, so that it can say anything at any time."""

    def setUp(self) -> None:
        self.reactor = _CrankedReactor()
        self.socket = self._bind()
        self.address = self.socket.getsockname()
        self.honest = DnsServer(Zone(RECORDS))

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        return sock

    def _ask(self, *servers: Any, **options: Any) -> Deferred[Any]:
        wire = DnsWire(self.reactor, servers or [self.address], **options)  # type: ignore[arg-type]
        return Deferred.fromCoroutine(DnsResolver(wire, self.reactor.seconds).mx("example.test"))

    def _lie(self, change: Callable[[bytes], bytes]) -> None:
        """Send a spoiled reply, see that it is not believed, then send the true one and see that it is."""
        asking = self._ask()
        query, client = self.socket.recvfrom(4096)
        reply = self.honest.reply(query, "udp")
        assert reply is not None
        self.socket.sendto(change(reply), client)
        self.reactor.look()
        self.assertNoResult(asking)
        self.socket.sendto(reply, client)
        self.reactor.look()
        assert isinstance(self.successResultOf(asking), Found)
        assert self.reactor.readers == []

    def test_a_reply_with_another_id_is_not_believed(self) -> None:
        self._lie(lambda reply: bytes([reply[0] ^ 1]) + reply[1:])

    def test_a_reply_to_another_question_is_not_believed(self) -> None:
        self._lie(lambda reply: reply.replace(b"\x07example\x04test", b"\x07elpmaxe\x04test"))

    def test_a_query_sent_back_is_not_believed(self) -> None:
        self._lie(lambda reply: reply[:2] + bytes([reply[2] & 0x7F]) + reply[3:])

    def test_noise_is_not_believed(self) -> None:
        self._lie(lambda reply: b"\xff" * 7)
        self._lie(lambda reply: b"")
        self._lie(lambda reply: reply[:-3])

    def test_a_reply_from_another_address_is_not_believed(self) -> None:
        asking = self._ask()
        query, client = self.socket.recvfrom(4096)
        reply = self.honest.reply(query, "udp")
        assert reply is not None
        self._bind().sendto(reply, client)
        self.reactor.look()
        self.assertNoResult(asking)
        self.reactor.advance(3)
        self.reactor.advance(3)
        assert isinstance(self.successResultOf(asking), LookupFailed)

    def test_each_query_has_an_id_and_a_port_of_its_own(self) -> None:
        asking = [self._ask() for _ in range(8)]
        seen = [self.socket.recvfrom(4096) for _ in range(8)]
        assert len({client for _, client in seen}) == 8
        assert len({query[:2] for query, _ in seen}) > 4
        for answer in asking:
            answer.addErrback(lambda failure: None).cancel()

    def test_silence_ends_after_two_tries_at_each_server(self) -> None:
        other = self._bind()
        asking = self._ask(self.address, other.getsockname())
        for _ in range(3):
            self.reactor.advance(2.9)
            self.assertNoResult(asking)
            self.reactor.advance(0.1)
        self.reactor.advance(3)
        answer = self.successResultOf(asking)
        assert isinstance(answer, LookupFailed)
        assert "no reply within 3 s" in answer.reason
        assert f"127.0.0.1:{self.address[1]}" in answer.reason
        assert self.reactor.readers == []
        assert self.reactor.getDelayedCalls() == []

    def test_a_silent_server_is_asked_last_the_next_time(self) -> None:
        other = self._bind()
        wire = DnsWire(self.reactor, [self.address, other.getsockname()])  # type: ignore[arg-type]
        resolver = DnsResolver(wire, self.reactor.seconds)
        first = Deferred.fromCoroutine(resolver.mx("example.test"))
        self.reactor.advance(3)
        query, client = other.recvfrom(4096)
        other.sendto(self.honest.reply(query, "udp") or b"", client)
        self.reactor.look()
        assert isinstance(self.successResultOf(first), Found)
        second = Deferred.fromCoroutine(resolver.mx("null.test"))
        query, client = other.recvfrom(4096)
        other.sendto(self.honest.reply(query, "udp") or b"", client)
        self.reactor.look()
        assert isinstance(self.successResultOf(second), Found)

    def test_questions_in_flight_and_waiting_are_bounded(self) -> None:
        wire = DnsWire(self.reactor, [self.address], in_flight=2, waiting=1)  # type: ignore[arg-type]
        resolver = DnsResolver(wire, self.reactor.seconds)
        asking = [Deferred.fromCoroutine(resolver.mx(f"d{n}.test")) for n in range(4)]
        assert len(self.reactor.readers) == 2
        answer = self.successResultOf(asking[3])
        assert isinstance(answer, LookupFailed)
        assert "waiting" in answer.reason
        for _ in range(4):
            self.reactor.advance(3)
        assert all(isinstance(self.successResultOf(answer), LookupFailed) for answer in asking[:3])

    def test_what_is_known_is_told_while_no_server_answers(self) -> None:
        resolver = DnsResolver(DnsWire(self.reactor, [self.address]), self.reactor.seconds)  # type: ignore[arg-type]
        first = Deferred.fromCoroutine(resolver.mx("example.test"))
        query, client = self.socket.recvfrom(4096)
        self.socket.sendto(self.honest.reply(query, "udp") or b"", client)
        self.reactor.look()
        assert isinstance(self.successResultOf(first), Found)
        silent = [Deferred.fromCoroutine(resolver.mx(f"d{n}.test")) for n in range(150)]
        assert len(self.reactor.readers) == 100
        assert isinstance(self.successResultOf(Deferred.fromCoroutine(resolver.mx("example.test"))), Found)
        for answer in silent:
            answer.addErrback(lambda failure: None).cancel()

    def test_all_messages_that_can_be_in_work_may_ask_at_once(self) -> None:
        wire = DnsWire(self.reactor, [self.address])  # type: ignore[arg-type]
        resolver = DnsResolver(wire, self.reactor.seconds)
        asking = [Deferred.fromCoroutine(resolver.mx(f"d{n}.test")) for n in range(DeliveryLimits().jobs)]
        assert len(self.reactor.readers) == 100
        assert not any(answer.called for answer in asking)
        for answer in asking:
            answer.addErrback(lambda failure: None).cancel()


class TestServerOnIpv6(TestCase):
    async def test_a_server_may_have_an_ipv6_address(self) -> None:
        from twisted.internet import reactor
        from twisted.internet.error import CannotListenError

        server = DnsServer(Zone({"many.test": {"A": [f"192.0.2.{n}" for n in range(90)]}}))
        try:
            port = server.listen(reactor, interface="::1")
        except CannotListenError:
            raise SkipTest("this machine has no IPv6") from None
        self.addCleanup(server.stop)
        resolver = DnsResolver(DnsWire(reactor, [("::1", port)], timeout=PATIENCE), Clock().seconds)  # type: ignore[arg-type]
        assert isinstance(await resolver.addresses("many.test", ipv6=False), Found)
        assert [transport for *_, transport in server.asked] == ["udp", "tcp"]
