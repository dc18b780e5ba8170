"""The parent of the workers: starts them, starts again what ends, and stops them all.

When a worker that ended starts again. Pure: time is an argument.

Signs of life: a worker that hangs is killed, so that it starts again.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.delivery.destinations.window import WindowLimits
from mta.workers.process import End, Launch, OutputSinks, WorkerProcess
from mta.workers.window_broker import WindowBroker


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """Waits in seconds between the end of a worker and its next start."""

    #: After the second end in a row; the first start again is at once.
    first: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    #: Whoever lived so long has started healthy: its end is the first in a row.
    settled: float = 60.0


class Restarts:
    """Counts the ends of one worker."""

    def __init__(self, pace: RestartBackoff | None = None) -> None:
        self._pace = pace or RestartBackoff()
        self._next = 0.0

    def wait(self, lived: float) -> float:
        """Return the seconds until the next start of a worker that ended now, after it `lived` so many."""
        pace = self._pace
        wait = 0.0 if lived >= pace.settled else self._next
        self._next = min(max(pace.first, wait * pace.factor), pace.longest)
        return wait


# How often signs are looked for, in parts of the patience.
_CHECKS_PER_PATIENCE = 4


class Watchdog:
    """Looks at workers that listen. One that does not yet may be upgrading a large queue."""

    def __init__(
        self,
        patience: float,
        listening: Callable[[], Iterable[WorkerProcess]],
        *,
        clock: IReactorTime,
        trouble: Callable[[str], object],
    ) -> None:
        """`patience` is for how many seconds a worker may be silent; `trouble` is told of one that is killed."""
        self._patience = patience
        self._listening = listening
        self._clock = clock
        self._trouble = trouble
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._timer = self._clock.callLater(self._patience / _CHECKS_PER_PATIENCE, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def healthy(self) -> bool:
        """Whether no worker has been silent for so long that it should have ended by now."""
        return all(self._silence(worker) < 2 * self._patience for worker in self._listening())

    def _look(self) -> None:
        self.start()
        for worker in self._listening():
            if self._silence(worker) > self._patience:
                self._trouble(f"worker {worker.number} gave no sign of life for {self._patience:.0f} s: it is killed")
                worker.kill()

    def _silence(self, worker: WorkerProcess) -> float:
        return float(self._clock.seconds()) - worker.last_sign


class WorkersFailed(Exception):
    """A worker cannot start: the words in which it says why, whole lines, and its exit status."""

    def __init__(self, words: bytes, status: int) -> None:
        super().__init__(words.decode(errors="replace"))
        self.words = words
        self.status = status


class Supervisor(Service):
    """Keeps `count` workers. `ready` fires with the messages that wait in all queues when all listen.

    It fails with WorkersFailed when one cannot begin at the first start: whoever waits for it ends the program.
    """

    def __init__(
        self,
        reactor: Any,
        launch: Launch,
        count: int,
        *,
        limits: WindowLimits,
        sinks: OutputSinks,
        patience: float | None = None,
        reload: Callable[[], object] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`limits` are those of a destination; `reload` reads the files again that the parent itself has read.

        A worker that listens and gives no sign of life for `patience` seconds is killed; None: none is looked for.
        """
        self.ready: Deferred[int] = Deferred()
        self._reactor = reactor
        self._launch = launch
        self._sinks = sinks
        self._reload = reload
        self._wall_clock = wall_clock
        self._broker = WindowBroker(limits, self._tell)
        self._workers: dict[int, WorkerProcess] = {}
        self._restarts = {number: Restarts() for number in range(1, count + 1)}
        self._timers: dict[int, IDelayedCall] = {}
        self._watchdog: Watchdog | None = None
        if patience is not None:
            self._watchdog = Watchdog(patience, self._listening, clock=reactor, trouble=sinks.trouble)
        # Whether all are to end; what ended the start; what stopService gave.
        self._ending = False
        self._failure: WorkersFailed | None = None
        self._stopped: Deferred[None] | None = None

    def startService(self) -> None:
        """Start all workers."""
        super().startService()
        for number in self._restarts:
            if not self._ending:
                self._start(number)
        if self._watchdog is not None:
            self._watchdog.start()

    def stopService(self) -> "Deferred[None]":
        """Have all workers stop; fires when none is left."""
        super().stopService()
        if self._watchdog is not None:
            self._watchdog.stop()
        gone: Deferred[None] = Deferred()
        self._stopped = gone
        self._stop_all()
        return gone

    def reload(self) -> None:
        """Have the parent and all workers read their files again; one of the workers logs which."""
        if self._reload is not None:
            self._reload()
        for worker in self._workers.values():
            worker.channel.send("reload")

    def healthy(self) -> bool:
        """Whether no worker hangs that should have been killed."""
        return self._watchdog is None or self._watchdog.healthy()

    def worker_ready(self, worker: WorkerProcess) -> None:  # noqa: ARG002
        """Note that a worker listens."""
        listening = self._listening()
        if len(listening) == len(self._restarts) and not self.ready.called:
            self.ready.callback(sum(each.waiting or 0 for each in listening))

    def worker_ended(self, worker: WorkerProcess, end: End) -> None:
        """Start a worker again, unless all are to end."""
        del self._workers[worker.number]
        self._launch.ended(worker.number)
        self._broker.left(worker.number, self._wall_clock())
        if end.status and not (worker.listens or self.ready.called or self._ending):
            self._give_up(worker.startup_errors, end.status)
        elif not self._ending:
            if worker.startup_errors:
                self._sinks.complain(worker.startup_errors)
            lived = self._reactor.seconds() - worker.born
            words = f"worker {worker.number} (process {worker.pid}) {end} after {lived:.0f} s"
            self._start_again(worker.number, words, lived)
        self._note_end()

    def _listening(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers.values() if worker.listens]

    def _tell(self, number: int, verb: str, *arguments: object) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            worker.channel.send(verb, *arguments)

    def _start(self, number: int) -> None:
        self._timers.pop(number, None)
        worker = WorkerProcess(
            number, self, self._sinks, self._reactor, self._broker.handlers(number, self._wall_clock)
        )
        try:
            self._launch.start(self._reactor, worker)
        except OSError as error:
            words = f"worker {number} cannot be started ({error.strerror})"
            if self.ready.called:
                self._start_again(number, words, 0.0)
            else:
                advice = f"let user id {os.geteuid()} run {sys.executable}"
                self._give_up(f"smtprelay: {words}: {advice}\n".encode(), 1)
        else:
            self._workers[number] = worker

    def _start_again(self, number: int, words: str, lived: float) -> None:
        wait = self._restarts[number].wait(lived)
        when = f"in {wait:.0f} s" if wait else "at once"
        self._sinks.trouble(f"{words}; it starts again {when}")
        self._timers[number] = self._reactor.callLater(wait, self._start, number)

    def _give_up(self, words: bytes, status: int) -> None:
        if self._failure is None:
            self._failure = WorkersFailed(words, status)
            self._stop_all()

    def _stop_all(self) -> None:
        self._ending = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for worker in list(self._workers.values()):
            worker.stop()
        self._note_end()

    def _note_end(self) -> None:
        if self._workers:
            return
        if self._stopped is not None:
            gone, self._stopped = self._stopped, None
            gone.callback(None)
        if self._failure is not None and not self.ready.called:
            self.ready.errback(self._failure)
