"""Opens connections to remote hosts: tries the routes of a plan in order until a session is ready for mail."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IOpenSSLClientConnectionCreator,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from mta.connection_errors import connect_words
from mta.delivery.remote.connection import SmtpConnection
from mta.delivery.remote.in_flight import InFlightLog
from mta.delivery.remote.interface import Connection
from mta.delivery.remote.protocol import SmtpClientProtocol
from mta.delivery.remote.timeouts import Timeouts
from mta.delivery.remote.walk import untried
from mta.delivery.replies.hints import brief, operator_hint, unprotected
from mta.delivery.replies.throttling import throttle_of
from mta.message.outcome import TryLater
from mta.routing.route import Plan, Route, TlsRule
from mta.smtp.client.dialogue import ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.handshake import Login, Terms
from mta.smtp.client.machine import ClientMachine
from mta.tls.client import Fault, describe


class IConnectingReactor(IReactorTCP, IReactorUNIX, IReactorTime):
    """The interfaces of the reactor that a connector needs."""


@dataclass(frozen=True, slots=True)
class ConnectorOptions:
    """The dependencies and options of a SmtpConnector."""

    reactor: IConnectingReactor
    #: The relay's name in EHLO.
    ehlo_name: str
    #: Returns the options of a TLS handshake that checks the certificate as the route's TLS rule demands.
    tls_options: Callable[[Route], IOpenSSLClientConnectionCreator]
    in_flight: InFlightLog
    timeouts: Timeouts = field(default_factory=Timeouts)
    #: Whether BDAT is used if the host offers it.
    bdat: bool = True
    #: Called with each connection that `open` returned, once it is down.
    lost: Callable[[Connection], None] | None = None
    #: Called with the reason when a connection is in clear although the host offers STARTTLS.
    in_clear: Callable[[Route, str], None] | None = None


class SmtpConnector:
    """The Connector of mta.delivery.remote.interface over TCP and Unix sockets."""

    def __init__(self, options: ConnectorOptions) -> None:
        self._options = options

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":
        """Try the routes in order until a connection is ready for mail, as the Connector interface says."""
        return _Opening(self._options, untried(plan, tried)).start()


class _Opening:
    """One pass over the routes of a plan; the listener of the protocol that is connecting."""

    def __init__(self, options: ConnectorOptions, routes: Sequence[Route]) -> None:
        self._options = options
        self._routes = list(reversed(routes))
        self._tried: list[str] = []
        self._route: Route
        self._result: Deferred[Connection | TryLater] = Deferred(lambda _: self._cancel())
        self._last = TryLater("there is no host to try", status="4.4.4")
        # The last refusal because of a limit. It says more about the destination than an unreachable host does.
        self._limit: TryLater | None = None
        self._connector: IConnector | None = None
        self._protocol: SmtpClientProtocol | None = None
        self._cancelled = False
        # Why the session being opened is in clear although the host offers STARTTLS; "" if it is not.
        self._no_tls = ""
        # The routes whose TLS handshake failed, with the reason. They are tried again in clear after all other routes.
        self._without_tls: deque[tuple[Route, str]] = deque()

    def start(self) -> "Deferred[Connection | TryLater]":
        """Try the first route; return the Deferred that fires with the connection, or with the last failure."""
        self._try_next()
        return self._result

    def session_event(self, event: ClientEvent) -> None:
        """Act on an event of the session that is being opened."""
        if event is ClientEvent.READY and self._protocol is not None:
            protocol, self._protocol = self._protocol, None
            security = describe(protocol.transport) or self._in_clear(protocol)
            in_flight, lost, tried = self._options.in_flight, self._options.lost, frozenset(self._tried)
            self._result.callback(SmtpConnection(protocol, self._route, security, in_flight, lost, tried=tried))
        elif event is ClientEvent.CLOSED and self._protocol is not None:
            protocol, self._protocol = self._protocol, None
            protocol.close()
            self._session_failed(protocol)

    def connection_lost(self) -> None:
        """Do nothing, because the event CLOSED came before."""

    def connection_failed(self, reason: Failure) -> None:
        """Go on to the next route, because no connection was made."""
        self._protocol = None
        text = connect_words(reason.value, self._options.timeouts.connect)
        self._give_up_route(SessionFailure(FailureKind.LOST, "4.4.1", text))

    def _in_clear(self, protocol: SmtpClientProtocol) -> str:
        """Return the protection of a session in clear: `none(<reason>)` if the host offers STARTTLS, "" if not."""
        reason = brief(self._no_tls or protocol.client.starttls_refused)
        if reason and self._options.in_clear is not None:
            self._options.in_clear(self._route, reason)
        return unprotected(reason) if reason else ""

    def _try_next(self) -> None:
        """Try the next route, then those whose TLS handshake failed; after the last one, report its failure."""
        if self._cancelled:
            return
        if self._routes:
            self._route, self._no_tls = self._routes.pop(), ""
            self._tried.append(self._route.label)
        elif self._without_tls:
            self._route, self._no_tls = self._without_tls.popleft()
        else:
            self._result.callback(self._limit or self._last)
            return
        self._connect()

    def _connect(self) -> None:
        options, route = self._options, self._route
        implicit = route.implicit_tls
        terms = _terms(options.ehlo_name, route, clear=self._no_tls != "")
        client = ClientMachine(terms, secured=implicit, bdat=options.bdat)
        protocol = SmtpClientProtocol(
            options.reactor, client, options.timeouts, lambda: options.tls_options(route), implicit_tls=implicit
        )
        protocol.listener = self
        self._protocol = protocol
        factory = _ProtocolFactory(protocol, self)
        timeout = options.timeouts.connect
        if route.address.startswith("/"):
            self._connector = options.reactor.connectUNIX(route.address, factory, timeout)
        else:
            self._connector = options.reactor.connectTCP(route.address, route.port, factory, timeout)

    def _session_failed(self, protocol: SmtpClientProtocol) -> None:
        failure = protocol.client.ended
        assert failure is not None
        opportunistic = self._route.tls is TlsRule.OPPORTUNISTIC and not self._route.implicit_tls
        if failure.cause is FailureKind.TLS_FAILED and opportunistic and not self._no_tls:
            self._without_tls.append((self._route, failure.text))
            self._try_next()
        else:
            self._give_up_route(failure, protocol.fault)

    def _give_up_route(self, failure: SessionFailure, fault: Fault | None = None) -> None:
        self._last = operator_hint(failure, self._route, fault)
        if throttle_of(self._last) is not None:
            self._limit = self._last
        if failure.cause is FailureKind.OURSELVES and self._route.preference is not None:
            # RFC 5321 section 5.1: hosts that are not preferred to this relay would send the mail back to it.
            self._routes.clear()
        self._try_next()

    def _cancel(self) -> None:
        """Close the connection that is being opened; the Deferred then fails with CancelledError."""
        self._cancelled = True
        if self._connector is not None:
            protocol, self._protocol = self._protocol, None
            if protocol is not None and protocol.connected:
                protocol.abort()
            else:
                self._connector.stopConnecting()


class _ProtocolFactory(ClientFactory):
    noisy = False

    def __init__(self, protocol: SmtpClientProtocol, opening: _Opening) -> None:
        self._protocol = protocol
        self._opening = opening

    def buildProtocol(self, addr: IAddress | None) -> SmtpClientProtocol:  # noqa: ARG002  Twisted's signature
        return self._protocol

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002, N802
        self._opening.connection_failed(reason)


def _terms(ehlo_name: str, route: Route, *, clear: bool) -> Terms:
    """Return the terms of a session on a route. `clear` is true after an opportunistic TLS handshake has failed."""
    login = route.credentials
    return Terms(
        ehlo_name,
        lmtp=route.lmtp,
        starttls=route.tls is not TlsRule.NONE and not clear,
        tls_required=route.tls in (TlsRule.REQUIRE, TlsRule.VERIFY),
        login=None if login is None else Login(login.user, login.password),
        # Only if the operator asked for it, because with credentials the default rule is VERIFY.
        login_in_clear=route.tls is TlsRule.OPPORTUNISTIC,
    )
