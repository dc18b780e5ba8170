"""The resolver against a real DNS server in this process, and how it uses caches, hosts file and search list."""

import itertools
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

from harness.dns_server import DnsServer
from harness.zone import Zone, ZoneResolver
from mta.dns.answers import FAILURE_TTL, Found, LookupFailed, NoData, NoSuchName, Resolver
from mta.dns.client import DnsClient
from mta.dns.resolver import DnsResolver, make_resolver
from mta.dns.system import HostsFile
from tests.dns.resolver_contract import RECORDS, ResolverContract

#: The seconds that a server has for its answer; they pass on a clock of the tests.
WAIT = 3.0


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
        self.timers = _ClockedReactor(reactor)
        self.wire = self.make_wire(self.port)
        return DnsResolver(self.wire, self.clock.seconds, **options)

    def make_wire(self, *ports: int) -> DnsClient:
        return DnsClient(self.timers, [("127.0.0.1", port) for port in ports], timeout=WAIT)  # type: ignore[arg-type]


class _ClockedReactor(Clock):
    """The sockets of the real reactor, with timers that go by this clock: no answer is late on a busy machine."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def run_out(self) -> None:
        """Let the time for an answer pass when this turn of the reactor is over."""
        self._reactor.callLater(0, self.advance, WAIT)


class TestDnsResolver(ResolverContract, _OnLoopback):
    def make_resolver(self, zone: Zone) -> Resolver:
        return self.start(zone)


class TestObserver(_OnLoopback):
    async def test_an_answer_of_a_server_is_observed_with_its_time_and_one_of_a_cache_is_not(self) -> None:
        observed: list[tuple[type, float]] = []
        resolver = self.start(Zone(RECORDS), looked_up=lambda answer, took: observed.append((type(answer), took)))
        for name in ("v4.example.test", "v4.example.test", "missing.example.test"):
            await resolver.addresses(name, ipv6=False)
        assert observed == [(Found, 0.0), (NoSuchName, 0.0)]


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
        assert "malformed reply over TCP" in answer.reason

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

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            dead = unused.getsockname()[1]
        resolver = DnsResolver(self.make_wire(dead, self.port), self.clock.seconds)
        assert isinstance(await resolver.mx("example.test"), Found)
        answer = await DnsResolver(self.make_wire(dead), self.clock.seconds).mx("example.test")
        assert isinstance(answer, LookupFailed)
        assert f"127.0.0.1:{dead}" in answer.reason

    async def test_concurrent_callers_with_the_same_question_share_one_look_up(self) -> None:
        asking = [Deferred.fromCoroutine(self.resolver.mx("example.test")) for _ in range(50)]
        answers = await gatherResults(asking)
        assert all(isinstance(answer, Found) for answer in answers)
        assert len(self.server.asked) == 1

    async def test_a_cancelled_caller_does_not_cancel_the_look_up(self) -> None:
        first = Deferred.fromCoroutine(self.resolver.mx("example.test"))
        second = Deferred.fromCoroutine(self.resolver.mx("example.test"))
        first.addErrback(lambda failure: None)
        first.cancel()
        assert isinstance(await second, Found)

    async def test_an_answer_is_cached_for_its_ttl_and_returned_with_the_rest(self) -> None:
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

    async def test_the_search_goes_on_after_a_candidate_that_fails(self) -> None:
        self.zone.add("mailhog.mail.svc.cluster.test", A=["192.0.2.9"])
        resolver = DnsResolver(self.wire, self.clock.seconds, search=("default.svc.test", "cluster.test"))
        for failure in ("SERVFAIL", "REFUSED", "NOTIMP"):
            self.clock.advance(FAILURE_TTL)
            self.zone.fail("mailhog.mail.svc", failure)
            answer = await resolver.addresses("mailhog.mail.svc", search=True)
            assert isinstance(answer, Found)
            assert answer.name == "mailhog.mail.svc.cluster.test"
            assert isinstance(await resolver.addresses("mailhog.mail.svc.", search=True), LookupFailed)

    async def test_a_search_with_a_candidate_that_failed_does_not_say_no(self) -> None:
        resolver = DnsResolver(self.wire, self.clock.seconds, search=("one.test", "two.test", "three.test"))
        self.zone.add("gateway.one.test", TXT=["no address"])
        assert isinstance(await resolver.addresses("gateway", search=True), NoData)
        self.zone.fail("gateway.two.test")
        self.clock.advance(300)
        answer = await resolver.addresses("gateway", search=True)
        assert isinstance(answer, LookupFailed)
        assert "SERVFAIL" in answer.reason

    async def test_a_chain_of_cnames_that_servers_leave_unfinished_is_followed_a_bounded_way(self) -> None:
        hops = 0

        def one_step(query: dns.message.Message, honest: bytes | None, transport: str) -> bytes:
            nonlocal hops
            hops += 1
            reply = dns.message.make_response(query)
            name = query.question[0].name
            target = "v4.example.test." if hops == 3 and not endless else f"hop{hops}.test."
            rdtype = "A" if str(name).lower() == "v4.example.test." else "CNAME"
            rdata = "192.0.2.3" if rdtype == "A" else target
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", rdtype, rdata))
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


Reply = Callable[[dns.message.Message, bytes], bytes | None]


def code(name: str) -> Reply:
    def refusal(query: dns.message.Message, honest: bytes) -> bytes:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.from_text(name))
        return reply.to_wire()

    return refusal


def cut_short(query: dns.message.Message, honest: bytes) -> bytes:
    return honest[:2] + bytes([honest[2] | 0x02]) + honest[3:]


def as_it_is(query: dns.message.Message, honest: bytes) -> bytes:
    return honest


def nothing(query: dns.message.Message, honest: bytes) -> None:
    return None


def half(query: dns.message.Message, honest: bytes) -> bytes:
    return honest[: len(honest) // 2]


def empty(query: dns.message.Message, honest: bytes) -> bytes:
    return b""


#: These are no answers over UDP: the time for one must run out.
UNHEARD: tuple[Reply, ...] = (nothing, half, empty)


class TestHostileServers(_OnLoopback):
    """Servers that lie over UDP or TCP; the time for an answer ends when a reply has come that is none."""

    def ask(self, udp: Reply, tcp: Reply, *, beside: int | None = None) -> Any:
        self.start(Zone(RECORDS))

        def trick(query: dns.message.Message, honest: bytes | None, way: str) -> bytes | None:
            reply = udp if way == "udp" else tcp
            if reply is nothing or (way == "udp" and reply in UNHEARD):
                self.timers.run_out()
            return reply(query, honest or b"")

        self.server.trick = trick
        wire = self.make_wire(*(port for port in (self.port, beside) if port is not None))
        return Deferred.fromCoroutine(DnsResolver(wire, self.clock.seconds).mx("example.test"))

    async def test_each_way_to_give_no_answer_is_a_failure_in_time_that_names_the_server(self) -> None:
        ways: list[tuple[Reply, Reply, str]] = [
            *((code(name), as_it_is, name) for name in ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "YXDOMAIN")),
            *((unheard, as_it_is, f"no reply within {WAIT:g} s") for unheard in UNHEARD),
            (cut_short, nothing, f"no reply within {WAIT:g} s"),
            (cut_short, cut_short, "truncated reply over TCP"),
            (cut_short, code("SERVFAIL"), "SERVFAIL"),
            (cut_short, lambda query, honest: honest[:-4], "malformed reply over TCP"),
            (cut_short, empty, "malformed reply over TCP"),
            (cut_short, lambda query, honest: b"\xff" * 65535, "malformed reply over TCP"),
        ]
        for udp, tcp, words in ways:
            answer = await self.ask(udp, tcp)
            assert isinstance(answer, LookupFailed), words
            assert answer.reason == f"{words} from 127.0.0.1:{self.port}"
            assert len(self.server.asked) <= 4

    async def test_the_next_server_answers_for_each_of_them(self) -> None:
        from twisted.internet import reactor

        honest = DnsServer(Zone(RECORDS))
        beside = honest.listen(reactor)
        self.addCleanup(honest.stop)
        ways = ((code("SERVFAIL"), as_it_is), (nothing, as_it_is), (cut_short, nothing), (cut_short, cut_short))
        for udp, tcp in ways:
            assert isinstance(await self.ask(udp, tcp, beside=beside), Found)

    async def test_when_each_second_answer_is_lost_the_next_try_brings_it(self) -> None:
        turns = itertools.cycle((False, True))
        resolver = self.start(Zone(RECORDS))

        def each_second(query: dns.message.Message, honest: bytes | None, way: str) -> bytes | None:
            if next(turns):
                return honest
            self.timers.run_out()
            return None

        self.server.trick = each_second
        for name in ("example.test", "null.test"):
            assert isinstance(await resolver.mx(name), Found)
        assert isinstance(await resolver.mx("missing.test"), NoSuchName)


class TestSystem(SynchronousTestCase):
    def test_a_system_without_servers_says_what_to_set(self) -> None:
        resolver = make_resolver(Clock(), ())  # type: ignore[arg-type]
        answer = self.successResultOf(Deferred.fromCoroutine(resolver.mx("example.test")))
        assert isinstance(answer, LookupFailed)
        assert "DNS_SERVERS" in answer.reason
