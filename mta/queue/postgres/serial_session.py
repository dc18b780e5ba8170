"""A connection whose uses wait for each other, because only one thread may use it at a time."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from mta.blocking import RunBlocking
from mta.queue.postgres.session import DatabaseSession

T = TypeVar("T")


class SerialSession:
    """A DatabaseSession for the reactor's thread: works on it run where they may block, in the order of the calls."""

    def __init__(self, session: DatabaseSession, run: RunBlocking) -> None:
        self._session = session
        self._run = run
        self._lock = DeferredLock()

    def do(self, work: Callable[[DatabaseSession], T]) -> "Deferred[T]":
        """Run work on the session once all earlier work has ended. Fails with its error."""
        return self._lock.run(self._run, partial(work, self._session))

    def cut(self) -> None:
        """End the connection, so that work that waits for the database fails."""
        self._session.cut()

    def close(self) -> "Deferred[None]":
        """Close the connection after all earlier work; later work makes a new one."""
        return self.do(DatabaseSession.close)
