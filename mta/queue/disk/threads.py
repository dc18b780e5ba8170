"""Runs blocking work in a few threads of the queue."""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")

#: Of a queue in a file: one for the group commit, one to sync large files, one to remove files, two to read for an
#: operator.
THREADS = 5

_Task = tuple[Callable[[], Any], "Deferred[Any]"]


class _Worker:
    """A thread and the queue of its tasks."""

    def __init__(self, name: str, call: Callable[..., object], finished: Callable[..., object]) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._call = call
        self._finished = finished
        self._runner = Thread(target=self._work, name=name, daemon=True)
        self._runner.start()
        self.put = self._tasks.put

    def stop(self) -> None:
        """End the thread after the tasks that were put."""
        self._tasks.put(None)
        self._runner.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            work, done = task
            try:
                result = work()
            except BaseException:  # noqa: BLE001  the caller gets the error, and the thread goes on
                self._call(self._finished, self, done.errback, Failure())
            else:
                self._call(self._finished, self, done.callback, result)


class Threads:
    """Threads for the queue alone, so that a busy resolver cannot delay a sync.

    Twisted's thread pool takes several locks in Python for each task, and with a sync for every few messages that was
    a twelfth of a relayed message (measured). A SimpleQueue is implemented in C. Each thread has a SimpleQueue of its
    own: if several threads wait at one, every task wakes a second thread, which contends for the interpreter's lock
    and finds the queue empty (measured: 20 futex calls for a sync instead of 8).
    """

    def __init__(self, reactor: IReactorFromThreads, number: int = THREADS) -> None:
        call = reactor.callFromThread
        self._all = [_Worker(f"queue-{each}", call, self._finished) for each in range(number)]
        # Last in, first out: the thread that was used last has the warmest caches.
        self._idle = list(self._all)
        self._waiting: deque[_Task] = deque()

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        """Run work in a thread; the Deferred fires in the reactor thread, in which this must be called."""
        done: Deferred[T] = Deferred()
        if self._idle:
            self._idle.pop().put((work, done))
        else:
            self._waiting.append((work, done))
        return done

    def stop(self) -> None:
        """Wait for all tasks and end the threads. The queue must be closed before."""
        for number, task in enumerate(self._waiting):
            self._all[number % len(self._all)].put(task)
        self._waiting.clear()
        for worker in self._all:
            worker.stop()

    def _finished(self, worker: _Worker, fire: Callable[[Any], object], result: Any) -> None:
        if self._waiting:
            worker.put(self._waiting.popleft())
        else:
            self._idle.append(worker)
        fire(result)
