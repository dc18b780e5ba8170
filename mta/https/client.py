"""A client for HTTPS requests by Twisted's Agent: the relay's own look-ups, verified TLS, bounds on time and octets.

It follows no redirect, keeps no cookie, and by default no connection.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from mta.connection_errors import connect_error_text
from mta.dns.answers import AddressAnswer, Found, LookupFailed, Resolver
from mta.https.interface import TIMEOUT, HttpAnswer, HttpsError, HttpsUrl, parse_url
from mta.https.kept import KeptConnection
from mta.routing.mx_order import interleave
from mta.routing.route import Route, TlsRule
from mta.smtp.address import is_ip
from mta.tls.client import CertificateRejected, TrustAnchors, client_options, handshake_failure_text

#: Octets that an answer may have besides its body, for headers and the lengths of chunks.
OVERHEAD = 64 * 1024
#: Addresses of a host that are tried, and seconds for the connection to each.
MAX_ADDRESSES, CONNECT_SECONDS = 3, 8.0

_USER_AGENT = "smtprelay"
_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599
_NOT_HTTP = "the answer is not HTTP"


@dataclass(frozen=True, slots=True)
class HttpsOptions:
    """The options of a HttpsClient."""

    #: Returns the authorities that may sign certificates, for each connection; by default the system's.
    trust: Callable[[], TrustAnchors] = TrustAnchors
    #: Whether IPv6 addresses are used.
    ipv6: bool = True
    #: Whether the system's search list applies to names, as is usual for those that an operator wrote.
    search: bool = False
    #: Tells whether no connection may be made to an address, for hosts that a stranger chose; None allows each.
    refuses: Callable[[str], bool] | None = None
    #: Whether http URLs, without TLS, are allowed too.
    plain: bool = False
    #: Whether a connection stays open for the next request to the same host. If the host has closed it meanwhile, the
    #: request is sent again on a new one, so that it may arrive twice.
    keep: bool = False
    rng: random.Random = field(default_factory=random.SystemRandom)


class HttpsClient:
    """The HttpsRequester of mta.https.interface over TCP."""

    def __init__(self, reactor: Any, resolver: Resolver, options: HttpsOptions | None = None) -> None:
        """Prepare; `reactor` provides IReactorTCP and IReactorTime."""
        self._reactor = reactor
        self._resolver = resolver
        self._options = options or HttpsOptions()
        self._kept = KeptConnection(reactor) if self._options.keep else None

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit: int,
        timeout: float = TIMEOUT,  # noqa: ASYNC109  this is not asyncio
    ) -> HttpAnswer:
        """Send one request; see HttpsRequester. Cancelling closes the connection. Raises HttpsError."""
        try:
            target = parse_url(url, plain=self._options.plain)
        except ValueError as error:
            raise HttpsError(str(error)) from None
        fields = {"Host": target.authority, "User-Agent": _USER_AGENT, **headers}
        raw_headers = Headers({name: [value] for name, value in fields.items()})
        kept = self._kept if self._kept is not None and not self._kept.busy else None
        begun = self._reactor.seconds()
        while True:
            exchange = _Exchange(target.authority, limit)
            reused = kept is not None and kept.reuse(target, exchange)
            endpoint = _HostEndpoint(self._reactor, self._resolver, self._options, target, exchange)
            endpoint.kept = kept
            pool = None if kept is None else kept.pool
            agent = Agent.usingEndpointFactory(self._reactor, _OneEndpoint(endpoint), pool)
            left = max(0.0, begun + timeout - self._reactor.seconds())
            timer = self._reactor.callLater(left, exchange.fail, f"no answer within {timeout:g} s")
            producer = _RequestBody(body) if body else None
            try:
                return await exchange.run(
                    agent.request(method.encode("ascii"), target.text.encode("ascii"), raw_headers, producer)
                )
            except HttpsError:
                if not reused or not exchange.lost_unanswered:
                    raise
            finally:
                if kept is not None:
                    kept.end()
                if timer.active():
                    timer.cancel()

    def close(self) -> None:
        """Close the connection that is kept, if there is one."""
        if self._kept is not None:
            self._kept.close()


class _Exchange:
    """One request and its answer. Its result is set once, before the connection is aborted.

    An abort ends a body without a length like its normal end, so an answer that failed must not look complete.
    """

    def __init__(self, host: str, limit: int) -> None:
        self._host = host
        self._limit = limit
        self._result: Deferred[HttpAnswer] | None = Deferred(lambda _: self.abandon())
        self._requesting: Deferred[IResponse] | None = None
        self._octets = self._body_octets = 0
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []
        self._abort: Callable[[], object] = _do_nothing
        #: Whether the host has closed the connection properly, so that a body without a length is whole.
        self.closed_properly = False
        #: Whether the connection ended before an octet of the answer.
        self.lost_unanswered = False
        # Tells whether the connection stays open after the answer.
        self._stays_open: Callable[[], bool] = _never

    def run(self, requesting: "Deferred[IResponse]") -> "Deferred[HttpAnswer]":
        """Return the result of a request that was begun."""
        assert self._result is not None
        result, self._requesting = self._result, requesting
        requesting.addCallbacks(self._answered, self._not_answered)
        return result

    def connected(self, abort: Callable[[], object], stays_open: "Callable[[], bool] | None" = None) -> None:
        """Keep the callable that aborts the connection; call it at once if the result is set already.

        `stays_open` tells, after the answer, whether the connection waits for the next request.
        """
        self._abort = abort
        self._stays_open = stays_open or _never
        if self._result is None:
            abort()

    def count(self, octets: int) -> bool:
        """Count octets of any kind that arrived; return whether they are within the bounds."""
        self._octets += octets
        if self._octets > self._limit + OVERHEAD:
            self.fail(f"the answer is longer than {self._limit} octets")
        return self._result is not None

    def fail(self, text: str) -> None:
        """End the exchange without an answer, unless it has ended."""
        result, self._result = self._result, None
        if result is not None:
            result.errback(HttpsError(f"{self._host}: {text}"))
        self.abandon()

    def abandon(self) -> None:
        """Close the connection at once, or stop opening it."""
        self._result = None
        self._abort()
        if self._requesting is not None:
            self._requesting.cancel()

    def add(self, data: bytes) -> None:
        """Add a piece of the body."""
        self._pieces.append(data)
        self._body_octets += len(data)
        if self._body_octets > self._limit:
            self.fail(f"the answer is longer than {self._limit} octets")

    def finish(self) -> None:
        """End the exchange with its answer, unless it has ended."""
        result, self._result = self._result, None
        if result is not None:
            stays_open = self._stays_open()
            result.callback(HttpAnswer(self._status, self._headers, b"".join(self._pieces)))
            if stays_open:
                return
        self._abort()

    def _answered(self, response: IResponse) -> None:
        # The Agent takes any number.
        if not _LOWEST_STATUS <= response.code <= _HIGHEST_STATUS:
            self.fail(_NOT_HTTP)
            return
        self._status = response.code
        self._headers = {
            name.decode("latin-1").lower(): ", ".join(value.decode("latin-1") for value in values)
            for name, values in response.headers.getAllRawHeaders()
        }
        response.deliverBody(_BodyReader(self))

    def _not_answered(self, failure: Failure) -> None:
        reasons = getattr(failure.value, "reasons", None) or [failure]
        self.lost_unanswered = not self._octets and reasons[0].check(ConnectionDone, ConnectionLost) is not None
        self.fail(_failure_text(failure))


class _BodyReader(Protocol):
    """Gives the body of an answer to its exchange."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def dataReceived(self, data: bytes) -> None:
        """Add a piece of the body."""
        self._exchange.add(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the exchange: with its answer, or with a failure if the end of the body may be missing."""
        complete = reason.check(ResponseDone) or (reason.check(PotentialDataLoss) and self._exchange.closed_properly)
        if complete:
            self._exchange.finish()
        else:
            self._exchange.fail("connection lost before the end of the answer")


class _CountedConnection(ProtocolWrapper):
    """Counts the octets that arrive on a connection, because the Agent bounds neither headers nor their number."""

    exchange: _Exchange

    def makeConnection(self, transport: Any) -> None:  # noqa: N802  Twisted's name
        """Give the exchange its connection."""
        super().makeConnection(transport)
        self.exchange.connected(transport.abortConnection, self.waits)

    def dataReceived(self, data: bytes) -> None:
        """Pass data on while they are within the bounds; end a connection on which something comes unasked."""
        if self.exchange.count(len(data)):
            super().dataReceived(data)
        else:
            transport: Any = self.transport
            transport.abortConnection()

    def waits(self) -> bool:
        """Whether the connection is open and waits for the next request."""
        protocol: Any = self.wrappedProtocol
        return protocol is not None and bool(protocol.state == "QUIESCENT")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note how the connection ended."""
        self.exchange.closed_properly = bool(reason.check(ConnectionDone))
        super().connectionLost(reason)


@implementer(IStreamClientEndpoint)
class _HostEndpoint:
    """Connects to the first of a host's addresses that can be reached, with TLS that proves the host's name."""

    #: Is told of the connection, if it is to stay open.
    kept: KeptConnection | None = None

    def __init__(
        self, reactor: Any, resolver: Resolver, options: HttpsOptions, url: HttpsUrl, exchange: _Exchange
    ) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._options = options
        self._url = url
        self._exchange = exchange

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":  # noqa: N803  Twisted's name
        """Return the protocol of the connection, or fail with HttpsError."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        counting = WrappingFactory(factory)
        counting.noisy = False
        counting.protocol = self._connection
        failure = ""
        for address in await self._addresses():
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint: Any = kind(self._reactor, address, self._url.port, CONNECT_SECONDS)
            if self._url.tls:
                route = Route(self._url.host, address, self._url.port, TlsRule.VERIFY)
                endpoint = wrapClientTLS(client_options(route, self._options.trust()), endpoint)
            try:
                wrapper: Any = await endpoint.connect(counting)
            except ConnectError as error:
                failure = f"{connect_error_text(error, CONNECT_SECONDS)} ({address})"
            else:
                inner: IProtocol = wrapper.wrappedProtocol
                return inner
        raise HttpsError(failure)

    def _connection(self, factory: Any, protocol: IProtocol) -> _CountedConnection:
        connection = _CountedConnection(factory, protocol)
        connection.exchange = self._exchange
        if self.kept is not None:
            self.kept.opened(self._url, connection)
        return connection

    async def _addresses(self) -> list[str]:
        options = self._options
        known = await self._known_addresses(self._url.host)
        refuses = options.refuses or _refuses_none
        allowed = [address for address in interleave(known, options.rng) if not refuses(address)]
        if not allowed:
            raise HttpsError(f"no connection may be made to its address {known[0]}")
        return allowed[:MAX_ADDRESSES]

    async def _known_addresses(self, host: str) -> Sequence[str]:
        if is_ip(host):
            return (host,)
        options = self._options
        answer = await self._resolver.addresses(host, ipv6=options.ipv6, search=options.search)
        if not isinstance(answer, Found) or not answer.records:
            raise HttpsError(_no_address(answer))
        return answer.records


@implementer(IAgentEndpointFactory)
class _OneEndpoint:
    """Gives the Agent the endpoint of its only request."""

    def __init__(self, endpoint: _HostEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> _HostEndpoint:  # noqa: ARG002, N802  Twisted's signature
        """Return the endpoint."""
        return self._endpoint


@implementer(IBodyProducer)
class _RequestBody:
    """The body of a request, which is written at once."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length = len(octets)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":  # noqa: N802  Twisted's signature
        """Write the body."""
        consumer.write(self._octets)
        return succeed(None)

    def stopProducing(self) -> None:
        """Have no effect: the body is written already."""

    def pauseProducing(self) -> None:
        """Have no effect: the body is written already."""

    def resumeProducing(self) -> None:
        """Have no effect: the body is written already."""


def _failure_text(failure: Failure) -> str:
    """Return why there is no answer, on one line without a word of the host."""
    reasons = getattr(failure.value, "reasons", None) or [failure]
    error = reasons[0].value
    if isinstance(error, HttpsError):
        return str(error)
    if isinstance(error, CertificateRejected):
        return f"certificate not trusted: {error}"
    if isinstance(error, SSL.Error):
        return f"TLS failed: {handshake_failure_text(reasons[0])}"
    if isinstance(error, ConnectionDone | ConnectionLost):
        return "connection lost before the answer"
    return _NOT_HTTP


def _no_address(answer: AddressAnswer) -> str:
    if isinstance(answer, LookupFailed):
        return f"looking up its address failed: {answer.reason}"
    return "there is no such host, or it has no address"


def _never() -> bool:
    return False


def _refuses_none(_: str) -> bool:
    return False


def _do_nothing() -> None:
    pass
