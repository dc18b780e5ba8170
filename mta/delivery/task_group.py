"""Coroutines that run side by side, as a TaskGroup of asyncio has them, for Deferreds."""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.coroutines import start

_log = Logger()


class TaskGroup:
    """Runs coroutines and waits for them.

    An exception that ends a coroutine is a bug in the relay: it is logged with its traceback, and kept in `failure`.
    """

    __slots__ = ("_ended", "_running", "_waiter", "failure")

    def __init__(self) -> None:
        self._running = 0
        # Whether a coroutine has ended since `next_end` returned.
        self._ended = False
        self._waiter: Deferred[None] | None = None
        self.failure: Failure | None = None

    def start(self, task: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the others, up to its first wait now."""
        self._running += 1
        start(task, self._end)

    async def next_end(self) -> bool:
        """Wait until a coroutine ends; return whether others are still running."""
        if self._running and not self._ended:
            self._waiter = Deferred()
            await self._waiter
        self._ended = False
        return self._running > 0

    async def all_ended(self) -> None:
        """Wait until all coroutines have ended, including those that are started meanwhile."""
        while await self.next_end():
            pass

    def wake(self) -> None:
        """Make `next_end` return now."""
        self._ended = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def fail(self, failure: Failure) -> None:
        """Log an exception, and keep it as that of a task."""
        _log.failure("a task of the delivery side failed", failure)
        self.failure = failure

    def _end(self, result: Failure | None) -> None:
        self._running -= 1
        if result is not None:
            self.fail(result)
        self.wake()
