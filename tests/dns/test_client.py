"""The DNS client against servers that are silent, slow, broken or changed while it asks."""

import re
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from harness.dns_server import DnsServer
from harness.waiting import PATIENCE
from harness.zone import Zone
from mta.delivery.limits import DeliveryLimits
from mta.dns.answers import Found, LookupFailed, NoSuchName
from mta.dns.client import DnsClient
from mta.dns.resolver import DnsResolver
from mta.dns.system import ResolvConf
from tests.dns.resolver_contract import RECORDS

# Seconds of each round of tries.
ROUNDS = (0.5, 1.0, 2.0, 3.0)


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
        wire = DnsClient(self.reactor, servers or [self.address], **options)  # type: ignore[arg-type]
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
        self._lie(lambda reply: re.sub(rb"(?i)\x07example\x04test", b"\x07elpmaxe\x04test", reply))

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
        for patience in ROUNDS:
            self.reactor.advance(patience)
        assert isinstance(self.successResultOf(asking), LookupFailed)

    def test_each_query_has_an_id_and_a_port_of_its_own(self) -> None:
        asking = [self._ask() for _ in range(8)]
        seen = [self.socket.recvfrom(4096) for _ in range(8)]
        assert len({client for _, client in seen}) == 8
        assert len({query[:2] for query, _ in seen}) > 4
        for answer in asking:
            answer.addErrback(lambda failure: None).cancel()

    def test_silence_ends_after_four_tries_at_each_server(self) -> None:
        other = self._bind()
        asking = self._ask(self.address, other.getsockname())
        for patience in ROUNDS:
            for _ in range(2):
                self.assertNoResult(asking)
                self.reactor.advance(patience)
        answer = self.successResultOf(asking)
        assert isinstance(answer, LookupFailed)
        assert "no reply within 3 s" in answer.reason
        assert f"127.0.0.1:{self.address[1]}" in answer.reason
        assert self.reactor.readers == []
        assert self.reactor.getDelayedCalls() == []

    def test_a_silent_server_is_asked_last_the_next_time(self) -> None:
        other = self._bind()
        wire = DnsClient(self.reactor, [self.address, other.getsockname()])  # type: ignore[arg-type]
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
        wire = DnsClient(self.reactor, [self.address], in_flight=2, waiting=1)  # type: ignore[arg-type]
        resolver = DnsResolver(wire, self.reactor.seconds)
        asking = [Deferred.fromCoroutine(resolver.mx(f"d{n}.test")) for n in range(4)]
        assert len(self.reactor.readers) == 2
        answer = self.successResultOf(asking[3])
        assert isinstance(answer, LookupFailed)
        assert "waiting" in answer.reason
        for _ in range(10):
            self.reactor.advance(3)
        assert all(isinstance(self.successResultOf(answer), LookupFailed) for answer in asking[:3])

    def test_cached_answers_are_returned_while_no_server_answers(self) -> None:
        resolver = DnsResolver(DnsClient(self.reactor, [self.address]), self.reactor.seconds)  # type: ignore[arg-type]
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
        wire = DnsClient(self.reactor, [self.address])  # type: ignore[arg-type]
        resolver = DnsResolver(wire, self.reactor.seconds)
        asking = [Deferred.fromCoroutine(resolver.mx(f"d{n}.test")) for n in range(DeliveryLimits().jobs)]
        assert len(self.reactor.readers) == 100
        assert not any(answer.called for answer in asking)
        for answer in asking:
            answer.addErrback(lambda failure: None).cancel()


class TestChangingServers(SynchronousTestCase):
    """resolv.conf is rewritten while the relay runs."""

    def setUp(self) -> None:
        self.reactor = _CrankedReactor()
        self.honest = DnsServer(Zone(RECORDS))
        self.sockets = {address: self._bind(address) for address in ("127.0.0.1", "127.0.0.2")}
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "resolv.conf"
        self.configure("127.0.0.1", "one.test")
        conf = ResolvConf(self.reactor.seconds, self.path)
        servers = {address: sock.getsockname() for address, sock in self.sockets.items()}
        wire = DnsClient(self.reactor, lambda: [servers[address] for address in conf.servers])  # type: ignore[arg-type]
        self.resolver = DnsResolver(wire, self.reactor.seconds, system=conf)

    def _bind(self, address: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind((address, 0))
        sock.settimeout(PATIENCE)
        return sock

    def configure(self, address: str, search: str) -> None:
        self.path.write_text(f"nameserver {address}\nsearch {search}\n")

    def answer(self, address: str) -> None:
        """Have the server at this address answer the query that it was sent."""
        query, client = self.sockets[address].recvfrom(4096)
        self.sockets[address].sendto(self.honest.reply(query, "udp") or b"", client)
        self.reactor.look()

    def asked(self, name: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.resolver.mx(name))

    def test_new_servers_are_asked_and_answers_of_the_old_ones_are_discarded(self) -> None:
        for name, rdtype in (("example.test", Found), ("missing.test", NoSuchName)):
            first = self.asked(name)
            while not first.called:
                self.answer("127.0.0.1")
            assert isinstance(self.successResultOf(first), rdtype)
            assert self.asked(name).called
        self.configure("127.0.0.2", "two.test")
        self.reactor.advance(1)
        for name in ("example.test", "missing.test"):
            second = self.asked(name)
            while not second.called:
                self.answer("127.0.0.2")

    def test_a_question_that_waits_for_a_server_of_before_goes_on_to_the_new_one(self) -> None:
        answer = self.asked("example.test")
        self.reactor.advance(0.5)
        self.configure("127.0.0.2", "two.test")
        self.reactor.advance(1.0)
        self.assertNoResult(answer)
        self.answer("127.0.0.2")
        assert isinstance(self.successResultOf(answer), Found)

    def test_the_new_search_list_counts(self) -> None:
        self.honest.zone.add("gateway.two.test", A=["192.0.2.9"])
        self.configure("127.0.0.2", "two.test")
        self.reactor.advance(1)
        answer = Deferred.fromCoroutine(self.resolver.addresses("gateway", ipv6=False, search=True))
        self.answer("127.0.0.2")
        found = self.successResultOf(answer)
        assert isinstance(found, Found)
        assert found.name == "gateway.two.test"


class TestSilentZones(SynchronousTestCase):
    """A thousand names of zones whose name servers are silent, before a server that answers about all others."""

    def setUp(self) -> None:
        self.reactor = _CrankedReactor()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.honest = DnsServer(Zone(RECORDS))
        wire = DnsClient(self.reactor, [self.socket.getsockname()])  # type: ignore[arg-type]
        self.resolver = DnsResolver(wire, self.reactor.seconds)

    def flood(self, resolver: DnsResolver, form: str) -> None:
        for number in range(1000):
            answer = Deferred.fromCoroutine(resolver.mx(form.format(number)))
            self.addCleanup(answer.addErrback(lambda failure: None).cancel)

    def serve(self) -> int:
        """Answer the queries of zones that are not silent, and return how many queries had come."""
        queries = 0
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except BlockingIOError:
                self.reactor.look()
                return queries
            queries += 1
            reply = None if b"silent" in query.lower() else self.honest.reply(query, "udp")
            if reply is not None:
                self.socket.sendto(reply, client)

    def seconds_of(self, name: str) -> float:
        """Return how long a look-up takes now."""
        begun = self.reactor.seconds()
        answer = Deferred.fromCoroutine(self.resolver.mx(name))
        while not answer.called:
            self.serve()
            self.reactor.advance(0.1)
        assert isinstance(self.successResultOf(answer), Found)
        return self.reactor.seconds() - begun

    def test_a_thousand_names_of_one_silent_zone_delay_others_by_one_short_try(self) -> None:
        self.flood(self.resolver, "d{}.silent.test")
        assert self.seconds_of("example.test") < 0.8

    def test_a_thousand_silent_zones_delay_a_new_one_by_short_tries_only_and_a_known_one_hardly(self) -> None:
        self.seconds_of("example.test")
        self.flood(self.resolver, "silent{}.test")
        assert self.seconds_of("null.test") < 6
        self.flood(self.resolver, "d.silent{}.test")
        self.honest.zone.add("further.example.test", MX=[[1, "mx.example.test"]])
        assert self.seconds_of("further.example.test") < 0.8

    def test_look_ups_for_untrusted_clients_do_not_delay_mail(self) -> None:
        self.flood(self.resolver.for_untrusted_clients(), "silent{}.test")
        assert self.seconds_of("example.test") < 0.8

    def test_a_zone_that_was_just_silent_is_asked_for_a_short_time_only(self) -> None:
        tries = []
        for wait in (0.0, 30.0, 300.0):
            self.reactor.advance(wait)
            answer = Deferred.fromCoroutine(self.resolver.mx("silent.test"))
            begun = self.reactor.seconds()
            self.reactor.pump([0.05])
            # The server is there: it answers something else meanwhile.
            self.honest.zone.add(f"other{wait}.test", MX=[[1, "mx.example.test"]])
            self.seconds_of(f"other{wait}.test")
            while not answer.called:
                self.serve()
                self.reactor.advance(0.1)
            assert isinstance(self.successResultOf(answer), LookupFailed)
            tries.append(self.reactor.seconds() - begun)
        assert [round(seconds) for seconds in tries] == [7, 2, 7]

    def test_a_server_that_is_dead_says_nothing_about_a_zone(self) -> None:
        for _ in range(2):
            answer = Deferred.fromCoroutine(self.resolver.mx("silent.test"))
            begun = self.reactor.seconds()
            while not answer.called:
                self.reactor.advance(0.1)
            assert self.reactor.seconds() - begun > 6
            self.reactor.advance(10)

    def test_the_look_ups_of_each_requester_are_bounded(self) -> None:
        wire = DnsClient(self.reactor, [self.socket.getsockname()], in_flight=2, waiting=1)  # type: ignore[arg-type]
        resolver = DnsResolver(wire, self.reactor.seconds)
        strangers = [Deferred.fromCoroutine(resolver.for_untrusted_clients().mx(f"silent{n}.test")) for n in range(5)]
        assert [answer.called for answer in strangers] == [False] * 3 + [True] * 2
        mail = Deferred.fromCoroutine(resolver.mx("example.test"))
        assert not mail.called
        for answer in (*strangers, mail):
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
        resolver = DnsResolver(DnsClient(reactor, [("::1", port)], timeout=PATIENCE), Clock().seconds)  # type: ignore[arg-type]
        assert isinstance(await resolver.addresses("many.test", ipv6=False), Found)
        assert [transport for *_, transport in server.asked] == ["udp", "tcp"]
