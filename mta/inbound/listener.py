"""All client connections of all ports: admits clients, checks deadlines, and ends the sessions at a stop."""

from collections.abc import Callable
from functools import partial
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IOpenSSLServerConnectionCreator, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from mta.event_log.log import EventLog
from mta.inbound.limits import SHUT_OUT, TOO_MANY_CONNECTIONS, ConnectionLimiter, InboundLimits
from mta.inbound.policy import Client
from mta.inbound.protocol import STOPPING, SmtpServerProtocol
from mta.inbound.rejection_log import RejectionLog
from mta.inbound.session import Session
from mta.inbound.sockets.accepting import RejectedClient
from mta.inbound.sockets.port_rule import RELAY_PORT, PortRule
from mta.inbound.sockets.proxied import PendingHeaders, ProxiedConnection
from mta.smtp.replies import Reply, reply
from mta.smtp.server.machine import ServerMachine

# Seconds between two checks of the deadlines of all sessions.
_CHECK_INTERVAL = 5.0
#: Seconds for messages that are being sent to come to their end when the relay stops.
GRACE = 4.0
#: Seconds for clients to read the last reply when the relay stops. GRACE and GOODBYE together are as long as the grace
#: of running deliveries.
GOODBYE = 3.0


class NewSession(TypingProtocol):
    """Makes the session of a client that was let in by the rule of a port."""

    def __call__(self, client: Client, rule: PortRule, reply_ready: Callable[[Reply], None]) -> Session:
        """Return a session that gives `reply_ready` each reply that was not known when its event was handled."""


class SmtpServerFactory(Factory):
    """Makes a protocol for each connection and keeps all of them; `for_port` returns the factory of one more port."""

    noisy = False
    #: The rule of connections that this factory itself accepts.
    rule = RELAY_PORT

    def __init__(
        self,
        new_machine: Callable[[Client, PortRule], ServerMachine],
        new_session: NewSession,
        trusted: Callable[[str], bool],
        event_log: EventLog,
        *,
        name: str,
        limits: InboundLimits,
        clock: IReactorTime,
        certificate: IOpenSSLServerConnectionCreator | None = None,
        is_balancer: Callable[[str], bool] | None = None,
        is_shut_out: Callable[[str], bool] | None = None,
    ) -> None:
        """`certificate` is used by TLS; if it is given, `new_machine` must offer STARTTLS.

        It must be given if a port has implicit TLS. `is_balancer`, if given, tells whether the connections of an
        address must begin with a PROXY header. `is_shut_out`, if given, tells whether an address has failed to log in
        so often that ports for logins reject it.
        """
        self.certificate = certificate
        self.new_machine = new_machine
        self.new_session = new_session
        self.event_log = event_log
        self.limits = limits
        self.clock = clock
        self.greeting = reply(220, "", f"{name} ESMTP smtprelay")
        self._trusted = trusted
        self._is_balancer = is_balancer
        self._is_shut_out = is_shut_out
        self._limiter = ConnectionLimiter(limits, is_balancer)
        self._rejections = RejectionLog(event_log, clock)
        self._headers = PendingHeaders(clock, self._no_header, limits.unfinished_headers)
        self._open: set[SmtpServerProtocol] = set()
        # The next check of all deadlines; when the relay stops, the next step of the stop.
        self._timer: IDelayedCall | None = None
        # The Deferred that `stop` returned, until the last connection is gone.
        self._stopped: Deferred[None] | None = None
        #: Connections that were let in, and those that were turned away at once.
        self.entered = self.turned_away = 0
        #: Whether sessions are to end as soon as they can.
        self.stopping = False

    def for_port(self, rule: PortRule) -> "PortFactory":
        """Return a factory for a port with this rule; all factories share the connections and limits of this one."""
        return PortFactory(self, rule)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the protocol for a client at this address."""
        return self.admit(addr, self.rule)

    def admit(self, addr: IAddress | None, rule: PortRule) -> Protocol:
        """Return the protocol for a client of a port; an IPv4 client on an IPv6 socket keeps its IPv4 address."""
        address = str(getattr(addr, "host", "")).removeprefix("::ffff:").partition("%")[0]
        if self._is_balancer is None or self.stopping or not self._is_balancer(address):
            return self._admit_client(rule, address)
        if self._headers.full:
            return self._reject(address, rule, TOO_MANY_CONNECTIONS)
        return ProxiedConnection(address, self._headers, partial(self._admit_client, rule))

    def _admit_client(self, rule: PortRule, address: str) -> Protocol:
        client = Client(address, self._trusted(address))
        refusal = STOPPING if self.stopping else self._limiter.refusal(client)
        if refusal is None and rule.login_required and self._must_stay_out(client):
            refusal = SHUT_OUT
        return self.serve(client, rule) if refusal is None else self._reject(address, rule, refusal)

    def _must_stay_out(self, client: Client) -> bool:
        """Whether a client has failed to log in too often; a load balancer, whose checks must succeed, never has."""
        if self._is_shut_out is None or self._limiter.is_balancers(client):
            return False
        return self._is_shut_out(client.address)

    def _reject(self, address: str, rule: PortRule, refusal: Reply) -> RejectedClient:
        self.turned_away += 1
        self._rejections.turned_away(address, refusal)
        return RejectedClient(rule.refusal(refusal))

    def _no_header(self, balancer: str, reason: str) -> None:
        """Log that a connection of a load balancer was closed, but not again before the minute is over."""
        words = (
            f"a connection from {balancer}, which PROXY_NETWORKS names, was closed: {reason} (docs/load-balancer.md)"
        )
        self._rejections.trouble(words, self.event_log.trouble, kind="PROXY header")

    def serve(self, client: Client, rule: PortRule) -> Protocol:
        """Return the protocol for a client that is let in."""
        return SmtpServerProtocol(client, rule, self)

    def no_room(self, address: str, refusal: Reply, trouble: str) -> None:
        """Log that the system has no room for more clients, and the remedy."""
        words = f"{trouble}: clients are turned away; allow the relay more open files (docs/troubleshooting.md)"
        self._rejections.trouble(words, self.event_log.trouble)
        if address:
            self.turned_away += 1
            self._rejections.turned_away(address, refusal)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    def enter(self, protocol: SmtpServerProtocol) -> None:
        """Count a connection that was made."""
        self.entered += 1
        self._limiter.enter(protocol.client)
        self._open.add(protocol)
        if self._timer is None:
            self._timer = self.clock.callLater(_CHECK_INTERVAL, self._check_deadlines)

    def leave(self, protocol: SmtpServerProtocol) -> None:
        """Forget a connection that was lost."""
        self._limiter.leave(protocol.client)
        self._open.discard(protocol)
        if self._stopped is not None and not self._open:
            self._finish_stop()

    def stop(self) -> "Deferred[None]":
        """End all sessions, those that are sending a message after a grace; fire when all connections are gone.

        That takes at most GRACE and GOODBYE. Clients that connect meanwhile are told to try later.
        """
        self.stopping = True
        self._headers.abort()
        self._stopped = stopped = Deferred[None]()
        for protocol in list(self._open):
            protocol.wind_up()
        if self._timer is not None:
            self._timer.cancel()
        in_body = any(protocol.session is not None and protocol.session.in_body for protocol in self._open)
        self._timer = self.clock.callLater(GRACE if in_body else 0.0, self._end_grace)
        if not self._open:
            self._finish_stop()
        return stopped

    def stopFactory(self) -> None:  # noqa: N802  Twisted names it
        """Log the rejections that are not yet in the log, because the last port is closed."""
        self._rejections.close()

    def _finish_stop(self) -> None:
        stopped, self._stopped = self._stopped, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if stopped is not None:
            stopped.callback(None)

    def _end_grace(self) -> None:
        self._timer = self.clock.callLater(GOODBYE, self._abort)
        for protocol in list(self._open):
            protocol.end(STOPPING, "the relay is stopping")

    def _abort(self) -> None:
        self._timer = None
        for protocol in list(self._open):
            protocol.transport.abortConnection()

    def _check_deadlines(self) -> None:
        now = self.clock.seconds()
        for protocol in list(self._open):
            protocol.check_deadlines(now)
        self._timer = self.clock.callLater(_CHECK_INTERVAL, self._check_deadlines) if self._open else None


class PortFactory(Factory):
    """The factory of one port: admits clients by the rule of the port."""

    noisy = False

    def __init__(self, listener: SmtpServerFactory, rule: PortRule) -> None:
        self.rule = rule
        self._listener = listener

    def doStart(self) -> None:  # noqa: N802  Twisted names it
        """Count the port as open."""
        self._listener.doStart()

    def doStop(self) -> None:  # noqa: N802  Twisted names it
        """Count the port as closed."""
        self._listener.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the protocol for a client at this address."""
        return self._listener.admit(addr, self.rule)

    def no_room(self, address: str, refusal: Reply, trouble: str) -> None:
        """Log that the system has no room for more clients."""
        self._listener.no_room(address, refusal, trouble)
