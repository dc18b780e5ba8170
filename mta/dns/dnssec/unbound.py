"""Drives libunbound from the reactor: looks names up, and follows changes of the name servers."""

from collections.abc import Callable, Sequence

import dns.exception
import dns.name
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.dns.answers import LookupFailed
from mta.dns.dnssec.answer_cache import AnswerCache, ValidatedReply
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer
from mta.dns.dnssec.library import Libunbound, LibunboundError, UnboundContext, UnboundResult
from mta.dns.dnssec.private_domains import is_denied, neighbour
from mta.dns.lookup_queue import LookupQueue, Requester, zone_of
from mta.dns.message import RecordType, rcode_error
from mta.dns.parser import DnsReply, MalformedReply, parse_reply
from mta.dns.transport import Server

#: Seconds for one look-up with all that it needs for its proof.
TIMEOUT = 15.0

# How often a look-up starts over because other servers were configured meanwhile.
_MAX_STARTS = 3
#: Options of unbound.conf(5).
OPTIONS = (
    # Names that libunbound would answer by itself, though the name servers may know them.
    *(("local-zone", f"{zone} transparent") for zone in ("test.", "invalid.", "onion.", "home.arpa.")),
    # The name servers may have names below a top-level domain that is proven not to exist.
    ("harden-below-nxdomain", "no"),
    ("aggressive-nsec", "no"),
    # As in the relay's own caches.
    ("cache-max-ttl", "3600"),
    ("cache-max-negative-ttl", "300"),
    ("val-bogus-ttl", "5"),
    # A name server that was silent is asked again soon, and one query at a time even before that.
    ("infra-host-ttl", "60"),
    # Milliseconds before a query is sent again: a resolver may know one answer at once and need seconds for another.
    ("infra-cache-min-rtt", "500"),
    ("infra-keep-probing", "yes"),
    # The root's servers need not know which keys a relay trusts (RFC 8145).
    ("trust-anchor-signaling", "no"),
    # Sockets.
    ("outgoing-range", "64"),
    ("outgoing-num-tcp", "10"),
)


class IUnboundReactor(IReactorTime, IReactorFDSet):
    """The parts of a reactor that the driver needs."""


class _ContextClosed(Exception):
    """The context was closed before it gave a result; the message says why."""


class UnboundResolver:
    """An Authenticity by libunbound, which asks `servers` and validates by `anchors`, DS or DNSKEY records as text.

    `in_flight` limits the look-ups that libunbound has at a time, `waiting` those that wait for one to end, and
    `timeout` is the seconds for each.
    """

    usable = True

    def __init__(
        self,
        reactor: IUnboundReactor,
        library: Libunbound,
        servers: Callable[[], Sequence[Server]],
        anchors: Sequence[str],
        *,
        in_flight: int = 100,
        waiting: int = 10_000,
        timeout: float = TIMEOUT,
    ) -> None:
        self._reactor = reactor
        self._library = library
        self._servers = lambda: tuple(servers())
        self._anchors = tuple(anchors)
        self._queue = LookupQueue(in_flight)
        self._max_lookups = in_flight + waiting
        self._lookups = 0
        #: Look-ups that libunbound was given.
        self.begun = 0
        self._timeout = timeout
        self._running: _Running | None = None
        self._stopped = False
        self._cache = AnswerCache(self._ask, reactor.seconds, self._servers)

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        """Return the records of a name; see `Authenticity`."""
        return await self._cache.look_up(name, rdtype)

    def start(self) -> None:
        """Return at once, because libunbound starts with the first look-up."""

    def stop(self) -> None:
        """End libunbound's thread and free its memory. Look-ups that have not ended fail, and so do later ones."""
        self._stopped = True
        self._close("the relay stops")

    async def _ask(self, name: str, rdtype: RecordType) -> ValidatedReply:
        absolute = _wire_text(name)
        if self._lookups >= self._max_lookups:
            return _no_answer(f"{self._max_lookups} DNS look-ups are waiting already")
        self._lookups += 1
        try:
            return await self._validated(name, await self._result(name, absolute, rdtype))
        except (LibunboundError, _ContextClosed) as error:
            return _no_answer(str(error))
        finally:
            self._lookups -= 1

    async def _validated(self, name: str, result: UnboundResult) -> ValidatedReply:
        reply = _read(result)
        if isinstance(reply, LookupFailed):
            return _no_answer(reply.reason)
        if result.bogus:
            if await self._is_private(name):
                return ValidatedReply(reply, Security.INSECURE, f"the top-level domain of {name} does not exist")
            return _no_answer(result.reason or "its signatures are wrong or missing")
        if result.secure:
            return ValidatedReply(reply, Security.SECURE)
        return ValidatedReply(reply, Security.INSECURE, "its zone is not signed")

    async def _result(self, name: str, absolute: bytes, rdtype: RecordType) -> UnboundResult:
        """Return the result of a look-up within the time for one. Raises LibunboundError and _ContextClosed."""
        run = Deferred.fromCoroutine(self._run(zone_of(name), absolute, rdtype))
        try:
            return await run.addTimeout(self._timeout, self._reactor)
        except DeferredTimeout:
            raise LibunboundError(f"libunbound has no answer within {self._timeout:g} s") from None

    async def _run(self, zone: str, name: bytes, rdtype: RecordType) -> UnboundResult:
        """Return the result of a look-up; start over if other servers are configured meanwhile."""
        for _ in range(_MAX_STARTS - 1):
            try:
                return await self._run_once(zone, name, rdtype)
            except _ContextClosed:
                if self._stopped:
                    raise
        return await self._run_once(zone, name, rdtype)

    async def _run_once(self, zone: str, name: bytes, rdtype: RecordType) -> UnboundResult:
        await self._queue.acquire(Requester.DELIVERY, zone)
        try:
            result = self._context().ask(name, rdtype, self._release)
            self.begun += 1
        except (LibunboundError, _ContextClosed):
            self._release()
            raise
        return await result

    def _release(self) -> None:
        self._queue.release(Requester.DELIVERY)

    def _context(self) -> "_Running":
        """Return the context for the present name servers. Raises LibunboundError, and _ContextClosed after `stop`."""
        servers = self._servers()
        if self._stopped:
            raise _ContextClosed("the relay stops")
        if self._running is not None and (self._running.servers != servers or self._running.lost):
            self._close("other DNS servers are configured")
        if self._running is None:
            if not servers:
                raise LibunboundError("no DNS server is known: set DNS_SERVERS, or name one in /etc/resolv.conf")
            context = UnboundContext(self._library, servers, self._anchors, OPTIONS)
            self._running = _Running(self._reactor, context, servers)
        return self._running

    def _close(self, reason: str) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.close(reason)

    async def _is_private(self, name: str) -> bool:
        """Whether a name is below a top-level domain that is proven not to exist."""
        other = neighbour(name)
        if not other:
            return False
        try:
            result = await self._result(other, _wire_text(other), RecordType.A)
        except (LibunboundError, _ContextClosed, ValueError):
            return False
        return result.secure and is_denied(result.packet, name)


def _read(result: UnboundResult) -> DnsReply | LookupFailed:
    """Return the reply in a result of libunbound; a bogus one may have any records."""
    if result.error:
        return LookupFailed(f"libunbound: {result.error}")
    try:
        reply = parse_reply(result.packet)
    except MalformedReply as error:
        return LookupFailed(f"libunbound gave a malformed reply: {error}")
    if rcode_error(reply) or reply.question is None:
        return LookupFailed(result.reason or f"no answer from the DNS servers ({rcode_error(reply)} by libunbound)")
    return reply


def _no_answer(reason: str) -> ValidatedReply:
    return ValidatedReply(LookupFailed(reason), Security.BOGUS, reason)


def _wire_text(name: str) -> bytes:
    """Return a name in the form that libunbound reads. Raises ValueError for a text that cannot be a name."""
    try:
        return dns.name.from_text(name, dns.name.root).to_text().encode("ascii")
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{name!r} cannot be a name: {error}") from None


@implementer(IReadDescriptor)
class _Running:
    """One context of libunbound while the reactor watches its descriptor."""

    def __init__(self, reactor: IReactorFDSet, context: UnboundContext, servers: Sequence[Server]) -> None:
        self._reactor = reactor
        self._context = context
        self.servers = servers
        #: Whether the context has failed, and gives no more results.
        self.lost = False
        self._numbers = 0
        # The look-ups that have not ended, and what to call when they end, even if their callers gave up.
        self._waiting: dict[int, tuple[Deferred[UnboundResult], Callable[[], object]]] = {}
        self._descriptor = context.fileno()
        reactor.addReader(self)

    def ask(self, name: bytes, rdtype: RecordType, ended: Callable[[], object]) -> "Deferred[UnboundResult]":
        """Begin a look-up, and return its result; `ended` is called when libunbound has ended it.

        A result that is cancelled does not end the look-up. Raises LibunboundError.
        """
        self._numbers += 1
        self._context.ask(self._numbers, name, rdtype.value)
        result: Deferred[UnboundResult] = Deferred()
        self._waiting[self._numbers] = result, ended
        return result

    def fileno(self) -> int:
        """Return libunbound's descriptor; called by the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return the name of this reader; called by the reactor."""
        return "libunbound"

    def doRead(self) -> None:
        """Take the results that have come; called by the reactor."""
        try:
            results = self._context.process()
        except LibunboundError as error:
            self._lose(str(error))
            return
        for number, result in results:
            self._end(number, result)

    def _end(self, number: int, result: UnboundResult) -> None:
        # The look-up that ended before may have begun another one, which found other servers and closed this context.
        waiting, ended = self._waiting.pop(number, (None, None))
        if ended is not None:
            ended()
        if waiting is not None and not waiting.called:
            waiting.callback(result)

    def connectionLost(self, reason: Failure) -> None:
        """Fail all look-ups, because the reactor gives the descriptor up."""
        self._lose(f"libunbound: {reason.getErrorMessage()}")

    def _lose(self, reason: str) -> None:
        self.lost = True
        self.close(reason)

    def close(self, reason: str) -> None:
        """Free the context; look-ups that have not ended fail with _ContextClosed."""
        if self._descriptor == -1:
            return
        self._reactor.removeReader(self)
        self._descriptor = -1
        self._context.close()
        waiting, self._waiting = self._waiting, {}
        for result, ended in waiting.values():
            ended()
            if not result.called:
                result.errback(Failure(_ContextClosed(reason)))
