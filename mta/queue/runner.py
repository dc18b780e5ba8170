"""Where blocking work runs: a few owned threads, or the caller's own."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")

#: One syncs small mail, one a large file, one removes files, one reads for an operator.
THREADS = 4

_Task = tuple[Callable[[], Any], "Deferred[Any]"]


def run_inline(work: Callable[[], T], /) -> "Deferred[T]":
    """Run at once in the calling thread: for commands that have nothing else to do, and for tests."""
    return execute(work)


class Workers:
    """Threads that belong to the queue, so that a busy resolver cannot hold up a sync.

    Not Twisted's thread pool: its hand-over takes several locks in Python, and with a sync for every few messages that
    was a twelfth of a relayed message (measured). A SimpleQueue is handed over in C.
    """

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"queue-{number}", daemon=True) for number in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        """Run in a thread; the Deferred fires in the reactor's."""
        done: Deferred[T] = Deferred()
        self._tasks.put((work, done))
        return done

    def stop(self) -> None:
        """Wait for what runs and end the threads. To be called after the queue is closed."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        call = self._reactor.callFromThread
        while (task := self._tasks.get()) is not None:
            work, done = task
            try:
                result = work()
            except BaseException:  # noqa: BLE001  whoever asked is told, and the thread goes on
                call(done.errback, Failure())
            else:
                call(done.callback, result)


def commit_runner(reactor: IReactorFromThreads) -> Workers:
    """Return the `run` to give to `open_queue` in a daemon."""
    return Workers(reactor)
