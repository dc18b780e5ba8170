"""Where blocking work runs: a few owned threads, or the caller's own."""

from collections import deque
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


class _Lane:
    """One thread and the tasks that are put before it."""

    def __init__(self, name: str, call: Callable[..., object], finished: Callable[..., object]) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._call = call
        self._finished = finished
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()
        self.give = self._tasks.put

    def end(self) -> None:
        """Wait for what runs."""
        self._tasks.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            work, done = task
            try:
                result = work()
            except BaseException:  # noqa: BLE001  whoever asked is told, and the thread goes on
                self._call(self._finished, self, done.errback, Failure())
            else:
                self._call(self._finished, self, done.callback, result)


class Threads:
    """Threads that belong to the queue, so that a busy resolver cannot hold up a sync.

    Not Twisted's thread pool: its hand-over takes several locks in Python, and with a sync for every few messages that
    was a twelfth of a relayed message (measured). A SimpleQueue is handed over in C. Each thread has one of its own:
    where several wait at one, every task wakes a second of them, which fights for the interpreter to find nothing
    (20 calls of futex a sync instead of 8, measured).
    """

    def __init__(self, reactor: IReactorFromThreads) -> None:
        call = reactor.callFromThread
        self._all = [_Lane(f"queue-{number}", call, self._finished) for number in range(THREADS)]
        # Who was busy last comes first again: the processor's caches still know its work.
        self._idle = list(self._all)
        self._waiting: deque[_Task] = deque()

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        """Run in a thread; the Deferred fires in the reactor's. To be called in the reactor's thread."""
        done: Deferred[T] = Deferred()
        if self._idle:
            self._idle.pop().give((work, done))
        else:
            self._waiting.append((work, done))
        return done

    def stop(self) -> None:
        """Wait for what runs and end the threads. To be called after the queue is closed."""
        for number, task in enumerate(self._waiting):
            self._all[number % THREADS].give(task)
        self._waiting.clear()
        for lane in self._all:
            lane.end()

    def _finished(self, lane: _Lane, fire: Callable[[Any], object], result: Any) -> None:
        if self._waiting:
            lane.give(self._waiting.popleft())
        else:
            self._idle.append(lane)
        fire(result)
