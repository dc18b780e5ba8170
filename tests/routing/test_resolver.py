import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mta.routing.answers import FAILURE_TTL, Found, LookupFailed, NoData, NoSuchName, Resolver
from mta.routing.dnswire import DnsWire
from mta.routing.hosts import HostsFile
from mta.routing.resolver import DnsResolver, make_resolver, system_servers
from tests.fakes.dnsserver import DnsServer
from tests.fakes.zone import Zone, ZoneResolver
from tests.routing.resolver_contract import RECORDS, ResolverContract


class TestZoneResolver(ResolverContract, TestCase):
    def make_resolver(self, zone: Zone) -> Resolver:
        return ZoneResolver(zone)


def _file(test: SynchronousTestCase, text: str) -> Path:
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    path = Path(folder.name) / "file"
    path.write_text(text)
    return path


class _OnLoopback(TestCase):
    """A real server and a real driver; `clock` is the time of the cache alone."""

    def start(self, zone: Zone, **options: Any) -> DnsResolver:
        from twisted.internet import reactor

        self.server = DnsServer(zone)
        self.port = self.server.listen(reactor)
        self.addCleanup(self.server.stop)
        self.clock = Clock()
        self.wire = DnsWire(reactor, [("127.0.0.1", self.port)], timeout=2.0)  # type: ignore[arg-type]
        return DnsResolver(self.wire, self.clock.seconds, **options)


class TestDnsResolver(ResolverContract, _OnLoopback):
    def make_resolver(self, zone: Zone) -> Resolver:
        return self.start(zone)


class TestDriver(_OnLoopback):
    def setUp(self) -> None:
        self.zone = Zone(RECORDS)
        self.resolver = self.start(self.zone)

    async def test_a_reply_too_large_for_udp_is_fetched_over_tcp(self) -> None:
        self.zone.add("many.test", A=[f"192.0.2.{n}" for n in range(90)])
        answer = await self.resolver.addresses("many.test", ipv6=False)
        assert isinstance(answer, Found)
        assert len(answer.records) == 90
        assert [transport for *_, transport in self.server.asked] == ["udp", "tcp"]

    async def test_a_huge_answer_is_kept_only_in_part(self) -> None:
        self.zone.add("huge.test", A=[f"192.0.{n // 200}.{n % 200}" for n in range(3000)])
        answer = await self.resolver.addresses("huge.test", ipv6=False)
        assert isinstance(answer, Found)
        assert len(answer.records) == 100

    async def test_a_reply_cut_in_the_middle_of_a_record_is_fetched_over_tcp(self) -> None:
        def cut(query: dns.message.Message, honest: bytes | None, transport: str) -> bytes | None:
            assert honest is not None
            if transport == "tcp":
                return honest
            flags = int.from_bytes(honest[2:4], "big") | int(dns.flags.TC)
            return honest[:2] + flags.to_bytes(2, "big") + honest[4:-7]

        self.server.trick = cut
        answer = await self.resolver.addresses("v4.example.test", ipv6=False)
        assert isinstance(answer, Found)
        assert answer.records == ("192.0.2.3",)

    async def test_a_server_that_hangs_up_over_tcp_is_a_failure(self) -> None:
        self.zone.add("many.test", A=[f"192.0.2.{n}" for n in range(90)])
        self.server.trick = lambda query, honest, transport: honest if transport == "udp" else b"\0" * 3
        answer = await self.resolver.addresses("many.test", ipv6=False)
        assert isinstance(answer, LookupFailed)
        assert "nonsense over TCP" in answer.reason

    async def test_a_server_that_knows_no_edns_is_asked_without(self) -> None:
        def old(query: dns.message.Message, honest: bytes | None, transport: str) -> bytes | None:
            if query.edns < 0:
                return honest
            refusal = dns.message.make_response(query)
            refusal.set_rcode(dns.rcode.FORMERR)
            return refusal.to_wire()

        self.server.trick = old
        assert isinstance(await self.resolver.mx("example.test"), Found)

    async def test_the_next_server_is_asked_when_one_refuses_connections(self) -> None:
        from twisted.internet import reactor

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            dead = unused.getsockname()[1]
        wire = DnsWire(reactor, [("127.0.0.1", dead), ("127.0.0.1", self.port)], timeout=2.0)  # type: ignore[arg-type]
        resolver = DnsResolver(wire, self.clock.seconds)
        assert isinstance(await resolver.mx("example.test"), Found)
        answer = await DnsResolver(
            DnsWire(reactor, [("127.0.0.1", dead)], timeout=2.0),  # type: ignore[arg-type]
            self.clock.seconds,
        ).mx("example.test")
        assert isinstance(answer, LookupFailed)
        assert f"127.0.0.1:{dead}" in answer.reason

    async def test_the_same_question_is_asked_once_by_all_who_ask_at_once(self) -> None:
        asking = [Deferred.fromCoroutine(self.resolver.mx("example.test")) for _ in range(50)]
        answers = await gatherResults(asking)
        assert all(isinstance(answer, Found) for answer in answers)
        assert len(self.server.asked) == 1

    async def test_one_who_stops_waiting_does_not_spoil_it_for_the_others(self) -> None:
        first = Deferred.fromCoroutine(self.resolver.mx("example.test"))
        second = Deferred.fromCoroutine(self.resolver.mx("example.test"))
        first.addErrback(lambda failure: None)
        first.cancel()
        assert isinstance(await second, Found)

    async def test_an_answer_lasts_for_its_ttl_and_tells_what_is_left(self) -> None:
        await self.resolver.mx("example.test")
        self.clock.advance(119)
        answer = await self.resolver.mx("example.test")
        assert answer.ttl == 1
        assert len(self.server.asked) == 1
        self.clock.advance(1)
        await self.resolver.mx("example.test")
        assert len(self.server.asked) == 2

    async def test_a_failure_is_believed_for_a_few_seconds_only(self) -> None:
        await self.resolver.mx("broken.test")
        self.zone.heal("broken.test")
        assert isinstance(await self.resolver.mx("broken.test"), LookupFailed)
        self.clock.advance(FAILURE_TTL)
        assert isinstance(await self.resolver.mx("broken.test"), NoData)

    async def test_no_answer_is_kept_longer_than_an_hour_and_no_absence_longer_than_five_minutes(self) -> None:
        self.zone.add("long.test", MX=[[1, "mx.example.test"]], TTL=10**6)
        self.zone.add("empty.test", A=["192.0.2.1"], TTL=10**6)
        assert (await self.resolver.mx("long.test")).ttl == 3600
        assert (await self.resolver.mx("empty.test")).ttl == 300

    async def test_a_ttl_of_zero_lasts_a_second(self) -> None:
        self.zone.add("short.test", MX=[[1, "mx.example.test"]], TTL=0)
        assert (await self.resolver.mx("short.test")).ttl == 1

    async def test_made_up_names_do_not_push_out_real_ones(self) -> None:
        resolver = DnsResolver(self.wire, self.clock.seconds, cache_size=2)
        await resolver.mx("example.test")
        for n in range(5):
            await resolver.mx(f"nobody{n}.test")
        self.server.asked.clear()
        await resolver.mx("example.test")
        assert self.server.asked == []

    async def test_a_text_that_cannot_be_a_name_is_no_such_name(self) -> None:
        for name in ("a..b", "x" * 64 + ".test", ".".join(["abcdefgh"] * 40), "\ud800.test"):
            assert isinstance(await self.resolver.mx(name), NoSuchName)
        assert self.server.asked == []

    async def test_the_hosts_file_is_believed_first(self) -> None:
        hosts = HostsFile(_file(self, "192.0.2.77 Smarthost v4.example.test # ours\nnonsense\n::1 six\n"))
        resolver = DnsResolver(self.wire, self.clock.seconds, hosts=hosts)
        for name in ("smarthost", "v4.example.test"):
            answer = await resolver.addresses(name)
            assert isinstance(answer, Found)
            assert answer.records == ("192.0.2.77",)
        assert isinstance(await resolver.addresses("six", ipv6=False), NoSuchName)

    async def test_a_short_name_is_completed_from_the_search_list(self) -> None:
        self.zone.add("gateway.svc.test", A=["192.0.2.9"])
        self.zone.add("mx.example.test.svc.test", A=["192.0.2.66"])
        resolver = DnsResolver(self.wire, self.clock.seconds, search=("other.test", "svc.test"))
        answer = await resolver.addresses("gateway", search=True)
        assert isinstance(answer, Found)
        assert answer.name == "gateway.svc.test"
        assert isinstance(await resolver.addresses("gateway"), NoSuchName)
        assert isinstance(await resolver.addresses("gateway.", search=True), NoSuchName)
        answer = await resolver.addresses("mx.example.test", ipv6=False, search=True)
        assert isinstance(answer, Found)
        assert set(answer.records) == {"192.0.2.1", "192.0.2.2"}

    async def test_a_chain_of_cnames_that_servers_leave_unfinished_is_followed_a_bounded_way(self) -> None:
        hops = 0

        def one_step(query: dns.message.Message, honest: bytes | None, transport: str) -> bytes:
            nonlocal hops
            hops += 1
            reply = dns.message.make_response(query)
            name = query.question[0].name
            target = "v4.example.test." if hops == 3 and not endless else f"hop{hops}.test."
            kind = "A" if str(name) == "v4.example.test." else "CNAME"
            rdata = "192.0.2.3" if kind == "A" else target
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, rdata))
            return reply.to_wire()

        self.server.trick = one_step
        endless = False
        answer = await self.resolver.addresses("start.test", ipv6=False)
        assert isinstance(answer, Found)
        assert answer.name == "v4.example.test"
        hops, endless = 0, True
        answer = await self.resolver.addresses("other.test", ipv6=False)
        assert isinstance(answer, LookupFailed)
        assert "CNAME" in answer.reason
        assert hops == 8


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
        sock.settimeout(2)
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


class TestSystem(SynchronousTestCase):
    def _resolv_conf(self, text: str) -> str:
        return str(_file(self, text))

    def test_servers_and_search_list_are_read_from_resolv_conf(self) -> None:
        path = self._resolv_conf("nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.test b.test\n")
        assert system_servers(path) == ((("192.0.2.53", 53), ("2001:db8::53", 53)), ("a.test", "b.test"))

    def test_a_system_without_servers_says_what_to_set(self) -> None:
        for path in (self._resolv_conf("# nothing\n"), "/nonexistent/resolv.conf"):
            assert system_servers(path)[0] == ()
        resolver = make_resolver(Clock(), ())  # type: ignore[arg-type]
        answer = self.successResultOf(Deferred.fromCoroutine(resolver.mx("example.test")))
        assert isinstance(answer, LookupFailed)
        assert "DNS_SERVERS" in answer.reason
