"""The source of access tokens for all routes of a relay: fetches, keeps, renews and discards them.

One request runs at a time, for all routes and, by the lock of the token file, for all workers. A refresh token that
the provider replaces is on disk before the access token that came with it is used.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from os import close
from typing import Any
from urllib.parse import urlencode

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.https.interface import HttpsError, HttpsRequester
from mta.message.outcome import ErrorKind, TryLater
from mta.oauth.advice import advice, unreachable
from mta.oauth.answers import (
    MAX_ANSWER,
    AccessToken,
    TokenAnswer,
    TokenRefused,
    read_answer,
)
from mta.oauth.grants import Grant, RefreshToken, secrets_of
from mta.oauth.token_file import Refusal, SavedTokens, TokenFile
from mta.routing.route import Route, TokenCredentials
from mta.smtp.sasl.logins import Login, TokenLogin

#: Seconds before the endpoint is asked again after a refusal, which only an operator can end.
REFUSAL_SECONDS = 600.0
#: The bounds of the seconds before it is asked again after another failure; the wait doubles with each.
FIRST_WAIT, LONGEST_WAIT = 10.0, 300.0
#: Seconds for which a token must be valid to be used while a new one is fetched: a host of Microsoft demands them.
LASTING = 600.0
#: Seconds that a stop waits for a request that is running.
STOP_PATIENCE = 5.0
#: Seconds in which only one token is discarded because a host refused it.
REJECTION_SECONDS = 60.0
#: Seconds after a request before an operator's retry causes the next one.
RETRY_SECONDS = 60.0

# Seconds between two attempts to take the lock, and the seconds after which a worker gives up.
_LOCK_INTERVAL, _LOCK_PATIENCE = 0.1, 60.0
# The seconds within which the workers of a relay start, so that the refusal of one counts for the others.
_STARTING = 5.0
_STATUS = "4.7.0"
_NO_TOKEN = "no token for the smarthost's login"  # noqa: S105  not a secret
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}

_log = Logger()


@dataclass(frozen=True, slots=True)
class SourceParts:
    """The dependencies of a TokenSource."""

    https: HttpsRequester
    file: TokenFile
    in_thread: RunBlocking
    clock: IReactorTime
    #: Returns seconds since 1970.
    wall_clock: Callable[[], float]
    #: Takes a line for the operator.
    trouble: Callable[[str], object]


class TokenSource(Service):
    """The LoginSource of mta.delivery.remote.logins for the routes whose credentials are TokenCredentials.

    As a service, it waits at the stop for the answer to its request.
    """

    def __init__(self, grant: Grant, parts: SourceParts) -> None:
        self._grant = grant
        self._parts = parts
        # Refusals that were saved before this time do not count.
        self._started = parts.wall_clock()
        self._current: AccessToken | None = None
        self._waiting: list[Deferred[AccessToken | TryLater]] | None = None
        self._failure = TryLater("no token has been asked for", status=_STATUS, kind=ErrorKind.LOGIN)
        self._next_try = self._wait = 0.0
        self._asked = float("-inf")
        # The last token that a host refused, and the monotonic time from which another may be discarded.
        self._rejected = ""
        self._next_rejection = 0.0
        # Content that could not be written, which is newer than the file.
        self._unsaved: SavedTokens | None = None

    @property
    def expires(self) -> float | None:
        """When the current token expires, wall-clock seconds; None without one."""
        return None if self._current is None else self._current.expires

    async def login(self, route: Route) -> TokenLogin | TryLater:
        """Return the login for a route with the current token, fetched if needed, or the reason why there is none.

        Callers that come while a token is fetched wait for it, unless the old one is valid for long enough. This does
        not fail for anything an endpoint does.
        """
        token: AccessToken | TryLater | None = self._fresh()
        if token is None:
            fetching = self._fetched()
            token = self._fresh() or self._valid(LASTING) or await fetching
        if isinstance(token, TryLater):
            return token
        assert isinstance(route.credentials, TokenCredentials)
        return TokenLogin(route.credentials.user, token.token)

    def rejected(self, route: Route, login: Login) -> bool:  # noqa: ARG002  one token serves all routes
        """Discard a token that a host refused; return whether one more try with a new one is worth it.

        At most one token a minute is discarded, so that a host that refuses each causes no flood of requests.
        """
        if not isinstance(login, TokenLogin):
            return False
        if self._current is None or self._current.token != login.token:
            return True
        now = self._parts.clock.seconds()
        if now < self._next_rejection:
            return False
        self._next_rejection = now + REJECTION_SECONDS
        self._rejected = login.token
        self._current = None
        return True

    def retry(self) -> None:
        """Forget the last failure, because an operator may have removed its cause; wait a minute since the request."""
        self._next_try = min(self._next_try, self._asked + RETRY_SECONDS)
        self._started = self._parts.wall_clock()

    def stopService(self) -> "Deferred[object]":
        """Wait a few seconds for a request that is running, because its answer may replace the refresh token."""
        super().stopService()
        done: Deferred[object] = Deferred()
        if self._waiting is None:
            done.callback(None)
            return done
        running: Deferred[Any] = Deferred()
        running.addBoth(_fire, done)
        self._waiting.append(running)
        return done.addTimeout(STOP_PATIENCE, self._parts.clock, onTimeoutCancel=_give_up)

    def _fresh(self) -> AccessToken | None:
        """Return the token that need not be renewed yet."""
        token = self._current
        return token if token is not None and self._parts.wall_clock() < token.renewal else None

    def _valid(self, seconds: float = 0.0) -> AccessToken | None:
        """Return a token that is to be renewed but can be used for more than these seconds."""
        token = self._current
        return token if token is not None and self._parts.wall_clock() < token.expires - seconds else None

    def _fetched(self) -> "Deferred[AccessToken | TryLater]":
        """Return the result of the fetch that runs; start one if none does and the last failure is long enough ago."""
        result: Deferred[AccessToken | TryLater] = Deferred()
        if self._waiting is not None:
            self._waiting.append(result)
        elif self._parts.clock.seconds() < self._next_try:
            result.callback(self._valid() or self._failure)
        else:
            self._waiting = [result]
            Deferred.fromCoroutine(self._fetch()).addBoth(self._finish)
        return result

    def _finish(self, result: AccessToken | TryLater | Failure) -> None:
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            # A caller may have been cancelled.
            if not each.called:
                each.callback(result)

    async def _fetch(self) -> AccessToken | TryLater:
        """Return a token from the file or the endpoint, or a failure, which counts for some time."""
        try:
            lock = await self._lock()
        except OSError as error:
            return self._failed(f"{_of_file(error)}; mail stays queued")
        if lock is None:
            return self._failed(f"another worker has got no answer within {_LOCK_PATIENCE:g} s; mail stays queued")
        try:
            return await self._fetch_alone()
        except OSError as error:
            return self._failed(f"{_of_file(error)}; mail stays queued")
        except Exception:  # noqa: BLE001  a bug here must not cause a request for each message
            _log.failure("the token was not fetched")
            return self._failed("an error of the relay, which the log shows; mail stays queued")
        finally:
            close(lock)

    async def _lock(self) -> int | None:
        parts = self._parts
        end = parts.clock.seconds() + _LOCK_PATIENCE
        while (lock := await parts.in_thread(parts.file.try_lock)) is None and parts.clock.seconds() < end:
            await deferLater(parts.clock, _LOCK_INTERVAL)
        return lock

    async def _fetch_alone(self) -> AccessToken | TryLater:
        """Use the content of the file if it counts, otherwise ask the endpoint. Raises OSError."""
        grant = self._grant
        saved = self._unsaved or await self._parts.in_thread(self._parts.file.read)
        if saved is None or saved.lineage != grant.lineage:
            saved = SavedTokens(grant.digest, grant.lineage)
        elif saved.digest != grant.digest:
            saved = SavedTokens(grant.digest, grant.lineage, saved.refresh_token)
        return self._found(saved) or await self._ask(saved)

    def _found(self, saved: SavedTokens) -> AccessToken | TryLater | None:
        """Return the token, or the refusal of this run, that another worker has saved, if it still counts."""
        now = self._parts.wall_clock()
        access, refusal = saved.access, saved.refusal
        if access is not None and access.token != self._rejected and now < access.renewal:
            return self._succeeded(access)
        if refusal is not None and self._started - _STARTING <= refusal.at <= now < refusal.until:
            return self._refused(refusal.text, refusal.until - now)
        return None

    async def _ask(self, saved: SavedTokens) -> AccessToken | TryLater:
        """Ask the endpoint, and save its answer before it is used."""
        grant: Grant = self._grant
        if isinstance(grant, RefreshToken) and saved.refresh_token:
            grant = grant.rotated(saved.refresh_token)
        try:
            answer = await self._post(grant)
        except HttpsError as error:
            return self._failed(f"{error}; mail stays queued. {unreachable(grant)}")
        match answer:
            case AccessToken():
                access = replace(answer, refresh_token="")
                latest = answer.refresh_token or saved.refresh_token
                await self._save(replace(saved, refresh_token=latest, access=access, refusal=None))
                return self._succeeded(access)
            case TokenRefused():
                text = f"{answer.words}; mail stays queued. {advice(answer, grant)}"
                self._parts.trouble(f"{_NO_TOKEN}: {text}")
                now = self._parts.wall_clock()
                await self._save(replace(saved, refusal=Refusal(text, now, now + REFUSAL_SECONDS)))
                return self._refused(text, REFUSAL_SECONDS)
        return self._failed(f"{answer.words}; mail stays queued", answer.wait)

    async def _post(self, grant: Grant) -> TokenAnswer:
        """Return the answer of the endpoint. Raises HttpsError."""
        form = grant.form(self._parts.wall_clock())
        body = urlencode(form).encode("ascii")
        self._asked = self._parts.clock.seconds()
        answer = await self._parts.https.request("POST", grant.url, _HEADERS, body, limit=MAX_ANSWER)
        return read_answer(answer, self._parts.wall_clock(), secrets_of(form))

    async def _save(self, saved: SavedTokens) -> None:
        """Write to the file. If that fails, mail flows all the same, and the content is written with the next one."""
        try:
            await self._parts.in_thread(lambda: self._parts.file.write(saved))
        except OSError as error:
            self._unsaved = saved
            if saved.refresh_token:
                self._parts.trouble(
                    f"{_of_file(error)}: if the relay ends before it can write there, the provider's latest refresh"
                    f" token is lost"
                )
        else:
            self._unsaved = None

    def _succeeded(self, token: AccessToken) -> AccessToken:
        self._current = token
        self._next_try = self._wait = 0.0
        return token

    def _refused(self, text: str, wait: float) -> AccessToken | TryLater:
        """Keep a refusal for `wait` seconds; return the last token as long as it is valid, otherwise the refusal."""
        self._failure = TryLater(f"{_NO_TOKEN}: {text}", status=_STATUS, kind=ErrorKind.LOGIN)
        self._next_try = self._parts.clock.seconds() + wait
        return self._valid() or self._failure

    def _failed(self, text: str, wait: float = 0.0) -> AccessToken | TryLater:
        """Keep a failure for a time that grows with each, and is at least `wait` seconds."""
        self._wait = min(2 * self._wait, LONGEST_WAIT) or FIRST_WAIT
        return self._refused(text, max(self._wait, wait))


def _of_file(error: OSError) -> str:
    return f"the file of tokens in QUEUE_DIR cannot be used ({error.strerror})"


def _fire(_: object, done: "Deferred[object]") -> None:
    if not done.called:
        done.callback(None)


def _give_up(_: object, __: float) -> None:
    """End the wait for a request without an error."""
