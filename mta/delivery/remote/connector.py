"""Opens connections to remote hosts: tries the routes of a plan in order until a session is ready for mail."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import ref

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

from mta.connection_errors import connect_error_text
from mta.delivery.remote.connection import SmtpConnection
from mta.delivery.remote.in_flight import InFlightLog
from mta.delivery.remote.interface import Connection
from mta.delivery.remote.logins import LoginSource, TokensMissing, is_refused, login_for
from mta.delivery.remote.protocol import SmtpClientProtocol
from mta.delivery.remote.source import missing_source, source_of
from mta.delivery.remote.timeouts import Timeouts
from mta.delivery.remote.walk import untried
from mta.delivery.replies.hints import brief, operator_hint, unprotected
from mta.delivery.replies.throttling import throttle_of
from mta.message.outcome import TryLater
from mta.routing.route import Plan, Route, TlsRule
from mta.smtp.client.dialogue import ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.handshake import Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.sasl.logins import ChannelBinding, Login, PasswordLogin, TokenLogin
from mta.tls.binding import channel_binding
from mta.tls.client import describe, options_of

if TYPE_CHECKING:
    from mta.delivery.remote.tls_session import TlsSession
    from mta.routing.carriage import Carriage


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
    #: Gives the tokens of routes that log in by token.
    logins: LoginSource = field(default_factory=TokensMissing)
    #: Called with each connection that `open` returned, once it is down.
    lost: Callable[[Connection], None] | None = None
    #: Called with the reason when a connection is in clear although the host offers STARTTLS.
    in_clear: Callable[[Route, str], None] | None = None
    #: Called with the reason when a connection does not give the proof that the domain is testing.
    unproven: Callable[[Route, str], None] | None = None
    #: Called with the result of each TLS session with an MX host.
    session_ended: "Callable[[TlsSession], object] | None" = None
    #: Called with the reason when a connection was to be made from an address that this host does not have.
    source_missing: Callable[[str], None] | None = None


class SmtpConnector:
    """The Connector of mta.delivery.remote.interface over TCP and Unix sockets."""

    def __init__(self, options: ConnectorOptions) -> None:
        self._options = options

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":
        """Try the routes in order until a connection is ready for mail, as the Connector interface says."""
        return Deferred.fromCoroutine(self._open(untried(plan, tried), plan))

    async def _open(self, routes: Sequence[Route], plan: Plan) -> Connection | TryLater:
        """Try the routes in order, and after them, in clear, those whose opportunistic TLS handshake failed."""
        options = self._options
        last = TryLater("there is no host to try", status="4.4.4")
        # The last refusal because of a limit. It says more about the destination than an unreachable host does.
        limit: TryLater | None = None
        tried: set[str] = set()
        # Whether a route was tried again with a new token.
        renewed = False
        # Each route with the reason why it is tried in clear, "" at the first attempt.
        waiting = deque((route, "") for route in routes)
        while waiting:
            route, no_tls = waiting.popleft()
            tried.add(route.label)
            login = None if route.credentials is None else await login_for(route, route.credentials, options.logins)
            if isinstance(login, TryLater):
                last = login
                continue
            attempt = _Attempt(options, route, login, plan.carriage, clear=no_tls != "")
            failure = await attempt.start()
            if options.session_ended is not None and plan.domain and not no_tls:
                _tell_result(options.session_ended, plan.domain, route, attempt.smtp_protocol, failure)
            if failure is None:
                return self._connection(attempt.smtp_protocol, route, no_tls, frozenset(tried))
            if failure.kind is FailureKind.TLS_FAILED and _is_opportunistic(route) and not no_tls:
                waiting.append((route, failure.text))
                continue
            refused_token = isinstance(login, TokenLogin) and is_refused(failure)
            if login is not None and refused_token and options.logins.rejected(route, login) and not renewed:
                renewed = True
                waiting.appendleft((route, no_tls))
                continue
            if attempt.source_missing and options.source_missing is not None:
                options.source_missing(failure.text)
            last = operator_hint(failure, route, attempt.smtp_protocol.fault)
            if throttle_of(last) is not None:
                limit = last
            if is_refused(failure):
                # The other addresses of the host have the same accounts, and count failed logins together.
                waiting = deque(each for each in waiting if each[0].host != route.host)
            if failure.kind is FailureKind.LOOPS_BACK and route.preference is not None:
                # RFC 5321 section 5.1: hosts that are not preferred to this relay would send the mail back to it.
                waiting = deque(each for each in waiting if each[1])
        return limit or last

    def _connection(
        self, protocol: SmtpClientProtocol, route: Route, no_tls: str, tried: frozenset[str]
    ) -> SmtpConnection:
        """Return the connection of a session that is ready; report one that is in clear although TLS is offered."""
        options = self._options
        security = describe(protocol.transport)
        if not security and (reason := brief(no_tls or protocol.client.starttls_refused)):
            security = unprotected(reason)
            if options.in_clear is not None:
                options.in_clear(route, reason)
        if route.proof is not None and options.unproven is not None:
            reason = _testing_problem(route, protocol, no_tls)
            if reason:
                options.unproven(route, reason)
        made = options_of(protocol.transport)
        proven = made is not None and made.verified and (route.proof is not None or route.tls is TlsRule.VERIFY)
        return SmtpConnection(protocol, route, security, options.in_flight, options.lost, tried=tried, proven=proven)


class _Attempt(ClientFactory):
    """One attempt to open a session on a route; the listener of its protocol until the session is ready."""

    noisy = False

    def __init__(
        self, options: ConnectorOptions, route: Route, login: Login | None, carriage: "Carriage | None", *, clear: bool
    ) -> None:
        implicit = route.implicit_tls
        helo = None if carriage is None else carriage.helo
        terms = _terms(helo or options.ehlo_name, route, login, clear=clear)
        if isinstance(login, PasswordLogin):
            terms = replace(terms, binding=_binding_of(ref(self)))
        client = ClientMachine(terms, secured=implicit, bdat=options.bdat)
        self.smtp_protocol = SmtpClientProtocol(
            options.reactor, client, options.timeouts, lambda: options.tls_options(route), implicit_tls=implicit
        )
        self._reactor = options.reactor
        self._route = route
        self._carriage = carriage
        self._source = source_of(route, carriage)
        #: Whether the attempt failed because this host does not have the address to connect from.
        self.source_missing = False
        self._timeout = options.timeouts.connect
        self._connector: IConnector
        self._result: Deferred[SessionFailure | None] | None = None

    def start(self) -> "Deferred[SessionFailure | None]":
        """Connect; the result is None if the session is ready for mail. Cancelling closes the connection."""
        result = self._result = Deferred(lambda _: self._cancel())
        route = self._route
        if route.address.startswith("/"):
            self._connector = self._reactor.connectUNIX(route.address, self, self._timeout)
        else:
            source = None if self._source is None else (self._source, 0)
            self._connector = self._reactor.connectTCP(route.address, route.port, self, self._timeout, source)
        return result

    def buildProtocol(self, addr: IAddress | None) -> SmtpClientProtocol:  # noqa: ARG002  Twisted's signature
        """Return the protocol of the connection."""
        self.smtp_protocol.listener = self
        return self.smtp_protocol

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:  # noqa: ARG002, N802
        """Let Twisted's connector go of the connection, which refers to it, so that all is freed now."""
        connector.transport = None
        connector.factory = _NO_FACTORY

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:  # noqa: N802
        """End the attempt, because no connection was made."""
        connector.factory = _NO_FACTORY
        missing = missing_source(reason.value, self._source, self._carriage)
        self.source_missing = missing is not None
        failed = SessionFailure(FailureKind.LOST, "4.4.1", connect_error_text(reason.value, self._timeout))
        self._finish(missing or failed)

    def session_event(self, event: ClientEvent) -> None:
        """End the attempt when the session is ready or has ended."""
        if event is ClientEvent.READY:
            self._finish(None)
        elif event is ClientEvent.CLOSED and self._result is not None:
            self.smtp_protocol.close()
            self._finish(self.smtp_protocol.client.ended)

    def connection_lost(self) -> None:
        """Do nothing, because the event CLOSED came before."""

    def _finish(self, failure: SessionFailure | None) -> None:
        if self._result is not None:
            result, self._result = self._result, None
            result.callback(failure)

    def _cancel(self) -> None:
        self._result = None
        if self.smtp_protocol.connected:
            self.smtp_protocol.abort()
        else:
            self._connector.stopConnecting()


# Takes the place of an attempt that has ended. Twisted tells it of the end too, and it does nothing.
_NO_FACTORY = ClientFactory()


def _is_opportunistic(route: Route) -> bool:
    """Whether mail may go in clear if TLS fails."""
    return route.tls is TlsRule.OPPORTUNISTIC and not route.implicit_tls and not route.tls_required


def _testing_problem(route: Route, protocol: SmtpClientProtocol, no_tls: str) -> str:
    """Return why a connection does not give a proof that is not enforced; "" if it does, or it is enforced."""
    if route.tls_required:
        return ""
    made = options_of(protocol.transport)
    if made is None:
        return brief(no_tls or protocol.client.starttls_refused or "STARTTLS is not offered")
    return "" if made.problem is None else made.problem.text


def _tell_result(
    tell: "Callable[[TlsSession], object]",
    domain: str,
    route: Route,
    protocol: SmtpClientProtocol,
    failure: SessionFailure | None,
) -> None:
    # Imported if needed, because few relays send TLS reports.
    from mta.delivery.remote.tls_session import result_of  # noqa: PLC0415

    result = result_of(domain, route, protocol, failure)
    if result is not None:
        tell(result)


def _binding_of(attempt: "ref[_Attempt]") -> Callable[[], ChannelBinding | None]:
    """Return the callable that gives the channel binding of an attempt.

    The reference is weak, because the protocol of the attempt owns the callable.
    """

    def binding() -> ChannelBinding | None:
        alive = attempt()
        return None if alive is None else channel_binding(alive.smtp_protocol.transport)

    return binding


def _terms(ehlo_name: str, route: Route, login: Login | None, *, clear: bool) -> Terms:
    """Return the terms of a session on a route. `clear` is true after an opportunistic TLS handshake has failed."""
    return Terms(
        ehlo_name,
        lmtp=route.lmtp,
        starttls=(route.tls is not TlsRule.NONE or route.tls_required) and not clear,
        tls_required=route.tls_required,
        login=login,
        # Only if the operator asked for it, because with credentials the default rule is VERIFY.
        login_in_clear=route.tls is TlsRule.OPPORTUNISTIC,
    )
