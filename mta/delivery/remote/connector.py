"""Opens connections to remote hosts, route after route, until one is ready for mail."""

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
    """What a carrier needs of a reactor."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a carrier is made of."""

    reactor: IConnectingReactor
    #: Our name in EHLO.
    hello: str
    #: Makes the options of a TLS handshake that does what the route's rule demands of the certificate.
    secure: Callable[[Route], IOpenSSLClientConnectionCreator]
    #: Asked before anything that the remote could keep is sent.
    mark: InFlightLog
    timeouts: Timeouts = field(default_factory=Timeouts)
    #: Whether BDAT is used where it is offered.
    bdat: bool = True
    #: Called with each connection that `open` gave, once it is down.
    closed: Callable[[Connection], None] | None = None
    #: Called with the reason when a connection is in clear although the host offers STARTTLS.
    in_clear: Callable[[Route, str], None] | None = None


class SmtpConnector:
    """The Carrier of mta.delivery.remote.interface over TCP and Unix sockets."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":
        """Try the routes in turn until one is ready for mail. Never fails for what a remote did."""
        return _Opening(self._parts, untried(plan, tried)).start()


class _Opening:
    """One run over a plan's routes; listens to the link that is under way."""

    def __init__(self, parts: Parts, routes: Sequence[Route]) -> None:
        self._parts = parts
        self._routes = list(reversed(routes))
        self._tried: list[str] = []
        self._route: Route
        self._result: Deferred[Connection | TryLater] = Deferred(lambda _: self._cancel())
        self._last = TryLater("there is no host to try", status="4.4.4")
        # The last refusal because of a limit: it tells more of the destination than a host that is not there.
        self._limit: TryLater | None = None
        self._connector: IConnector | None = None
        self._link: SmtpClientProtocol | None = None
        self._cancelled = False
        # Why the session under way is in clear although the host offers STARTTLS.
        self._no_tls = ""
        # The routes whose TLS failed, with the reason: they get the mail in clear if no other host takes it.
        self._without_tls: deque[tuple[Route, str]] = deque()

    def start(self) -> "Deferred[Connection | TryLater]":
        """Try the first route; return what comes of all of them."""
        self._next()
        return self._result

    def heard(self, event: ClientEvent) -> None:
        """Take an event of the session under way from its link."""
        if event is ClientEvent.READY and self._link is not None:
            link, self._link = self._link, None
            security = describe(link.transport) or self._in_clear(link)
            parts, tried = self._parts, frozenset(self._tried)
            self._result.callback(SmtpConnection(link, self._route, security, parts.mark, parts.closed, tried=tried))
        elif event is ClientEvent.CLOSED and self._link is not None:
            link, self._link = self._link, None
            link.close()
            self._failed(link)

    def gone(self) -> None:
        """Learn that the connection is down; CLOSED came before."""

    def unreachable(self, reason: Failure) -> None:
        """Learn that no connection was made."""
        self._link = None
        words = connect_words(reason.value, self._parts.timeouts.connect)
        self._give_up(SessionFailure(FailureKind.LOST, "4.4.1", words))

    def _in_clear(self, link: SmtpClientProtocol) -> str:
        """Return the protection of a session in clear: "", or the reason when the host offers STARTTLS."""
        reason = brief(self._no_tls or link.client.starttls_refused)
        if reason and self._parts.in_clear is not None:
            self._parts.in_clear(self._route, reason)
        return unprotected(reason) if reason else ""

    def _next(self) -> None:
        """Go on to the next route, then to those whose TLS failed, or tell what went wrong with the last."""
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
        parts, route = self._parts, self._route
        implicit = route.implicit_tls
        terms = _terms(parts.hello, route, clear=self._no_tls != "")
        client = ClientMachine(terms, secured=implicit, bdat=parts.bdat)
        link = SmtpClientProtocol(
            parts.reactor, client, parts.timeouts, lambda: parts.secure(route), implicit_tls=implicit
        )
        link.listener = self
        self._link = link
        factory = _ProtocolFactory(link, self)
        timeout = parts.timeouts.connect
        if route.address.startswith("/"):
            self._connector = parts.reactor.connectUNIX(route.address, factory, timeout)
        else:
            self._connector = parts.reactor.connectTCP(route.address, route.port, factory, timeout)

    def _failed(self, link: SmtpClientProtocol) -> None:
        trouble = link.client.ended
        assert trouble is not None
        opportunistic = self._route.tls is TlsRule.OPPORTUNISTIC and not self._route.implicit_tls
        if trouble.cause is FailureKind.TLS_FAILED and opportunistic and not self._no_tls:
            self._without_tls.append((self._route, trouble.text))
            self._next()
        else:
            self._give_up(trouble, link.fault)

    def _give_up(self, trouble: SessionFailure, fault: Fault | None = None) -> None:
        self._last = operator_hint(trouble, self._route, fault)
        if throttle_of(self._last) is not None:
            self._limit = self._last
        if trouble.cause is FailureKind.OURSELVES and self._route.preference is not None:
            # RFC 5321 section 5.1: what is no better than ourselves would send it back to us.
            self._routes.clear()
        self._next()

    def _cancel(self) -> None:
        """Close what is under way; the Deferred then fails with CancelledError."""
        self._cancelled = True
        if self._connector is not None:
            link, self._link = self._link, None
            if link is not None and link.connected:
                link.abort()
            else:
                self._connector.stopConnecting()


class _ProtocolFactory(ClientFactory):
    noisy = False

    def __init__(self, link: SmtpClientProtocol, opening: _Opening) -> None:
        self._link = link
        self._opening = opening

    def buildProtocol(self, addr: IAddress | None) -> SmtpClientProtocol:  # noqa: ARG002  Twisted's signature
        return self._link

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002, N802
        self._opening.unreachable(reason)


def _terms(hello: str, route: Route, *, clear: bool) -> Terms:
    """Return what we say and demand on a route; `clear` after a handshake failed that was not demanded."""
    login = route.credentials
    return Terms(
        hello,
        lmtp=route.lmtp,
        starttls=route.tls is not TlsRule.NONE and not clear,
        tls_required=route.tls in (TlsRule.REQUIRE, TlsRule.VERIFY),
        login=None if login is None else Login(login.user, login.password),
        # Never unless it was set: with credentials the default rule is VERIFY.
        login_in_clear=route.tls is TlsRule.OPPORTUNISTIC,
    )
