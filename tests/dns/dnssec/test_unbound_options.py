"""The options that the driver gives to libunbound: each has an effect that mail needs.

Three are not here, because their effects take minutes: val-bogus-ttl, infra-host-ttl and infra-keep-probing.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SkipTest, TestCase

from harness.dns_server import DnsServer
from harness.waiting import eventually
from harness.zone import Zone
from mta.dns.answers import Found
from mta.dns.client import Server
from mta.dns.dnssec.library import UnboundContext, UnboundResult, libunbound
from mta.dns.dnssec.trust_anchors import root_anchors
from mta.dns.dnssec.unbound import OPTIONS, UnboundResolver
from mta.dns.message import RecordType
from mta.dns.parser import DnsReply, parse_reply

_DAY = 86400
#: Seconds for an answer that a resolver must find first.
_SLOW = 3.0
# In the fourth column of /proc/net/tcp.
_ESTABLISHED = "01"


def silent(_query: dns.message.Message, _honest: bytes | None, _transport: str) -> bytes | None:
    return None


def silent_over_tcp(query: dns.message.Message, _honest: bytes | None, transport: str) -> bytes | None:
    """Send each client to TCP, and let it wait there."""
    if transport == "tcp":
        return None
    truncated = dns.message.make_response(query)
    truncated.flags |= dns.flags.TC
    return truncated.to_wire()


class TestOptions(TestCase):
    """The name servers are in this process. Without trust anchors, libunbound gives their answers as they are."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        found = libunbound()
        if found is None:
            raise SkipTest("libunbound is missing (Debian: libunbound8)")
        self.library = found
        self.zone = Zone({"a.example": {"A": ["192.0.2.1"], "TTL": _DAY}})
        self.servers: list[Server] = []
        self.server = self.start_server()

    def start_server(self) -> DnsServer:
        """Start one more name server of libunbound."""
        server = DnsServer(self.zone)
        self.servers.append(("127.0.0.1", server.listen(self.reactor)))
        self.addCleanup(server.stop)
        return server

    def start(self, anchors: tuple[str, ...] = ()) -> UnboundResolver:
        unbound = UnboundResolver(self.reactor, self.library, lambda: self.servers, anchors)
        self.addCleanup(unbound.stop)
        return unbound

    def start_context(self) -> UnboundContext:
        context = UnboundContext(self.library, self.servers, (), OPTIONS)
        self.addCleanup(context.close)
        return context

    async def reply(self, context: UnboundContext, name: str, rdtype: RecordType = RecordType.A) -> DnsReply:
        """Return the reply that libunbound gives for a name."""
        results: list[tuple[int, UnboundResult]] = []
        context.ask(1, f"{name}.".encode(), rdtype.value)

        def come() -> bool:
            results.extend(context.process())
            return bool(results)

        await eventually(self.reactor, come)
        return parse_reply(results[0][1].packet)

    async def test_names_for_which_libunbound_has_answers_of_its_own_are_looked_up(self) -> None:
        unbound = self.start()
        for top in ("test", "invalid", "onion", "home.arpa"):
            self.zone.records[f"mx.{top}"] = {"A": ["192.0.2.1"]}
            assert isinstance((await unbound.look_up(f"mx.{top}", RecordType.A)).answer, Found), top

    async def test_the_root_is_not_told_which_keys_the_relay_trusts(self) -> None:
        await self.start(root_anchors()).look_up("a.example", RecordType.A)
        assert self.server.asked
        assert [name for name, *_ in self.server.asked if name.startswith("_ta-")] == []

    async def test_answers_live_no_longer_than_in_the_caches_of_the_relay(self) -> None:
        context = self.start_context()
        assert [each.ttl for each in (await self.reply(context, "a.example")).answers] == [3600]
        denial = await self.reply(context, "a.example", RecordType.AAAA)
        assert (denial.answers, denial.negative_ttl) == ([], 300)

    async def test_an_answer_may_take_seconds_although_the_others_came_at_once(self) -> None:
        unbound = self.start()
        for number in range(30):
            await unbound.look_up(f"{number}.example", RecordType.A)
        begun = self.reactor.seconds()
        self.server.trick = lambda _query, honest, _: honest if self.reactor.seconds() > begun + _SLOW else None
        assert isinstance((await unbound.look_up("a.example", RecordType.A)).answer, Found)

    async def test_sixty_look_ups_wait_for_silent_servers_at_a_time(self) -> None:
        self.server.trick = silent
        before = open_sockets()
        await self._look_up_until(lambda: open_sockets() >= before + 60)

    async def test_each_name_server_is_asked_over_tcp_while_others_are_silent(self) -> None:
        for server in (self.server, *(self.start_server() for _ in range(3))):
            server.trick = silent_over_tcp
        await self._look_up_until(lambda: connections_to(self.servers) >= len(self.servers))

    async def _look_up_until(self, condition: Callable[[], bool]) -> None:
        """Make look-ups that no server answers, and wait for a condition."""
        unbound = self.start()
        looking = [Deferred.fromCoroutine(unbound.look_up(f"{number}.example", RecordType.A)) for number in range(60)]
        await eventually(self.reactor, condition)
        unbound.stop()
        await gatherResults(looking)


def open_sockets() -> int:
    """Return the number of sockets of this process."""
    links = [Path("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(link).rpartition("/")[2].startswith("socket:") for link in links)


def connections_to(servers: list[Server]) -> int:
    """Return the number of established connections to these servers, over IPv4."""
    ports = {f"{port:04X}" for _address, port in servers}
    rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == _ESTABLISHED and row[2].rpartition(":")[2] in ports for row in rows)
