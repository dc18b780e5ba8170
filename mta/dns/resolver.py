"""The resolver: hosts file, cache, CNAMEs and search list on top of the DNS client."""

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
    TxtAnswer,
    combine,
    memory_size,
    with_ttl,
)
from mta.dns.cache import SingleFlight, TtlCache
from mta.dns.client import DnsClient, IDnsReactor, Server
from mta.dns.lookup_queue import Requester
from mta.dns.message import CanonicalName, RecordType, interpret
from mta.dns.system import HostsFile, ResolvConf

#: Look-ups for one chain of CNAMEs, besides the CNAMEs that a server follows by itself.
MAX_CNAME_QUERIES = 8
DNS_PORT = 53

# Seconds for which an answer from the hosts file is valid.
_HOSTS_TTL = 10.0
# Seconds for which it is cached that a text cannot be a DNS name.
_INVALID_NAME_TTL = 300.0

_Key = tuple[str, RecordType]
#: Takes an answer and the seconds that its look-up took.
LookedUp = Callable[[Answer[Any], float], object]


class DnsResolver:
    """Answers from its caches if possible, and makes one look-up for all callers that ask the same question.

    Negative answers have a cache of their own, so that invented names cannot displace real ones. With `system` the
    search list is that of resolv.conf, and the caches are cleared when it changes.
    """

    def __init__(
        self,
        client: DnsClient,
        seconds: Callable[[], float],
        *,
        hosts: HostsFile | None = None,
        search: Sequence[str] = (),
        system: ResolvConf | None = None,
        cache_size: int = 10_000,
        looked_up: LookedUp | None = None,
    ) -> None:
        """Prepare; `seconds` is a monotonic clock, `cache_size` the number of entries of each cache.

        `looked_up`, if given, is called with each answer that is not from a cache, and the seconds that it took.
        """
        self._seconds = seconds
        self._looked_up = looked_up
        self._client = client
        self._hosts = hosts
        self._search = tuple(search)
        self._system = system
        self._generation = 0 if system is None else system.generation
        self._requester = Requester.DELIVERY
        self._positive: TtlCache[_Key, Answer[Any]] = TtlCache(cache_size, seconds, memory_size)
        self._negative: TtlCache[_Key, Answer[Any]] = TtlCache(cache_size, seconds, memory_size)
        self._running: SingleFlight[_Key, Answer[Any]] = SingleFlight()

    @property
    def client(self) -> DnsClient:
        """The DNS client, for look-ups besides those of this resolver."""
        return self._client

    def for_untrusted_clients(self) -> "DnsResolver":
        """Return a resolver with the same caches whose look-ups count as those of untrusted clients."""
        other = copy(self)
        other._requester = Requester.UNTRUSTED_CLIENT
        other._running = SingleFlight()
        return other

    async def mx(self, name: str) -> MxAnswer:
        """Return the MX records of a domain."""
        return await self._look_up((_normalized(name), RecordType.MX))

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
        """Return the addresses of a host; see `answers.Resolver`."""
        plain = _normalized(name)
        answer = self._in_hosts(plain, ipv6=ipv6)
        if answer is not None:
            return answer
        answers: list[AddressAnswer] = []
        for candidate in self._candidates(name) if search else (plain,):
            answer = await self._addresses(candidate, ipv6=ipv6)
            if isinstance(answer, Found):
                return answer
            answers.append(answer)
        # As in res_search of glibc: a candidate whose look-up fails does not end the search. If no candidate has an
        # address, that failure is the answer, because the name may exist.
        return reduce(combine, answers)

    async def txt(self, name: str) -> TxtAnswer:
        """Return the texts of the TXT records of a name."""
        return await self._look_up((_normalized(name), RecordType.TXT))

    def _in_hosts(self, name: str, *, ipv6: bool) -> AddressAnswer | None:
        known = self._hosts.addresses(name) if self._hosts else ()
        usable = tuple(address for address in known if ipv6 or ":" not in address)
        return Found(usable, _HOSTS_TTL, name) if usable else None

    def _candidates(self, name: str) -> Iterator[str]:
        """Yield the full names that an operator may have meant.

        A name with a dot is first tried as it is, whatever `ndots` is, because a search list must not shadow a real
        host.
        """
        plain = _normalized(name)
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
        both = [Deferred.fromCoroutine(self._look_up((name, rdtype))) for rdtype in (RecordType.AAAA, RecordType.A)]
        aaaa, a = await gatherResults(both, consumeErrors=True)
        return combine(aaaa, a)

    async def _look_up(self, key: _Key) -> Answer[Any]:
        self._discard_outdated()
        for cache in (self._positive, self._negative):
            answer = cache.get(key)
            if answer is not None:
                return with_ttl(answer, cache.remaining(key))
        return await self._running.run(key, lambda: self._fetch(key))

    def _discard_outdated(self) -> None:
        """Clear the caches when the name servers change, because in another network the answers may differ."""
        if self._system is not None and self._system.generation != self._generation:
            self._generation = self._system.generation
            self._positive.clear()
            self._negative.clear()

    async def _fetch(self, key: _Key) -> Answer[Any]:
        generation, began = self._generation, self._seconds()
        try:
            answer = await self._follow_cnames(*key)
        except ValueError:
            answer = NoSuchName(_INVALID_NAME_TTL)
        if generation == self._generation:
            cache = self._positive if isinstance(answer, Found) else self._negative
            cache.put(key, answer, answer.ttl)
        if self._looked_up is not None:
            self._looked_up(answer, self._seconds() - began)
        return answer

    async def _follow_cnames(self, name: str, rdtype: RecordType) -> Answer[Any]:
        """Return the answer for a name; follow the CNAMEs that a server did not follow itself."""
        ttl = float("inf")
        for _ in range(MAX_CNAME_QUERIES):
            reply = await self._client.look_up(name, rdtype, self._requester)
            if isinstance(reply, LookupFailed):
                return reply
            answer = interpret(reply)
            ttl = min(ttl, answer.ttl)
            if not isinstance(answer, CanonicalName):
                return with_ttl(answer, ttl)
            name = answer.target
        return LookupFailed(f"more than {MAX_CNAME_QUERIES} CNAMEs one after the other")


def make_resolver(
    reactor: IDnsReactor,
    servers: Sequence[Server] | None = None,
    *,
    notice: Callable[[str], object] = lambda _: None,
    system: Path = Path("/etc/resolv.conf"),
    looked_up: LookedUp | None = None,
) -> DnsResolver:
    """Return the resolver of a relay, which asks these servers, or those that resolv.conf(5) names at the time.

    As long as the file has never named a server, every look-up fails with a reason that says so. `notice` takes lines
    for the operator, `looked_up` is as in DnsResolver.
    """
    if servers is not None:
        return DnsResolver(
            DnsClient(reactor, servers, notice=notice), reactor.seconds, hosts=HostsFile(), looked_up=looked_up
        )
    conf = ResolvConf(reactor.seconds, system)
    client = DnsClient(reactor, lambda: [(address, DNS_PORT) for address in conf.servers], notice=notice)
    return DnsResolver(client, reactor.seconds, hosts=HostsFile(), system=conf, looked_up=looked_up)


def _normalized(name: str) -> str:
    return name.lower().removesuffix(".")
