"""DNS questions over the wire: which server is asked when, how long, and how the reply is known to be the server's.

A question is tried in rounds, at each server in turn, with growing patience. The first try comes at once and soon ends;
all others share a room of their own, so that questions which are not answered leave the others alone. A query's random
id, port and mixed case make a forged reply hard to guess; where forgeries are seen, TCP is used (RFC 5452).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from dns.message import QueryMessage

from mta.dns.answers import LookupFailed
from mta.dns.lookup_queue import Asker, LookupQueue, Standing, ZoneHistory, zone_of
from mta.dns.message import RecordType, is_negative, make_query, trouble
from mta.dns.parser import DnsReply
from mta.dns.transport import DnsTransport, ForgedReplies, IDnsReactor, NoReply, Server
from mta.smtp.address import bracketed

__all__ = ["DnsClient", "IDnsReactor", "Server"]

# The share of the longest patience, and whether EDNS is used, which old servers and firewalls refuse or drop.
_Round = tuple[float, bool]
_ROUNDS: tuple[_Round, ...] = ((1 / 6, True), (1 / 3, True), (2 / 3, False), (1.0, False))
# How often a question is asked of servers that are others than before.
_MOST_BEGINNINGS = 3
# Seconds for which a server that does not repeat the case of a name is asked in lower case.
_LOWER_CASE_TTL = 3600.0
# Seconds between two notices of wrong replies, and how many are worth one though no question had too many.
_NOTICE_ROUND = 600.0
_MANY_WRONG = 100


@dataclass(slots=True)
class _DnsQuery:
    """One question and its tries so far."""

    name: str
    kind: RecordType
    asker: Asker
    zone: str
    #: The trouble with each server that gave no answer.
    troubles: dict[Server, str] = field(default_factory=dict)
    #: The servers that replied, with EDNS or without: another try of the same kind would bring the same.
    replied: set[tuple[Server, bool]] = field(default_factory=set)
    #: Whether a server that was silent answered other questions meanwhile, so that the silence is the zone's.
    server_is_alive: bool = False


class DnsClient:
    """Asks DNS servers. `timeout` is the longest patience with one server, in seconds.

    `in_flight` bounds the first tries under way, and the later ones, each; `waiting` is how many questions of one asker
    may wait beyond those. All messages in work may ask at once, as after a start, so there is room for more than them.
    `servers` may be a function when they change; `notice` takes a line for the operator.
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
        self._transport = DnsTransport(reactor, self._count_wrong)
        self._configured = servers if callable(servers) else lambda: servers
        #: As configured, and in the order in which they are asked.
        self._known: tuple[Server, ...] = ()
        self._servers: list[Server] = []
        self._timeout = timeout
        self._first, self._later = LookupQueue(in_flight), LookupQueue(in_flight)
        self._most = in_flight + waiting
        self._asked = dict.fromkeys(Asker, 0)
        self._zones = ZoneHistory()
        # Replies that came from each server.
        self._replies: dict[Server, int] = {}
        # Servers that are asked in lower case, and until when.
        self._lower_case: dict[Server, float] = {}
        self._notice = notice
        #: Datagrams that came from a server's address and were no reply to the query.
        self.wrong_replies = 0
        self._told_wrong = 0
        self._next_notice = float("-inf")

    async def ask(self, name: str, kind: RecordType, asker: Asker = Asker.DELIVERY) -> DnsReply | LookupFailed:
        """Return the first reply that is an answer. Raises ValueError for what cannot be a name."""
        if not self._current():
            return LookupFailed("no DNS server is known: set DNS_SERVERS, or name one in /etc/resolv.conf")
        if self._asked[asker] >= self._most:
            return LookupFailed(f"{self._most} DNS look-ups are waiting already")
        self._asked[asker] += 1
        try:
            return await self._ask_in_turn(_DnsQuery(name, kind, asker, zone_of(name)))
        finally:
            self._asked[asker] -= 1

    def _current(self) -> Sequence[Server]:
        """Return the servers in the order in which to ask them: that of the configuration, silent ones last."""
        configured = tuple(self._configured())
        if configured != self._known:
            self._known, self._servers = configured, list(dict.fromkeys(configured))
            self._replies = dict.fromkeys(configured, 0)
            self._lower_case = {}
        return self._servers

    async def _ask_in_turn(self, question: _DnsQuery) -> DnsReply | LookupFailed:
        standing = self._zones.standing(question.zone, self._seconds())
        # A zone that was silent a short while ago gets less patience, and later tries only when no other zone waits.
        rounds, behind = (_ROUNDS[:2], len(_ROUNDS)) if standing is Standing.SILENT else (_ROUNDS, 0)
        for number, (level, server, patience, edns) in enumerate(self._tries(question, rounds)):
            room = self._later if number else self._first
            await room.enter(question.asker, question.zone, level + behind if number else int(standing))
            try:
                reply = await self._try(question, server, patience, edns=edns)
            finally:
                room.leave(question.asker)
            if reply is not None:
                self._zones.note(question.zone, Standing.ANSWERS, self._seconds())
                return reply
        if question.server_is_alive and not question.replied:
            self._zones.note(question.zone, Standing.SILENT, self._seconds())
        return LookupFailed(", ".join(question.troubles.values()))

    def _tries(self, question: _DnsQuery, rounds: Sequence[_Round]) -> Iterator[tuple[int, Server, float, bool]]:
        """Yield the tries of a question: the number of the round, server, seconds, and whether with EDNS.

        They begin anew, a few times, with servers that were configured meanwhile.
        """
        for _ in range(_MOST_BEGINNINGS):
            begun = self._known
            for level, (share, edns) in enumerate(rounds):
                for server in tuple(self._current()):
                    if self._known is not begun:
                        break
                    if (server, edns) not in question.replied:
                        yield level, server, share * self._timeout, edns
            if self._known is begun:
                return

    async def _try(self, question: _DnsQuery, server: Server, patience: float, *, edns: bool) -> DnsReply | None:
        """Return the answer; None if the server gave none: the question then notes the trouble."""
        before = self._replies.get(server, 0)
        try:
            reply = await self._ask_server(question, server, patience, edns=edns)
        except NoReply as error:
            question.troubles[server] = f"{error} from {_label(server)}"
            if self._replies.get(server, 0) == before:
                self._demote(server)
            else:
                question.server_is_alive = True
            return None
        self._replies[server] = self._replies.get(server, 0) + 1
        if not trouble(reply):
            return reply
        question.replied.add((server, edns))
        question.troubles[server] = f"{trouble(reply)} from {_label(server)}"
        return None

    def _demote(self, server: Server) -> None:
        """Ask a silent server last from now on, so that it delays one question and not each."""
        if server in self._servers:
            self._servers.remove(server)
            self._servers.append(server)

    async def _ask_server(self, question: _DnsQuery, server: Server, patience: float, *, edns: bool) -> DnsReply:
        """Return the reply of a server. Raises NoReply."""
        # The tries without EDNS are for servers that do not answer others, so their names are in lower case, too.
        mixed = edns and self._lower_case.get(server, 0.0) <= self._seconds()
        reply = await self._ask_once(question, server, patience, edns=edns, mixed=mixed)
        if not mixed or not is_negative(reply):
            return reply
        # Some servers find a name in lower case alone, and a wrong "no" would return mail.
        again = await self._ask_once(question, server, patience, edns=edns, mixed=False)
        if is_negative(again):
            return again
        try:
            return await self._transport.over_tcp(server, make_query(question.name, question.kind), self._timeout)
        except NoReply:
            return again

    async def _ask_once(
        self, question: _DnsQuery, server: Server, patience: float, *, edns: bool, mixed: bool
    ) -> DnsReply:
        """Return the reply of a server over UDP; over TCP if it does not fit, or may be another's. Raises NoReply."""
        query = make_query(question.name, question.kind, edns=edns, mixed_case=mixed)
        try:
            reply = await self._transport.over_udp(server, query, patience)
        except ForgedReplies as error:
            self._tell_wrong(f"a query about {question.name} to {_label(server)}")
            try:
                return await self._transport.over_tcp(server, query, self._timeout)
            except NoReply as second:
                raise NoReply(f"{error}, then {second} over TCP") from None
        if mixed and not reply.case_kept:
            return await self._ask_about_case(question, server, query, patience)
        if not reply.truncated:
            return reply
        try:
            return await self._transport.over_tcp(server, query, self._timeout)
        except NoReply:
            # The server answers, but not this: another try of the same kind would end alike.
            question.replied.add((server, edns))
            raise

    async def _ask_about_case(
        self, question: _DnsQuery, server: Server, query: QueryMessage, patience: float
    ) -> DnsReply:
        """Ask over TCP, which is hard to forge, because the reply over UDP had not the case of the query."""
        try:
            reply = await self._transport.over_tcp(server, query, self._timeout)
        except NoReply:
            # Without TCP such a server cannot be told from a forger, and without its answers no mail goes.
            self._lower_case[server] = self._seconds() + _LOWER_CASE_TTL
            return await self._ask_once(question, server, patience, edns=query.edns >= 0, mixed=False)
        if reply.case_kept:
            self._count_wrong()
        else:
            self._lower_case[server] = self._seconds() + _LOWER_CASE_TTL
        return reply

    def _count_wrong(self) -> None:
        self.wrong_replies += 1
        if self.wrong_replies - self._told_wrong >= _MANY_WRONG:
            self._tell_wrong("queries")

    def _tell_wrong(self, what: str) -> None:
        if self._seconds() < self._next_notice:
            return
        self._next_notice = self._seconds() + _NOTICE_ROUND
        self._notice(
            f"DNS replies that do not fit came to {what}, {self.wrong_replies - self._told_wrong} since the last notice"
            " of this: somebody may be forging replies. The relay asks by TCP where too many come"
        )
        self._told_wrong = self.wrong_replies


def _label(server: Server) -> str:
    return f"{bracketed(server[0])}:{server[1]}"
