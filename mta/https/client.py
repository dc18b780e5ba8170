"""A client for HTTPS requests by Twisted's Agent: the relay's own look-ups, verified TLS, bounds on time and octets.

It follows no redirect, keeps no cookie, and by default no connection.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.policies import WrappingFactory
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from mta.connection_errors import connect_error_text
from mta.dns.answers import AddressAnswer, Found, LookupFailed, Resolver
from mta.https.interface import TIMEOUT, HostUnknown, HttpAnswer, HttpsError, HttpsUrl, parse_url
from mta.https.kept import KeptConnection
from mta.https.running_exchange import CountedHttpConnection, RequestBody, RunningExchange
from mta.routing.mx_order import interleave
from mta.routing.route import Route, TlsRule
from mta.smtp.address import is_ip
from mta.tls.client import TrustAnchors, client_options

#: Addresses of a host that are tried, and seconds for the connection to each.
MAX_ADDRESSES, CONNECT_SECONDS = 3, 8.0

_USER_AGENT = "smtprelay"


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
    #: Called before the addresses of each connection are looked up, for knowledge that `refuses` needs.
    prepare: Callable[[], Awaitable[None]] | None = None
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
            raise HostUnknown(str(error)) from None
        fields = {"Host": target.authority, "User-Agent": _USER_AGENT, **headers}
        raw_headers = Headers({name: [value] for name, value in fields.items()})
        kept = self._kept if self._kept is not None and not self._kept.busy else None
        begun = self._reactor.seconds()
        while True:
            exchange = RunningExchange(target.authority, limit)
            reused = kept is not None and kept.reuse(target, exchange)
            endpoint = _HostEndpoint(self._reactor, self._resolver, self._options, target, exchange)
            endpoint.kept = kept
            pool = None if kept is None else kept.pool
            agent = Agent.usingEndpointFactory(self._reactor, _OneEndpoint(endpoint), pool)
            left = max(0.0, begun + timeout - self._reactor.seconds())
            timer = self._reactor.callLater(left, exchange.fail, f"no answer within {timeout:g} s")
            producer = RequestBody(body) if body else None
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


@implementer(IStreamClientEndpoint)
class _HostEndpoint:
    """Connects to the first of a host's addresses that can be reached, with TLS that proves the host's name."""

    #: Is told of the connection, if it is to stay open.
    kept: KeptConnection | None = None

    def __init__(
        self, reactor: Any, resolver: Resolver, options: HttpsOptions, url: HttpsUrl, exchange: RunningExchange
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
        addresses = await self._addresses()
        self._exchange.connecting()
        for address in addresses:
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

    def _connection(self, factory: Any, protocol: IProtocol) -> CountedHttpConnection:
        connection = CountedHttpConnection(factory, protocol)
        connection.exchange = self._exchange
        if self.kept is not None:
            self.kept.opened(self._url, connection)
        return connection

    async def _addresses(self) -> list[str]:
        options = self._options
        if options.prepare is not None:
            await options.prepare()
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


def _no_address(answer: AddressAnswer) -> str:
    if isinstance(answer, LookupFailed):
        return f"looking up its address failed: {answer.reason}"
    return "there is no such host, or it has no address"


def _refuses_none(_: str) -> bool:
    return False
