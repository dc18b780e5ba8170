"""Replies that are not the server's: counted, told, and in the end avoided by TCP; and the case of names (0x20)."""

import shutil
import socket
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rcode
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, TestCase

from harness.dns_server import DnsServer
from harness.processes import Child, find_program, free_port
from harness.waiting import PATIENCE, until
from harness.zone import Zone
from mta.dns.answers import Found, LookupFailed, NoSuchName
from mta.dns.client import DnsClient
from mta.dns.message import RecordType, make_query, parse_reply_to
from mta.dns.resolver import DnsResolver
from mta.dns.transport import MAX_MISMATCHES
from tests.dns.resolver_contract import RECORDS


def in_lower_case(query: dns.message.Message, honest: bytes) -> bytes:
    """Return the reply of a server that does not repeat the case of the question."""
    name = query.question[0].name.to_wire()
    assert name is not None
    return honest.replace(name, name.lower(), 1)


def but_in_mixed_case(
    code: dns.rcode.Rcode, query: dns.message.Message, honest: bytes | None, way: str
) -> bytes | None:
    """Return the reply of a server that knows names in lower case alone, and answers others by a code."""
    name = query.question[0].name.to_wire()
    assert name is not None
    if name == name.lower():
        return honest
    reply = dns.message.make_response(query)
    reply.set_rcode(code)
    return reply.to_wire()


class ForgeryCase(TestCase):
    """A real server, with a socket beside it that sends datagrams from the server's address."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.server = DnsServer(Zone(RECORDS))
        self.port = self.server.listen(reactor)
        self.addCleanup(self.server.stop)
        self.notices: list[str] = []
        self.wire = DnsClient(
            reactor,  # type: ignore[arg-type]
            [("127.0.0.1", self.port)],
            timeout=PATIENCE,
            notice=self.notices.append,
        )
        self.resolver = DnsResolver(self.wire, Clock().seconds)

    def flood(self, number: int, *, forged: bool = True) -> None:
        """Have `number` wrong replies come before the true one over UDP."""

        def reply(query: dns.message.Message, honest: bytes | None, way: str) -> bytes | None:
            if way == "udp" and forged and honest is not None:
                transport = self.server._ports[1]
                for offset in range(number):
                    wrong = (query.id + 1 + offset) % 65536
                    transport.write(wrong.to_bytes(2, "big") + honest[2:], self.client)
            return honest

        self.server.trick = reply
        udp = self.server._ports[1].protocol
        received = udp.datagramReceived

        def datagram(data: bytes, address: Any) -> None:
            self.client = address
            received(data, address)

        udp.datagramReceived = datagram

    def ways(self) -> list[str]:
        """Return how the server was asked since the last look."""
        ways = [way for *_, way in self.server.asked]
        self.server.asked.clear()
        return ways


class TestForgeries(ForgeryCase):
    async def test_a_few_wrong_replies_are_counted_and_passed_over(self) -> None:
        self.flood(MAX_MISMATCHES - 1)
        assert isinstance(await self.resolver.mx("example.test"), Found)
        assert self.wire.mismatched_replies == MAX_MISMATCHES - 1
        assert self.ways() == ["udp"]
        assert self.notices == []

    async def test_after_more_the_question_is_asked_by_tcp_and_one_line_says_so(self) -> None:
        self.flood(MAX_MISMATCHES)
        for name in ("example.test", "null.test"):
            assert isinstance(await self.resolver.mx(name), Found)
            assert self.ways() == ["udp", "tcp"]
        assert self.wire.mismatched_replies == 2 * MAX_MISMATCHES
        (notice,) = self.notices
        assert "a query about example.test to 127.0.0.1" in notice
        assert "over TCP" in notice

    async def test_many_mismatched_replies_are_reported_although_no_query_had_too_many(self) -> None:
        self.flood(MAX_MISMATCHES - 1)
        for number in range(26):
            await self.resolver.mx(f"d{number}.test")
        (notice,) = self.notices
        assert "came to queries, 100 since" in notice

    async def test_without_tcp_the_look_up_fails_and_says_why(self) -> None:
        self.flood(MAX_MISMATCHES)
        await self.server._ports[0].stopListening()
        answer = await self.resolver.mx("example.test")
        assert isinstance(answer, LookupFailed)
        assert f"{MAX_MISMATCHES} replies to other queries, then no reply (" in answer.reason


class TestMixedCase(ForgeryCase):
    async def test_names_are_asked_in_a_case_that_changes(self) -> None:
        seen: list[bytes] = []

        def keep(query: dns.message.Message, honest: bytes | None, way: str) -> bytes | None:
            seen.append(query.question[0].name.to_wire() or b"")
            return honest

        self.server.trick = keep
        for number in range(8):
            await self.resolver.mx(f"thequickbrownfoxjumpsover{number}.test")
        mixed, confirming = seen[::2], seen[1::2]
        assert len({name.swapcase() for name in mixed} | set(mixed)) == 16
        assert all(name != name.lower() for name in mixed)
        assert confirming == [name.lower() for name in mixed]

    async def test_a_server_that_answers_in_lower_case_is_asked_in_it_once_tcp_shows_the_same(self) -> None:
        self.server.trick = lambda query, honest, way: in_lower_case(query, honest or b"")
        ways = []
        for name in ("example.test", "null.test", "missing.test"):
            await self.resolver.mx(name)
            ways.append(self.ways())
        assert ways == [["udp", "tcp"], ["udp"], ["udp"]]

    async def test_a_name_that_a_server_finds_in_lower_case_alone_is_found(self) -> None:
        for code in (dns.rcode.NXDOMAIN, dns.rcode.NOERROR):
            self.server.trick = partial(but_in_mixed_case, code)
            self.resolver = DnsResolver(self.wire, Clock().seconds)
            assert isinstance(await self.resolver.mx("example.test"), Found)
            assert self.ways() == ["udp", "udp", "tcp"]

    async def test_it_is_found_without_tcp_too(self) -> None:
        await self.server._ports[0].stopListening()
        self.server.trick = partial(but_in_mixed_case, dns.rcode.NXDOMAIN)
        assert isinstance(await self.resolver.mx("example.test"), Found)

    async def test_a_server_that_fails_in_mixed_case_is_asked_in_lower_case(self) -> None:
        self.server.trick = partial(but_in_mixed_case, dns.rcode.SERVFAIL)
        assert isinstance(await self.resolver.mx("example.test"), Found)
        assert self.ways() == ["udp", "udp"]

    async def test_a_negative_answer_is_confirmed_once(self) -> None:
        assert isinstance(await self.resolver.mx("missing.test"), NoSuchName)
        assert self.ways() == ["udp", "udp"]

    async def test_a_server_that_answers_in_lower_case_and_not_over_tcp_is_believed(self) -> None:
        await self.server._ports[0].stopListening()
        self.server.trick = lambda query, honest, way: in_lower_case(query, honest or b"")
        for name, ways in (("example.test", ["udp", "udp"]), ("null.test", ["udp"])):
            assert isinstance(await self.resolver.mx(name), Found)
            assert self.ways() == ways

    async def test_a_reply_in_another_case_is_forged_when_tcp_keeps_the_case(self) -> None:
        forge = True

        def trick(query: dns.message.Message, honest: bytes | None, way: str) -> bytes | None:
            return in_lower_case(query, honest or b"") if way == "udp" and forge else honest

        self.server.trick = trick
        assert isinstance(await self.resolver.mx("example.test"), Found)
        assert self.wire.mismatched_replies == 1
        assert self.ways() == ["udp", "tcp"]
        forge = False
        assert isinstance(await self.resolver.mx("null.test"), Found)
        assert self.ways() == ["udp"]

    async def test_a_query_in_mixed_case_is_the_same_question(self) -> None:
        query = make_query("Example.Test", RecordType.MX, mixed_case=True)
        assert query.question[0].name == dns.name.from_text("example.test")
        wire = dns.message.make_response(query).to_wire()
        reply = parse_reply_to(query, wire)
        assert reply is not None
        assert reply.case_matches
        other = parse_reply_to(query, in_lower_case(query, wire))
        assert other is not None
        assert other.case_matches == (query.question[0].name.to_text() == "example.test.")


UNBOUND = """
server:
    directory: ""
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: 127.0.0.1@{port}
    do-ip6: no
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: yes
    module-config: "iterator"
    local-zone: "test." static
    local-data: "example.test. 60 IN MX 10 mx.example.test."
"""


class TestUnbound(TestCase):
    """The same with Unbound as the server."""

    async def test_unbound_keeps_the_case_and_sends_large_answers_over_tcp(self) -> None:
        from twisted.internet import reactor

        program = find_program("unbound")
        if program is None:
            raise SkipTest("unbound is not here: Debian's package unbound brings it")
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        port = free_port()
        many = "".join(f'    local-data: "many.test. 60 IN A 192.0.2.{n}"\n' for n in range(90))
        (folder / "unbound.conf").write_text(UNBOUND.format(port=port) + many)
        with Child([program, "-d", "-c", str(folder / "unbound.conf")], folder / "log") as child:
            until(lambda: accepts(port) or not child.running, what="unbound")
            assert child.running, child.text
            wire = DnsClient(reactor, [("127.0.0.1", port)], timeout=PATIENCE)  # type: ignore[arg-type]
            resolver = DnsResolver(wire, Clock().seconds)
            assert isinstance(await resolver.mx("example.test"), Found)
            answer = await Deferred.fromCoroutine(resolver.addresses("many.test", ipv6=False))
        assert isinstance(answer, Found)
        assert len(answer.records) == 90
        assert wire.mismatched_replies == 0
        assert wire._lower_case == {}


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
