"""Where blocking work runs: a few owned threads, or the caller's own."""

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")

#: One syncs small mail, one a large file, one reads for an operator.
THREADS = 3


def run_inline(work: Callable[[], T], /) -> "Deferred[T]":
    """Run at once in the calling thread: for commands that have nothing else to do, and for tests."""
    return execute(work)


class Workers:
    """Threads that belong to the queue, so that nothing else can hold up a sync."""

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, THREADS, "queue")
        self._pool.start()

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        """Run in a thread; the Deferred fires in the reactor's."""
        return deferToThreadPool(self._reactor, self._pool, work)

    def stop(self) -> None:
        """Wait for what runs and end the threads. To be called after the queue is closed."""
        self._pool.stop()


def commit_runner(reactor: IReactorFromThreads) -> Workers:
    """Return the `run` to give to `open_queue` in a daemon."""
    return Workers(reactor)
