"""The resolver: hosts file, cache, CNAMEs and search list around the DNS wire. The values it gives are in `answers`."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import reduce
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from mta.dns.answers import (
    AddressAnswer,
    Answer,
    Found,
    LookupFailed,
    MxAnswer,
    NoSuchName,
    memory_size,
    merge,
    with_ttl,
)
from mta.dns.cache import Shared, TtlCache
from mta.dns.client import DnsClient, IDnsReactor, Server
from mta.dns.lookup_queue import Asker
from mta.dns.message import CanonicalName, RecordType, read_answer
from mta.dns.system import HostsFile, ResolvConf

#: Look-ups that one chain of CNAMEs may cost, beyond what a server follows by itself.
MAX_ALIASES = 8
DNS_PORT = 53

# Seconds for which an answer out of the hosts file is good.
_HOSTS_TTL = 10.0
# Seconds for which it is remembered that a text cannot be a name.
_IMPOSSIBLE_TTL = 300.0

_Question = tuple[str, RecordType]


class DnsResolver:
    """Answers from the cache where it can, and asks each question once however many want to know.

    Negative answers are remembered apart from the others, so that made-up names cannot push out real ones. With
    `system` the search list is the one of resolv.conf; when that changes, answers of the servers before do not count
    any more.
    """

    def __init__(
        self,
        wire: DnsClient,
        seconds: Callable[[], float],
        *,
        hosts: HostsFile | None = None,
        search: Sequence[str] = (),
        system: ResolvConf | None = None,
        cache_size: int = 10_000,
    ) -> None:
        self._wire = wire
        self._hosts = hosts
        self._search = tuple(search)
        self._system = system
        self._generation = 0 if system is None else system.generation
        self._asker = Asker.DELIVERY
        self._found: TtlCache[_Question, Answer[Any]] = TtlCache(cache_size, seconds, memory_size)
        self._missing: TtlCache[_Question, Answer[Any]] = TtlCache(cache_size, seconds, memory_size)
        self._asking: Shared[_Question, Answer[Any]] = Shared()

    def for_strangers(self) -> "DnsResolver":
        """Return a resolver with the same memory whose questions have the share of clients that are not trusted."""
        other = copy(self)
        other._asker = Asker.STRANGER
        other._asking = Shared()
        return other

    async def mx(self, name: str) -> MxAnswer:
        """Return the MX records of a domain."""
        return await self._look_up((_plain(name), RecordType.MX))

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
        """Return the addresses of a host; see `answers.Resolver`."""
        plain = _plain(name)
        answer = self._in_hosts(plain, ipv6=ipv6)
        if answer is not None:
            return answer
        answers: list[AddressAnswer] = []
        for candidate in self._candidates(name) if search else (plain,):
            answer = await self._addresses(candidate, ipv6=ipv6)
            if isinstance(answer, Found):
                return answer
            answers.append(answer)
        # As glibc's res_search: a candidate that fails does not end the search, but without an address in the end the
        # name may exist.
        return reduce(merge, answers)

    def _in_hosts(self, name: str, *, ipv6: bool) -> AddressAnswer | None:
        known = self._hosts.addresses(name) if self._hosts else ()
        usable = tuple(address for address in known if ipv6 or ":" not in address)
        return Found(usable, _HOSTS_TTL, name) if usable else None

    def _candidates(self, name: str) -> Iterator[str]:
        """Yield the full names an operator may have meant.

        One with a dot is tried as it stands first, whatever `ndots` says: a search list must not shadow a real host.
        """
        plain = _plain(name)
        if name.endswith("."):
            yield plain
            return
        if "." in plain:
            yield plain
        search = self._search if self._system is None else self._system.search
        yield from (f"{plain}.{suffix}" for suffix in search)
        if "." not in plain:
            yield plain

    async def _addresses(self, name: str, *, ipv6: bool) -> AddressAnswer:
        if not ipv6:
            return await self._look_up((name, RecordType.A))
        both = [Deferred.fromCoroutine(self._look_up((name, kind))) for kind in (RecordType.AAAA, RecordType.A)]
        aaaa, a = await gatherResults(both, consumeErrors=True)
        return merge(aaaa, a)

    async def _look_up(self, question: _Question) -> Answer[Any]:
        self._follow_system()
        for cache in (self._found, self._missing):
            answer = cache.get(question)
            if answer is not None:
                return with_ttl(answer, cache.remaining(question))
        return await self._asking.ask(question, lambda: self._ask(question))

    def _follow_system(self) -> None:
        """Forget the answers of servers that are asked no more: in another network they may be others."""
        if self._system is not None and self._system.generation != self._generation:
            self._generation = self._system.generation
            self._found.clear()
            self._missing.clear()

    async def _ask(self, question: _Question) -> Answer[Any]:
        generation = self._generation
        try:
            answer = await self._follow(*question)
        except ValueError:
            answer = NoSuchName(_IMPOSSIBLE_TTL)
        if generation == self._generation:
            cache = self._found if isinstance(answer, Found) else self._missing
            cache.put(question, answer, answer.ttl)
        return answer

    async def _follow(self, name: str, kind: RecordType) -> Answer[Any]:
        """Ask, and ask on where a server left a chain of CNAMEs unfinished."""
        ttl = float("inf")
        for _ in range(MAX_ALIASES):
            reply = await self._wire.ask(name, kind, self._asker)
            if isinstance(reply, LookupFailed):
                return reply
            answer = read_answer(reply)
            ttl = min(ttl, answer.ttl)
            if not isinstance(answer, CanonicalName):
                return with_ttl(answer, ttl)
            name = answer.target
        return LookupFailed(f"more than {MAX_ALIASES} CNAMEs one after the other")


def make_resolver(
    reactor: IDnsReactor,
    servers: Sequence[Server] | None = None,
    *,
    notice: Callable[[str], object] = lambda _: None,
    system: Path = Path("/etc/resolv.conf"),
) -> DnsResolver:
    """Build the resolver of a daemon: these servers, or those of resolv.conf(5) with its search list as it is now.

    While the file names no server, and never did, every DNS look-up fails, with a reason that says so. `notice` takes
    lines for the operator.
    """
    if servers is not None:
        return DnsResolver(DnsClient(reactor, servers, notice=notice), reactor.seconds, hosts=HostsFile())
    conf = ResolvConf(reactor.seconds, system)
    wire = DnsClient(reactor, lambda: [(address, DNS_PORT) for address in conf.servers], notice=notice)
    return DnsResolver(wire, reactor.seconds, hosts=HostsFile(), system=conf)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
