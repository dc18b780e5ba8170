"""Checks the passwords of users in threads, a few at a time, and remembers for some minutes which ones were right.

Many applications log in for each message, and the check of a good secret costs a tenth of a second or more.
"""

import hashlib
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from mta.blocking import RunBlocking
from mta.users.secrets import CheckUnavailable, PasswordSecret, stored_octets, verify
from mta.users.users import Users
from mta.users.users_file import User

T = TypeVar("T")

#: Checks that run at the same time, and checks that wait.
THREADS = 2
MAX_WAITING = 100
#: Seconds for which a right password is remembered, and how many are.
MEMORY_SECONDS = 600.0
MAX_REMEMBERED = 10_000


class CheckQueueFull(CheckUnavailable):
    """Too many checks wait already."""


class CheckThreads(Service):
    """The threads of the checks, which start with the first check and end with the service."""

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, THREADS, "passwords")
        self._pool.start()

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        """Run work in a thread; the Deferred fires in the reactor's thread."""
        return deferToThreadPool(self._reactor, self._pool, work)

    def stopService(self) -> None:
        """Wait for the work that runs, and end the threads."""
        super().stopService()
        self._pool.stop()


@dataclass(slots=True, eq=False)
class _Check:
    """One check, with the Deferreds that wait for its result. `user` is None for an unknown name."""

    digest: bytes = field(repr=False)
    user: User | None
    secret: PasswordSecret
    password: str = field(repr=False)
    waiting: "list[Deferred[User | None]]"


class PasswordCheck:
    """Checks passwords against the secrets of the current users."""

    def __init__(self, users: Users, run: RunBlocking, seconds: Callable[[], float]) -> None:
        """`run` runs a check in one of THREADS threads, and `seconds` is a monotonic clock."""
        self._users = users
        self._run = run
        self._seconds = seconds
        self._key = os.urandom(32)
        # The ends of the memory by digest, in the order of the checks.
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._queue: deque[_Check] = deque()
        # The checks that wait or run, by digest, so that equal ones share their result.
        self._pending: dict[bytes, _Check] = {}
        self._running = 0

    def check(self, name: str, password: str) -> "Deferred[User | None]":
        """Return the user of a name if the password is right, otherwise None.

        An unknown name takes as long as a known one. Errbacks with CheckQueueFull if too many checks wait, and with
        another CheckUnavailable if the check failed. Cancelling the Deferred gives up a check that has not begun.
        """
        user = self._users.find(name)
        secret = self._users.stand_in(name) if user is None else user.secret
        digest = self._digest(name, secret, password)
        if user is not None and self._is_remembered(digest):
            return succeed(user)
        check = self._pending.get(digest)
        if check is None:
            if len(self._queue) >= MAX_WAITING:
                return _failed(CheckQueueFull(f"{MAX_WAITING} logins wait for the check of their passwords"))
            check = self._pending[digest] = _Check(digest, user, secret, password, [])
            self._queue.append(check)
        waiting: Deferred[User | None] = Deferred(lambda cancelled: self._give_up(check, cancelled))
        check.waiting.append(waiting)
        self._start()
        return waiting

    def _start(self) -> None:
        while self._queue and self._running < THREADS:
            self._begin(self._queue.popleft())

    def _begin(self, check: _Check) -> None:
        self._running += 1

        def ended(result: bool | Failure) -> None:  # noqa: FBT001  the result of a Deferred
            self._running -= 1
            del self._pending[check.digest]
            # First, because the waiting sessions may ask for further checks.
            self._start()
            self._finish(check, result)

        secret, password = check.secret, check.password
        self._run(lambda: verify(secret, password)).addBoth(ended)

    def _finish(self, check: _Check, result: bool | Failure) -> None:  # noqa: FBT001  the result of a Deferred
        user = check.user if result is True else None
        if user is not None:
            self._remember(check.digest)
        waiting, check.waiting = check.waiting, []
        for each in waiting:
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(user)

    def _give_up(self, check: _Check, cancelled: "Deferred[User | None]") -> None:
        if cancelled in check.waiting:
            check.waiting.remove(cancelled)
        if not check.waiting and check in self._queue:
            self._queue.remove(check)
            del self._pending[check.digest]

    def _is_remembered(self, digest: bytes) -> bool:
        end = self._right.get(digest)
        return end is not None and self._seconds() < end

    def _remember(self, digest: bytes) -> None:
        self._right[digest] = self._seconds() + MEMORY_SECONDS
        self._right.move_to_end(digest)
        if len(self._right) > MAX_REMEMBERED:
            self._right.popitem(last=False)

    def _digest(self, name: str, secret: PasswordSecret, password: str) -> bytes:
        """Return a digest of all that decides a check. Its key is never stored, so that it says nothing by itself."""
        keyed = hashlib.blake2b(key=self._key, digest_size=32)
        for part in (_octets(name), stored_octets(secret), _octets(password)):
            keyed.update(len(part).to_bytes(8))
            keyed.update(part)
        return keyed.digest()


def _failed(error: Exception) -> "Deferred[User | None]":
    waiting: Deferred[User | None] = Deferred()
    waiting.errback(error)
    return waiting


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
