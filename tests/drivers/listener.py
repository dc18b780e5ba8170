"""A listener with everything behind it real but the queue, which is in memory, and the delivery, which is a list."""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from mta.blocking import run_inline
from mta.event_log.log import EventLog
from mta.inbound.intake import Intake
from mta.inbound.limits import InboundLimits
from mta.inbound.listener import PortFactory, SmtpServerFactory
from mta.inbound.login import LoginPolicy, Logins
from mta.inbound.policy import Client, RelayPolicy
from mta.inbound.protocol import SmtpServerProtocol
from mta.inbound.session import CheckDomain, Policy, Session
from mta.inbound.sockets.port_rule import RELAY_PORT, PortRule
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, NewMail
from mta.queue.memory import MemoryQueue
from mta.rate_counts import RateCounts
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.facts import HostAddresses, not_looked_up
from mta.smtp.domains import DomainList
from mta.smtp.limits import STRICT, Leniency, SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server.auth import NO_LOGINS
from mta.smtp.server.canned_replies import RECIPIENT_OK
from mta.smtp.server.machine import ServerMachine
from mta.users.failure_limits import FailureLimits
from mta.users.password_check import PasswordCheck
from mta.users.users import Users

NAME = "mx.example.test"
FRIEND = "127.0.0.1"
STRANGER = "203.0.113.9"
#: Users may log in to the port for all clients, inside TLS.
INSIDE_TLS = LoginPolicy(on_relay_port=True, in_clear=False)


def _is_here(domain: str) -> bool:
    return not domain or domain == "here.test"


class Delivery:
    """Takes every message and leaves it."""

    def __init__(self) -> None:
        self.taken: list[Claim] = []
        self.woken = 0
        self.roomy = True

    def lease(self, size: int) -> float | None:
        return 3600.0 if self.roomy else None

    def take(self, claim: Claim) -> None:
        self.taken.append(claim)

    def wake(self) -> None:
        self.woken += 1


class SlowQueue(MemoryQueue):
    """Tells that a message is stored only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs: list[Deferred[None]] = []

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        stored = super().add(mail, now, lease, due)
        self.syncs.append(Deferred())
        return self.syncs[-1].addCallback(lambda _: stored)


class Listening:
    """A listening side with its parts. Mail for `relay.test` is taken from strangers; `here.test` is local.

    With `users`, the text of a users' file, they may log in; their passwords are checked at once. `rules` are the
    operator's.
    """

    def __init__(
        self,
        limits: InboundLimits | SmtpLimits | None = None,
        queue: MemoryQueue | None = None,
        *,
        starttls: bool = False,
        leniency: Leniency = STRICT,
        users: str = "",
        logins: LoginPolicy = INSIDE_TLS,
        rules: RuleBook | None = None,
    ) -> None:
        self.leniency = leniency
        #: Whether a client may send anywhere by its address.
        self.is_trusted: Callable[[str], bool] = FRIEND.__eq__
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.lines: list[str] = []
        self.limits = limits if isinstance(limits, InboundLimits) else InboundLimits()
        self.smtp_limits = limits if isinstance(limits, SmtpLimits) else SmtpLimits()
        self.queue = queue or MemoryQueue()
        self.delivery = Delivery()
        self.starttls = starttls
        #: The load balancers, whose connections begin with a PROXY header.
        self.balancers = frozenset[str]()
        #: The rule of connections for which a test names no other.
        self.rule = RELAY_PORT
        self.protocol: Callable[[Client, PortRule, SmtpServerFactory], SmtpServerProtocol] = SmtpServerProtocol
        self.check_domain: CheckDomain = lambda _domain, done, choice=None: done(RECIPIENT_OK)
        self.policy: Policy = RelayPolicy(DomainList(("relay.test",)), _is_here, lambda address: address.local == "bob")
        #: The rules of the operator; a test may replace the book.
        self.rules = CurrentRules(rules)
        self.host_addresses: HostAddresses = not_looked_up
        self.rate_counts = RateCounts(self.clock.seconds)
        self.event_log = EventLog(self.lines.append, self.clock.seconds)
        self.intake = Intake(
            self.queue,
            self.delivery,
            self.event_log,
            ids=IdSource(tag=1),
            wall_clock=self.clock.seconds,
            name=NAME,
            limits=self.limits,
            was_delivered_here=lambda addresses, marks: any(str(address).encode() in marks for address in addresses),
        )
        self.logins = self._logins(users, logins) if users else None
        self.factory = Factory(self)

    def _logins(self, text: str, policy: LoginPolicy) -> Logins:
        users = Users(text=text, mailname=NAME, notice=self.lines.append)
        passwords = PasswordCheck(users, run_inline, self.clock.seconds)
        failures = FailureLimits(FRIEND.__eq__)
        return Logins(users, passwords, failures, policy, event_log=self.event_log, clock=self.clock)

    def machine(self, client: Client, rule: PortRule) -> ServerMachine:
        return ServerMachine(
            self.smtp_limits,
            NAME,
            starttls=self.starttls,
            tls=rule.implicit_tls,
            dsn=client.trusted,
            leniency=self.leniency if client.trusted else STRICT,
            logins=NO_LOGINS if self.logins is None else self.logins.terms(client, rule, self.leniency),
        )

    def session(self, client: Client, rule: PortRule, reply_ready: Callable[[Reply], None]) -> Session:
        return Session(
            client,
            self.policy,
            self.intake,
            check_domain=self.check_domain,
            rules=self.rules,
            host_addresses=self.host_addresses,
            rate_counts=self.rate_counts,
            event_log=self.event_log,
            reply_ready=reply_ready,
            logins=self.logins if self.logins is not None and self.logins.offered_on(rule) else None,
        )

    def connect(self, address: str = FRIEND, rule: PortRule | None = None) -> "Wire":
        return Wire(self.factory.for_port(rule or self.rule), address)


class Factory(SmtpServerFactory):
    """Makes the protocol that the test asks for."""

    def __init__(self, parts: Listening) -> None:
        certificate: Any = object() if parts.starttls else None
        super().__init__(
            parts.machine,
            parts.session,
            lambda address: parts.is_trusted(address),  # noqa: PLW0108  it is replaced later
            parts.event_log,
            name=NAME,
            limits=parts.limits,
            clock=parts.clock,
            certificate=certificate,
            is_balancer=lambda address: address in parts.balancers,
            is_shut_out=None if parts.logins is None else parts.logins.is_shut_out,
        )
        self._parts = parts

    def serve(self, client: Client, rule: PortRule) -> SmtpServerProtocol:
        return self._parts.protocol(client, rule, self)


class Transport(StringTransport):
    """StringTransport with the rest of ITCPTransport."""

    half_closed = False
    aborted = False
    tls_options: object = None
    protocol: Any

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def startTLS(self, options: object) -> None:
        self.tls_options = options

    def getHandle(self) -> None:
        return None

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def loseWriteConnection(self) -> None:
        self.half_closed = True


class Wire:
    """One client's end of a connection in memory."""

    def __init__(self, factory: PortFactory, address: str) -> None:
        self.transport = Transport()
        self.transport.protocol = factory.buildProtocol(IPv4Address("TCP", address, 40000))
        self.protocol.makeConnection(self.transport)

    @property
    def protocol(self) -> Any:
        """The server's protocol; another one takes over from one that read a PROXY header."""
        return self.transport.protocol

    def say(self, *lines: str) -> str:
        """Send lines in one segment and return the reply octets since the last call."""
        self.protocol.dataReceived("".join(f"{line}\r\n" for line in lines).encode())
        return self.heard()

    def heard(self) -> str:
        said = self.transport.value().decode()
        self.transport.clear()
        return said

    @property
    def open(self) -> bool:
        """Whether the server still talks to this client."""
        return not (self.transport.disconnecting or self.transport.disconnected or self.transport.half_closed)
