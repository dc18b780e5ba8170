"""Logins: the mechanisms that a client is offered, the exchange, the check, the limits on failures, and the log.

Every wrong login gets the same reply, whether the user exists or not. The answers to an address with many failures are
late, but no user is ever locked.
"""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.coroutines import start
from mta.event_log.log import EventLog
from mta.inbound.limits import SHUT_OUT
from mta.inbound.policy import Client
from mta.inbound.sockets.port_rule import PortRule
from mta.smtp.limits import Leniency
from mta.smtp.replies import Reply, reply
from mta.smtp.sasl import scram, server
from mta.smtp.sasl.logins import ChannelBinding
from mta.smtp.sasl.scram import ScramSecret
from mta.smtp.sasl.server import (
    Challenge,
    ExchangeFailed,
    ExchangeFailure,
    LoggedIn,
    PasswordGiven,
    ServerExchange,
    Step,
)
from mta.smtp.server.auth import NO_LOGINS, LoginTerms
from mta.smtp.server.events import AuthBegin, AuthResponse
from mta.users.failure_limits import FailureLimits
from mta.users.password_check import CheckQueueFull
from mta.users.secrets import CheckUnavailable
from mta.users.users_file import User

SUCCEEDED = reply(235, "2.7.0", "you are logged in")
WRONG = reply(535, "5.7.8", "user or password is wrong")
MALFORMED = reply(501, "5.5.2", "the response does not follow the mechanism")
TOO_MANY_FAILURES = reply(421, "4.7.0", "too many failed logins")
BUSY = reply(454, "4.7.0", "too many logins at once, please try again later")
BROKEN = reply(454, "4.7.0", "logins cannot be checked now, please try again later")

#: Failed logins after which a session ends.
MAX_FAILURES = 3

_PASSWORD_MECHANISMS = (server.PLAIN, server.LOGIN)
_NONCE_OCTETS = 18
_log = Logger()


class KnownUsers(Protocol):
    """The users that may log in; `mta.users.users` has the implementation."""

    @property
    def scram_only(self) -> bool:
        """Whether every user has a SCRAM secret."""

    def find(self, name: str) -> User | None:
        """Return the user with a name, or None."""

    def scram_secret(self, name: str) -> ScramSecret:
        """Return the secret of a user; that of an unknown user is made up, but the same each time."""


class Passwords(Protocol):
    """Checks passwords in threads; `mta.users.password_check` has the implementation."""

    def check(self, name: str, password: str) -> "Deferred[User | None]":
        """Fire with the user, or with None for a wrong name or password; fail with CheckQueueFull."""


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """The clients that may log in: on the port for all clients, and without TLS those of trusted networks."""

    on_relay_port: bool
    in_clear: bool


class Logins:
    """The logins of all clients."""

    def __init__(
        self,
        users: KnownUsers,
        passwords: Passwords,
        limits: FailureLimits,
        policy: LoginPolicy,
        *,
        event_log: EventLog,
        clock: IReactorTime,
    ) -> None:
        self.users = users
        self.passwords = passwords
        self.limits = limits
        self.event_log = event_log
        self.clock = clock
        self._policy = policy
        self._hinted = False

    def offered_on(self, rule: PortRule) -> bool:
        """Return whether clients of a port may log in."""
        return rule.login_required or self._policy.on_relay_port

    def terms(self, client: Client, rule: PortRule, leniency: Leniency) -> LoginTerms:
        """Return the terms on which a client of a port may log in; `leniency` is that after the login."""
        if not self.offered_on(rule):
            return NO_LOGINS
        in_tls = self.mechanisms(None)
        in_clear = in_tls if self._policy.in_clear and client.trusted else ()
        return LoginTerms(in_clear, in_tls, rule.login_required, leniency)

    def mechanisms(self, binding: ChannelBinding | None) -> tuple[str, ...]:
        """Return the mechanisms to offer on a connection with this channel binding."""
        if not self.users.scram_only:
            return _PASSWORD_MECHANISMS
        plus = () if binding is None else (scram.PLUS_NAME,)
        return (*_PASSWORD_MECHANISMS, scram.NAME, *plus)

    def is_shut_out(self, address: str) -> bool:
        """Return whether an address has failed so often that it must not log in for an hour."""
        return self.limits.shut_out(address, self.clock.seconds())

    def of_session(
        self, client: Client, *, reply_ready: Callable[[Reply], object], logged_in: "Callable[[User], object]"
    ) -> "SessionLogin":
        """Return the logins of one session; `SessionLogin` has the meaning of the callables."""
        return SessionLogin(self, client, reply_ready=reply_ready, logged_in=logged_in)

    def refused_in_clear(self, client: Client) -> None:
        """Log once that a client tried to log in without TLS, and the remedy."""
        if not (self._hinted or self._policy.in_clear):
            self._hinted = True
            self.event_log.notice(
                f"{client.address} tried to log in without TLS and was refused: turn on STARTTLS at the client; "
                "if it has no TLS, AUTH_IN_CLEAR=trusted lets clients of your own networks log in without"
            )


class SessionLogin:
    """The logins of one session.

    `reply_ready` gets each reply that was not known when its event was handled; `logged_in` gets the user before the
    positive reply.
    """

    def __init__(
        self,
        logins: Logins,
        client: Client,
        *,
        reply_ready: Callable[[Reply], object],
        logged_in: Callable[[User], object],
    ) -> None:
        self._logins = logins
        self._client = client
        self._reply_ready = reply_ready
        self._logged_in = logged_in
        self._tls = ""
        self._binding: ChannelBinding | None = None
        self._mechanism = ""
        self._exchange: ServerExchange
        self._failures = 0
        self._delay: IDelayedCall | None = None
        self._ended = False

    def tls_started(self, tls: str, binding: ChannelBinding | None) -> tuple[str, ...]:
        """Note the protocol and cipher of TLS and its channel binding; return the mechanisms to offer."""
        self._tls, self._binding = tls, binding
        return self._logins.mechanisms(binding)

    def begin(self, event: AuthBegin) -> Reply | None:
        """Return the reply to AUTH, or None if it comes later."""
        if self._logins.is_shut_out(self._client.address):
            return SHUT_OUT
        self._mechanism = event.mechanism
        self._exchange = server.start(
            event.mechanism,
            secret_of=self._logins.users.scram_secret,
            binding=self._binding,
            nonce=secrets.token_urlsafe(_NONCE_OCTETS),
        )
        return self._take(self._exchange.respond(event.initial))

    def respond(self, event: AuthResponse) -> Reply | None:
        """Return the reply to a response, or None if it comes later."""
        return self._take(self._exchange.respond(event.data))

    def refused_in_clear(self) -> None:
        """Note that AUTH was refused because there is no TLS."""
        self._logins.refused_in_clear(self._client)

    def end(self) -> None:
        """End a login that is under way, because the session has ended."""
        self._ended = True
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None

    def _take(self, step: Step) -> Reply | None:
        if isinstance(step, Challenge):
            return reply(334, "", base64.b64encode(step.data).decode())
        start(self._decide(step), self._decided)
        return None

    async def _decide(self, step: PasswordGiven | LoggedIn | ExchangeFailed) -> None:
        """Answer the end of an exchange, late if the address has failed often.

        A failure counts and is logged at once, because a client may be gone before the answer.
        """
        logins, address, now = self._logins, self._client.address, self._logins.clock.seconds
        known = logins.users.find(step.user)
        user = known if isinstance(step, LoggedIn) else None
        if isinstance(step, PasswordGiven):
            user = await logins.passwords.check(step.user, step.password)
        verdict = SUCCEEDED if user is not None else self._failed(step, known)
        delay = logins.limits.delay(address, step.user if known is None else known.name, now())
        if delay and not self._ended:
            await self._wait(delay)
        if user is not None:
            self._succeeded(user)
        self._answer(verdict)

    def _failed(self, step: PasswordGiven | LoggedIn | ExchangeFailed, known: User | None) -> Reply:
        """Count a failure and return the reply to it."""
        self._logins.limits.failed(self._client.address, self._logins.clock.seconds())
        self._failures += 1
        verdict = WRONG
        if self._failures >= MAX_FAILURES:
            verdict = TOO_MANY_FAILURES
        elif isinstance(step, ExchangeFailed) and step.kind is ExchangeFailure.MALFORMED:
            verdict = MALFORMED
        self._log_failure(known, verdict)
        return verdict

    def _decided(self, failure: Failure | None) -> None:
        if failure is None:
            return
        verdict = BUSY if failure.check(CheckQueueFull) else BROKEN
        self._log_failure(None, verdict)
        if not failure.check(CheckUnavailable):
            _log.failure("a login could not be checked", failure)
        elif verdict is BROKEN:
            self._logins.event_log.trouble(f"a login could not be checked: {failure.getErrorMessage()}")
        self._answer(verdict)

    def _wait(self, seconds: float) -> "Deferred[None]":
        waited: Deferred[None] = Deferred()
        self._delay = self._logins.clock.callLater(seconds, self._waited, waited)
        return waited

    def _waited(self, waited: "Deferred[None]") -> None:
        self._delay = None
        waited.callback(None)

    def _succeeded(self, user: User) -> None:
        logins, address = self._logins, self._client.address
        logins.limits.succeeded(address, user.name, logins.clock.seconds())
        logins.event_log.login(address, user.name, self._mechanism, self._tls)
        if not self._ended:
            self._logged_in(user)

    def _log_failure(self, known: User | None, verdict: Reply) -> None:
        name = "" if known is None else known.name
        self._logins.event_log.login_failed(self._client.address, name, self._mechanism, self._tls, verdict)

    def _answer(self, verdict: Reply) -> None:
        if not self._ended:
            self._reply_ready(verdict)
