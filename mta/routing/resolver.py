"""The resolver: hosts file, cache, CNAMEs and search list around the DNS wire. The values it gives are in `answers`."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from mta.routing.answers import (
    AddressAnswer,
    Answer,
    Found,
    LookupFailed,
    MxAnswer,
    NoSuchName,
    merge,
    octets,
    with_ttl,
)
from mta.routing.cache import Shared, TtlCache
from mta.routing.dnsmessage import Alias, Kind, read_answer
from mta.routing.dnswire import DnsWire, IDnsReactor, Server
from mta.routing.hosts import HostsFile
from mta.routing.resolvconf import system_servers

#: Look-ups that one chain of CNAMEs may cost, beyond what a server follows by itself.
MAX_ALIASES = 8
DNS_PORT = 53

# Seconds for which an answer out of the hosts file is good.
_HOSTS_TTL = 10.0
# Seconds for which it is remembered that a text cannot be a name.
_IMPOSSIBLE_TTL = 300.0

_Question = tuple[str, Kind]


class DnsResolver:
    """Answers from the cache where it can, and asks each question once however many want to know.

    What is not there is remembered apart from what is, so that made-up names cannot push out real ones.
    """

    def __init__(
        self,
        wire: DnsWire,
        seconds: Callable[[], float],
        *,
        hosts: HostsFile | None = None,
        search: Sequence[str] = (),
        cache_size: int = 10_000,
    ) -> None:
        self._wire = wire
        self._hosts = hosts
        self._search = tuple(search)
        self._found: TtlCache[_Question, Answer[Any]] = TtlCache(cache_size, seconds, octets)
        self._missing: TtlCache[_Question, Answer[Any]] = TtlCache(cache_size, seconds, octets)
        self._asking: Shared[_Question, Answer[Any]] = Shared()

    async def mx(self, name: str) -> MxAnswer:
        """Return the MX records of a domain."""
        return await self._look_up((_plain(name), Kind.MX))

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
        yield from (f"{plain}.{suffix}" for suffix in self._search)
        if "." not in plain:
            yield plain

    async def _addresses(self, name: str, *, ipv6: bool) -> AddressAnswer:
        if not ipv6:
            return await self._look_up((name, Kind.A))
        both = [Deferred.fromCoroutine(self._look_up((name, kind))) for kind in (Kind.AAAA, Kind.A)]
        aaaa, a = await gatherResults(both, consumeErrors=True)
        return merge(aaaa, a)

    async def _look_up(self, question: _Question) -> Answer[Any]:
        for cache in (self._found, self._missing):
            answer = cache.get(question)
            if answer is not None:
                return with_ttl(answer, cache.remaining(question))
        return await self._asking.ask(question, lambda: self._ask(question))

    async def _ask(self, question: _Question) -> Answer[Any]:
        try:
            answer = await self._follow(*question)
        except ValueError:
            answer = NoSuchName(_IMPOSSIBLE_TTL)
        cache = self._found if isinstance(answer, Found) else self._missing
        cache.put(question, answer, answer.ttl)
        return answer

    async def _follow(self, name: str, kind: Kind) -> Answer[Any]:
        """Ask, and ask on where a server left a chain of CNAMEs unfinished."""
        ttl = float("inf")
        for _ in range(MAX_ALIASES):
            reply = await self._wire.ask(name, kind)
            if isinstance(reply, LookupFailed):
                return reply
            answer = read_answer(reply)
            ttl = min(ttl, answer.ttl)
            if not isinstance(answer, Alias):
                return with_ttl(answer, ttl)
            name = answer.target
        return LookupFailed(f"more than {MAX_ALIASES} CNAMEs one after the other")


def make_resolver(reactor: IDnsReactor, servers: Sequence[Server] | None = None) -> DnsResolver:
    """Build the resolver of a daemon: these servers, or those of /etc/resolv.conf with its search list.

    Without a usable /etc/resolv.conf every DNS look-up fails, with a reason that says so.
    """
    search: tuple[str, ...] = ()
    if servers is None:
        addresses, search = system_servers()
        servers = tuple((address, DNS_PORT) for address in addresses)
    return DnsResolver(DnsWire(reactor, servers), reactor.seconds, hosts=HostsFile(), search=search)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
