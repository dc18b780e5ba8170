"""libunbound in the reactor: the contract with signed zones, its limits, and changes of the name servers."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from harness import network_namespace, zone_servers
from harness.altering_dns import Alteration, AlteringDns, failing, strip_signatures
from harness.dns_server import DnsServer
from harness.network_namespace import public_address, public_network
from harness.waiting import eventually
from harness.zone import Zone
from harness.zone_servers import Nsd, Unbound
from harness.zone_tree import ZoneTree
from mta.dns.answers import Found, LookupFailed, NoSuchName
from mta.dns.client import DnsClient, Server
from mta.dns.dnssec.ad_bit import Off
from mta.dns.dnssec.authenticity import Authenticity, Security, ValidatedAnswer
from mta.dns.dnssec.library import Libunbound, libunbound
from mta.dns.dnssec.root_check import RootCheck
from mta.dns.dnssec.trust_anchors import read_anchors, root_anchors
from mta.dns.dnssec.unbound import TIMEOUT, UnboundResolver
from mta.dns.message import RecordType
from tests.dns.dnssec.authenticity_contract import AuthenticityContract
from tests.dns.dnssec.signed_names import signed_names

NAME_SERVER, RESOLVER, ALTERING = (public_address(host) for host in (1, 2, 3))


def library() -> Libunbound:
    found = libunbound()
    if found is None:
        raise SkipTest("libunbound is missing (Debian: libunbound8)")
    return found


class _SignedNames(TestCase):
    """The zones of the contract behind the resolver of an operator, an unbound that validates too."""

    tree: ZoneTree
    servers: ExitStack

    @classmethod
    def setUpClass(cls) -> None:
        reason = zone_servers.why_not() or network_namespace.why_not()
        if reason:
            raise SkipTest(reason)
        cls.tree = signed_names(NAME_SERVER)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(public_network())
            stack.enter_context(Nsd(cls.tree, folder / "nsd", NAME_SERVER))
            stack.enter_context(Unbound(cls.tree, folder / "unbound", RESOLVER, caching=True))
            cls.servers = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.servers.close()

    def start_unbound(self, address: str) -> UnboundResolver:
        """Return a driver whose name server has this address."""
        from twisted.internet import reactor

        driver: Any = reactor
        unbound = UnboundResolver(driver, library(), lambda: [(address, 53)], read_anchors(self.tree.anchor))
        self.addCleanup(unbound.stop)
        return unbound


class TestUnboundContract(AuthenticityContract, _SignedNames):
    def make_authenticity(self) -> Authenticity:
        self.unbound = self.start_unbound(RESOLVER)
        return self.unbound

    def asked(self) -> int:
        return self.unbound.begun


class TestAlteredAnswers(_SignedNames):
    """A name server between libunbound and the resolver changes answers."""

    def start(self, *alterations: Alteration) -> UnboundResolver:
        server = AlteringDns(ALTERING, RESOLVER, *alterations)
        server.__enter__()
        self.addCleanup(server.__exit__)
        return self.start_unbound(ALTERING)

    async def test_a_private_top_level_domain_is_insecure_because_the_root_proves_that_it_does_not_exist(self) -> None:
        unbound = self.start(_private)
        for name in ("mx.corp", "mx.site.corp"):
            found = await unbound.look_up(name, RecordType.A)
            assert found.security is Security.INSECURE
            assert isinstance(found.answer, Found)
            assert found.answer.records == ("192.0.2.77",)
            assert found.reason == f"the top-level domain of {name} does not exist"

    async def test_names_below_a_top_level_domain_that_nobody_has_are_looked_up_all_the_same(self) -> None:
        unbound = self.start(_private)
        found = await unbound.look_up("lan", RecordType.A)
        assert (type(found.answer), found.security) == (NoSuchName, Security.SECURE)
        for name in ("mx.lan", "mx.site.lan"):
            assert isinstance((await unbound.look_up(name, RecordType.A)).answer, Found)

    async def test_a_forged_denial_of_a_top_level_domain_is_no_proof(self) -> None:
        def deny(query: dns.message.Message, reply: dns.message.Message) -> dns.message.Message:
            if query.question[0].name.to_text() != "test-.":
                return reply
            forged = dns.message.make_response(query, recursion_available=True)
            forged.set_rcode(dns.rcode.NXDOMAIN)
            forged.authority.append(dns.rrset.from_text("tesla.", 60, "IN", "NSEC", "texas. NS DS"))
            return forged

        found = await self.start(deny).look_up("mx.bogus.test", RecordType.A)
        assert (type(found.answer), found.security) == (LookupFailed, Security.BOGUS)

    async def test_records_that_someone_added_to_a_signed_zone_are_bogus(self) -> None:
        found = await self.start(_private).look_up("corp.secure.test", RecordType.A)
        assert (type(found.answer), found.security) == (LookupFailed, Security.BOGUS)

    async def test_a_private_domain_is_bogus_without_the_proof_of_the_root(self) -> None:
        found = await self.start(_private, strip_signatures).look_up("mx.corp", RecordType.A)
        assert (type(found.answer), found.security) == (LookupFailed, Security.BOGUS)

    async def test_all_is_bogus_behind_a_server_that_strips_signatures(self) -> None:
        unbound = self.start(strip_signatures)
        for name in ("secure.test", "plain.test"):
            found = await unbound.look_up(name, RecordType.MX)
            assert (type(found.answer), found.security) == (LookupFailed, Security.BOGUS)

    async def test_a_server_that_strips_signatures_turns_validation_off(self) -> None:
        from twisted.internet import reactor

        driver: Any = reactor
        notices: list[str] = []
        unbound = self.start(strip_signatures)
        plain = Off(DnsClient(driver, [(ALTERING, 53)]), driver.seconds)
        check = RootCheck(driver, unbound, plain, lambda: None, notices.append)
        self.addCleanup(check.stop)
        check.start()
        found = await check.look_up("secure.test", RecordType.MX)
        assert (type(found.answer), found.security) == (Found, Security.INSECURE)
        assert not check.usable
        assert len(notices) == 1

    async def test_a_failure_of_the_resolver_is_told_from_forged_answers(self) -> None:
        found = await self.start(failing("TLSA")).look_up("_25._tcp.mx.secure.test", RecordType.TLSA)
        assert (found.security, found.reason) == (
            Security.BOGUS,
            "no answer from the DNS servers (SERVFAIL by libunbound)",
        )


_LAN = dns.name.from_text("lan")


def _private(query: dns.message.Message, reply: dns.message.Message) -> dns.message.Message:
    """Answer for the names below lan, and for those with the label corp, as the name server of an office does."""
    question = query.question[0]
    below_lan = question.name != _LAN and question.name.is_subdomain(_LAN)
    if b"corp" not in question.name.labels and not below_lan:
        return reply
    own = dns.message.make_response(query, recursion_available=True)
    if question.rdtype == dns.rdatatype.A:
        own.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "192.0.2.77"))
    return own


class _TimersByHand(Clock):
    """The sockets of the real reactor, with timers that go by this clock."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.real = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class TestUnbound(TestCase):
    """Its name server is in this process. No answer of it is proven, which does not matter here."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = _TimersByHand(reactor)
        self.server = DnsServer(Zone({"a.example": {"A": ["192.0.2.1"]}}))
        self.servers: list[Server] = [("127.0.0.1", self.server.listen(reactor))]
        self.addCleanup(self.server.stop)

    def start(self, **options: Any) -> UnboundResolver:
        unbound = UnboundResolver(self.reactor, library(), lambda: self.servers, root_anchors(), **options)  # type: ignore[arg-type]
        self.addCleanup(unbound.stop)
        return unbound

    def silence(self) -> None:
        """Have the server keep all questions to itself."""
        self.server.trick = lambda _query, _honest, _transport: None

    def ask(self, unbound: UnboundResolver, name: str) -> "Deferred[ValidatedAnswer]":
        return Deferred.fromCoroutine(unbound.look_up(name, RecordType.A))

    async def _until_asked(self, count: int) -> None:
        await eventually(self.reactor.real, lambda: len(self.server.asked) >= count)

    async def test_an_answer_without_proof_is_bogus(self) -> None:
        found = await self.ask(self.start(), "a.example")
        assert found.security is Security.BOGUS
        assert isinstance(found.answer, LookupFailed)
        assert "a.example" in found.reason

    async def test_a_look_up_fails_after_its_time(self) -> None:
        self.silence()
        unbound = self.start()
        asking = self.ask(unbound, "a.example")
        await self._until_asked(1)
        self.reactor.advance(TIMEOUT - 0.1)
        self.assertNoResult(asking)
        self.reactor.advance(0.1)
        found = await asking
        assert (found.security, found.reason) == (Security.BOGUS, "libunbound has no answer within 15 s")

    async def test_libunbound_has_a_bounded_number_of_look_ups_even_of_those_that_nothing_waits_for(self) -> None:
        self.silence()
        unbound = self.start(in_flight=2, waiting=1)
        asking = [self.ask(unbound, f"{number}.example") for number in range(4)]
        assert unbound.begun == 2
        refused = await asking[3]
        assert (refused.security, refused.reason) == (Security.BOGUS, "3 DNS look-ups are waiting already")
        self.reactor.advance(TIMEOUT)
        for each in asking[:3]:
            assert (await each).reason == "libunbound has no answer within 15 s"
        later = self.ask(unbound, "later.example")
        assert unbound.begun == 2
        unbound.stop()
        assert (await later).reason == "the relay stops"

    async def test_a_look_up_counts_until_its_top_level_domain_is_looked_up_too(self) -> None:
        self.server.trick = lambda query, honest, _: None if b"example-" in query.question[0].name.labels else honest
        unbound = self.start(in_flight=1, waiting=0)
        asking = self.ask(unbound, "a.example")
        await eventually(self.reactor.real, lambda: "example-" in {name for name, *_ in self.server.asked})
        assert (await self.ask(unbound, "b.example")).reason == "1 DNS look-ups are waiting already"
        unbound.stop()
        assert (await asking).security is Security.BOGUS

    async def test_a_look_up_starts_over_when_other_servers_are_configured(self) -> None:
        self.silence()
        unbound = self.start()
        first = self.ask(unbound, "a.example")
        await self._until_asked(1)
        other = DnsServer(Zone({"a.example": {"A": ["192.0.2.1"]}}))
        self.servers[0] = ("127.0.0.1", other.listen(self.reactor.real))
        self.addCleanup(other.stop)
        second = self.ask(unbound, "b.example")
        assert (await first).reason.startswith("validation failure")
        assert (await second).reason.startswith("validation failure")
        assert {name for name, *_ in other.asked} >= {"a.example", "b.example"}

    async def test_a_look_up_starts_over_when_libunbound_is_lost(self) -> None:
        self.silence()
        unbound = self.start()
        asking = self.ask(unbound, "a.example")
        await self._until_asked(1)
        (reader,) = (each for each in self.reactor.real.getReaders() if each.logPrefix() == "libunbound")
        self.server.trick = None
        reader.connectionLost(Failure(OSError("bad descriptor")))
        assert reader not in self.reactor.real.getReaders()
        assert (await asking).reason.startswith("validation failure")
        assert unbound.begun > 1

    async def test_without_a_name_server_each_look_up_fails_and_says_so(self) -> None:
        server = self.servers.pop()
        unbound = self.start()
        found = await self.ask(unbound, "a.example")
        assert (found.security, found.reason) == (
            Security.BOGUS,
            "no DNS server is known: set DNS_SERVERS, or name one in /etc/resolv.conf",
        )
        self.servers.append(server)
        assert (await self.ask(unbound, "a.example")).reason.startswith("validation failure")

    async def test_a_server_of_an_impossible_address_is_a_failure_that_names_it(self) -> None:
        self.servers[0] = ("nowhere", 53)
        assert "server nowhere: syntax error" in (await self.ask(self.start(), "a.example")).reason

    async def test_a_server_that_refuses_is_a_failure(self) -> None:
        self.server.trick = lambda query, _honest, _transport: (
            dns.message.make_response(query).to_wire()[:2] + bytes([0x81, 0x85]) + bytes(8)
        )
        found = await self.ask(self.start(), "a.example")
        assert found.security is Security.BOGUS

    async def test_nothing_is_left_after_the_end(self) -> None:
        # The reactor opens descriptors of its own when it begins to run.
        await deferLater(self.reactor.real, 0)
        before = self._resources()
        unbound = self.start()
        await self.ask(unbound, "a.example")
        self.silence()
        asking = self.ask(unbound, "b.example")
        await self._until_asked(len(self.server.asked) + 1)
        unbound.stop()
        assert (await asking).security is Security.BOGUS
        # The server's ends of TCP connections close later.
        await eventually(self.reactor.real, lambda: self._resources() == before)
        unbound.stop()
        assert (await self.ask(unbound, "c.example")).reason == "the relay stops"

    def _resources(self) -> tuple[int, int]:
        """Return the numbers of threads and of open files of this process."""
        return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
