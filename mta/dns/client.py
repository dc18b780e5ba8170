"""DNS queries: the order of servers and attempts, their time limits, and the checks that tell a forged reply.

A look-up is tried in rounds, at each server in turn, with growing time limits. The first attempt starts at once and is
short; all later ones share a limit of their own, so that look-ups without an answer do not delay the others. A query's
random id, port and mixed case make a forged reply hard to guess; after forged replies TCP is used (RFC 5452).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mta.dns.answers import LookupFailed
from mta.dns.lookup_queue import LookupQueue, Requester, ZoneHistory, ZoneStatus, zone_of
from mta.dns.message import RecordType, is_negative, make_query, rcode_error
from mta.dns.parser import DnsReply
from mta.dns.transport import MAX_MISMATCHES, DnsTransport, ForgedReplies, IDnsReactor, NoReply, Server
from mta.smtp.address import bracketed

if TYPE_CHECKING:
    from dns.message import QueryMessage

__all__ = ["DnsClient", "IDnsReactor", "Server"]

# The fraction of the full time limit, and whether EDNS is used, which old servers and firewalls refuse or drop.
_Round = tuple[float, bool]
_ROUNDS: tuple[_Round, ...] = ((1 / 6, True), (1 / 3, True), (2 / 3, False), (1.0, False))
# How often a look-up starts over because other servers were configured meanwhile.
_MAX_STARTS = 3
# Seconds for which a server that does not repeat the case of a name is asked in lower case.
_LOWER_CASE_TTL = 3600.0
# Seconds between two notices of mismatched replies, and how many are worth one even if they belong to many queries.
_NOTICE_INTERVAL = 600.0
_MANY_MISMATCHES = 100


@dataclass(slots=True)
class _Lookup:
    """One question and the attempts made so far."""

    name: str
    rdtype: RecordType
    requester: Requester
    zone: str
    bits: int = 0
    #: The last error of each server that gave no answer.
    errors: dict[Server, str] = field(default_factory=dict)
    #: The servers that replied, with EDNS or without: another attempt of the same kind would give the same.
    replied: set[tuple[Server, bool]] = field(default_factory=set)
    #: Whether a silent server answered other queries meanwhile, so that the zone is at fault and not the server.
    server_is_alive: bool = False


class DnsClient:
    """Asks DNS servers. `timeout` is the longest time limit of one query, in seconds.

    `in_flight` limits the first attempts that run at a time, and likewise the later ones; `waiting` is how many more
    look-ups of one requester may wait. All messages in work may need a look-up at once, as after a start, so `waiting`
    exceeds their number. `servers` may be a function when they change; `notice` takes a line for the operator.
    """

    def __init__(
        self,
        reactor: IDnsReactor,
        servers: Sequence[Server] | Callable[[], Sequence[Server]],
        *,
        timeout: float = 3.0,
        in_flight: int = 100,
        waiting: int = 10_000,
        notice: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._seconds = reactor.seconds
        self._transport = DnsTransport(reactor, self._count_mismatch)
        self._configured = servers if callable(servers) else lambda: servers
        # As configured, and in the order in which they are asked.
        self._known: tuple[Server, ...] = ()
        self._servers: list[Server] = []
        self._timeout = timeout
        self._first, self._later = LookupQueue(in_flight), LookupQueue(in_flight)
        self._max_lookups = in_flight + waiting
        self._lookups = dict.fromkeys(Requester, 0)
        self._zones = ZoneHistory()
        # The number of replies from each server.
        self._replies: dict[Server, int] = {}
        # Servers that are asked in lower case, and until when.
        self._lower_case: dict[Server, float] = {}
        self._notice = notice
        #: Datagrams that came from a server's address and were not a reply to the query.
        self.mismatched_replies = 0
        self._reported_mismatches = 0
        self._next_notice = float("-inf")

    async def look_up(
        self, name: str, rdtype: RecordType, requester: Requester = Requester.DELIVERY, *, bits: int = 0
    ) -> DnsReply | LookupFailed:
        """Return the first reply that is an answer; `bits` are those of `make_query`.

        Raises ValueError if `name` cannot be a DNS name.
        """
        if not self._current_servers():
            return LookupFailed("no DNS server is known: set DNS_SERVERS, or name one in /etc/resolv.conf")
        if self._lookups[requester] >= self._max_lookups:
            return LookupFailed(f"{self._max_lookups} DNS look-ups are waiting already")
        self._lookups[requester] += 1
        try:
            return await self._run(_Lookup(name, rdtype, requester, zone_of(name), bits))
        finally:
            self._lookups[requester] -= 1

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers that are configured at the time."""
        return tuple(self._configured())

    def _current_servers(self) -> Sequence[Server]:
        """Return the servers in the order in which to ask them: that of the configuration, silent ones last."""
        configured = self.servers
        if configured != self._known:
            self._known, self._servers = configured, list(dict.fromkeys(configured))
            self._replies = dict.fromkeys(configured, 0)
            self._lower_case = {}
        return self._servers

    async def _run(self, lookup: _Lookup) -> DnsReply | LookupFailed:
        status = self._zones.status(lookup.zone, self._seconds())
        # A zone that was silent a short while ago gets less time, and its later attempts run when no other zone waits.
        rounds, behind = (_ROUNDS[:2], len(_ROUNDS)) if status is ZoneStatus.SILENT else (_ROUNDS, 0)
        for number, (round_number, server, time_limit, edns) in enumerate(self._attempts(lookup, rounds)):
            queue = self._later if number else self._first
            await queue.acquire(lookup.requester, lookup.zone, round_number + behind if number else int(status))
            try:
                reply = await self._attempt(lookup, server, time_limit, edns=edns)
            finally:
                queue.release(lookup.requester)
            if reply is not None:
                self._zones.note(lookup.zone, ZoneStatus.ANSWERING, self._seconds())
                return reply
        if lookup.server_is_alive and not lookup.replied:
            self._zones.note(lookup.zone, ZoneStatus.SILENT, self._seconds())
        return LookupFailed(", ".join(lookup.errors.values()))

    def _attempts(self, lookup: _Lookup, rounds: Sequence[_Round]) -> Iterator[tuple[int, Server, float, bool]]:
        """Yield the attempts of a look-up: the number of the round, server, time limit, and whether with EDNS.

        They start over when other servers were configured meanwhile, _MAX_STARTS times in all.
        """
        for _ in range(_MAX_STARTS):
            at_start = self._known
            for round_number, (fraction, edns) in enumerate(rounds):
                for server in tuple(self._current_servers()):
                    if self._known is not at_start:
                        break
                    if (server, edns) not in lookup.replied:
                        yield round_number, server, fraction * self._timeout, edns
            if self._known is at_start:
                return

    async def _attempt(self, lookup: _Lookup, server: Server, time_limit: float, *, edns: bool) -> DnsReply | None:
        """Return the answer of a server; without one, add to the errors of the look-up and return None."""
        before = self._replies.get(server, 0)
        try:
            reply = await self._query(lookup, server, time_limit, edns=edns)
        except NoReply as error:
            lookup.errors[server] = f"{error} from {_label(server)}"
            if self._replies.get(server, 0) == before:
                self._demote(server)
            else:
                lookup.server_is_alive = True
            return None
        self._replies[server] = self._replies.get(server, 0) + 1
        if not rcode_error(reply):
            return reply
        lookup.replied.add((server, edns))
        lookup.errors[server] = f"{rcode_error(reply)} from {_label(server)}"
        return None

    def _demote(self, server: Server) -> None:
        """Ask a silent server last from now on, so that it delays one look-up and not each."""
        if server in self._servers:
            self._servers.remove(server)
            self._servers.append(server)

    async def _query(self, lookup: _Lookup, server: Server, time_limit: float, *, edns: bool) -> DnsReply:
        """Return the reply of a server; a negative one in mixed case is confirmed in lower case. Raises NoReply."""
        # The attempts without EDNS are for servers that do not answer others, so their names are in lower case, too.
        mixed = edns and self._lower_case.get(server, 0.0) <= self._seconds()
        reply = await self._query_once(lookup, server, time_limit, edns=edns, mixed=mixed)
        if not mixed or not is_negative(reply):
            return reply
        # Some servers find a name only in lower case, and a wrong negative answer would return mail.
        again = await self._query_once(lookup, server, time_limit, edns=edns, mixed=False)
        if is_negative(again):
            return again
        try:
            query = make_query(lookup.name, lookup.rdtype, bits=lookup.bits)
            return await self._transport.query_tcp(server, query, self._timeout)
        except NoReply:
            return again

    async def _query_once(
        self, lookup: _Lookup, server: Server, time_limit: float, *, edns: bool, mixed: bool
    ) -> DnsReply:
        """Return the reply over UDP, or over TCP if it is truncated or may be forged. Raises NoReply."""
        query = make_query(lookup.name, lookup.rdtype, edns=edns, mixed_case=mixed, bits=lookup.bits)
        try:
            reply = await self._transport.query_udp(server, query, time_limit)
        except ForgedReplies as error:
            self._report_mismatches(f"a query about {lookup.name} to {_label(server)}")
            try:
                return await self._transport.query_tcp(server, query, self._timeout)
            except NoReply as second:
                raise NoReply(f"{error}, then {second} over TCP") from None
        if mixed and not reply.case_matches:
            return await self._confirm_case(lookup, server, query, time_limit)
        if not reply.truncated:
            return reply
        try:
            return await self._transport.query_tcp(server, query, self._timeout)
        except NoReply:
            # The server answers other queries: another attempt of the same kind would end alike.
            lookup.replied.add((server, edns))
            raise

    async def _confirm_case(
        self, lookup: _Lookup, server: Server, query: "QueryMessage", time_limit: float
    ) -> DnsReply:
        """Repeat a query over TCP, which is hard to forge, because the UDP reply did not repeat the query's case."""
        try:
            reply = await self._transport.query_tcp(server, query, self._timeout)
        except NoReply:
            # Without TCP such a server cannot be told from a forger, but without its answers no mail can be sent.
            self._lower_case[server] = self._seconds() + _LOWER_CASE_TTL
            return await self._query_once(lookup, server, time_limit, edns=query.edns >= 0, mixed=False)
        if reply.case_matches:
            self._count_mismatch()
        else:
            self._lower_case[server] = self._seconds() + _LOWER_CASE_TTL
        return reply

    def _count_mismatch(self) -> None:
        self.mismatched_replies += 1
        if self.mismatched_replies - self._reported_mismatches >= _MANY_MISMATCHES:
            self._report_mismatches("queries")

    def _report_mismatches(self, queries: str) -> None:
        if self._seconds() < self._next_notice:
            return
        self._next_notice = self._seconds() + _NOTICE_INTERVAL
        count = self.mismatched_replies - self._reported_mismatches
        self._notice(
            f"DNS replies that do not match came to {queries}, {count} since the last such notice: they may be forged."
            f" After {MAX_MISMATCHES} of them the relay repeats a query over TCP"
        )
        self._reported_mismatches = self.mismatched_replies


def _label(server: Server) -> str:
    return f"{bracketed(server[0])}:{server[1]}"
