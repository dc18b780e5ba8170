"""The AD bit of a name server: which answers it makes secure, and whose AD bit is believed."""

from collections.abc import Callable, Iterable

import dns.flags
import dns.message
import dns.rcode
import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from harness.dns_server import DnsServer
from harness.zone import Zone
from mta.dns.answers import Found, LookupFailed, NoData
from mta.dns.client import DnsClient, Server
from mta.dns.dnssec.ad_bit import AdBit, Off, on_loopback
from mta.dns.dnssec.authenticity import Authenticity, Security
from mta.dns.message import RecordType
from tests.dns.dnssec.authenticity_contract import RECORDS, AuthenticityContract


def validated(query: dns.message.Message, honest: bytes | None, _transport: str) -> bytes | None:
    """Return the reply of a server that validates: names of secure.test are secure, names of bogus.test are bogus."""
    assert honest is not None
    reply = dns.message.from_wire(honest)
    zones = {rrset.name.to_text().lower().split(".")[-3] for rrset in (*query.question, *reply.answer)}
    if "bogus" in zones and not query.flags & dns.flags.CD:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.SERVFAIL)
    elif zones == {"secure"} and query.flags & dns.flags.AD:
        reply.flags |= dns.flags.AD
    return reply.to_wire()


class _OnLoopback(TestCase):
    def start_server(self) -> DnsClient:
        from twisted.internet import reactor

        self.server = DnsServer(Zone(RECORDS))
        self.server.trick = validated
        self.servers: list[Server] = [("127.0.0.1", self.server.listen(reactor))]
        self.addCleanup(self.server.stop)
        self.clock = Clock()
        return DnsClient(reactor, lambda: self.servers)  # type: ignore[arg-type]

    def asked(self) -> int:
        return len(self.server.asked)


class TestAdBitContract(AuthenticityContract, _OnLoopback):
    def make_authenticity(self) -> Authenticity:
        return AdBit(self.start_server(), self.clock.seconds)


class TestOffContract(AuthenticityContract, _OnLoopback):
    validates = False

    def make_authenticity(self) -> Authenticity:
        return Off(self.start_server(), self.clock.seconds)


class TestAdBit(_OnLoopback):
    def start(self, trusted: Callable[[Iterable[Server]], bool]) -> AdBit:
        return AdBit(self.start_server(), self.clock.seconds, trusted=trusted)

    async def test_the_ad_bit_of_a_server_that_is_not_trusted_says_nothing(self) -> None:
        authenticity = self.start(lambda _: False)
        assert not authenticity.usable
        found = await authenticity.look_up("secure.test", RecordType.MX)
        assert isinstance(found.answer, Found)
        assert (found.security, found.reason) == (
            Security.INSECURE,
            "the AD bit of the DNS servers is not believed",
        )

    async def test_trust_and_cache_end_when_other_servers_are_configured(self) -> None:
        honest = self.start(on_loopback)
        assert (await honest.look_up("secure.test", RecordType.MX)).security is Security.SECURE
        self.servers[0] = ("127.0.0.2", 9)
        assert honest.usable
        assert (await honest.look_up("secure.test", RecordType.MX)).security is Security.BOGUS
        self.servers[0] = ("192.0.2.53", 53)
        assert not honest.usable

    async def test_a_server_that_loses_trust_while_it_is_asked_proves_nothing(self) -> None:
        answers = iter((True, False))
        authenticity = self.start(lambda _: next(answers))
        assert (await authenticity.look_up("secure.test", RecordType.MX)).security is Security.INSECURE

    async def test_a_bogus_zone_and_a_broken_server_have_different_reasons(self) -> None:
        authenticity = self.start(on_loopback)
        bogus = await authenticity.look_up("bogus.test", RecordType.MX)
        assert bogus.reason.startswith("the DNS server does not accept the signatures (SERVFAIL from 127.0.0.1")
        self.server.zone.fail("broken.secure.test")
        broken = await authenticity.look_up("broken.secure.test", RecordType.MX)
        assert isinstance(broken.answer, LookupFailed)
        assert broken.security is Security.BOGUS
        assert broken.reason.startswith("SERVFAIL from 127.0.0.1")

    async def test_an_answer_lives_as_long_as_its_ttl(self) -> None:
        authenticity = self.start(on_loopback)
        await authenticity.look_up("secure.test", RecordType.MX)
        self.clock.advance(119)
        assert (await authenticity.look_up("secure.test", RecordType.MX)).answer.ttl == 1
        self.clock.advance(1)
        self.server.zone.records["secure.test"] = {"A": ["192.0.2.9"]}
        assert isinstance((await authenticity.look_up("secure.test", RecordType.MX)).answer, NoData)


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ((), False),
        (("127.0.0.1",), True),
        (("127.0.0.53", "::1"), True),
        (("127.0.0.1", "192.0.2.1"), False),
        (("fe80::1%eth0",), False),
    ],
)
def test_servers_are_on_loopback_only_if_each_is(addresses: tuple[str, ...], *, expected: bool) -> None:
    assert on_loopback((address, 53) for address in addresses) is expected
