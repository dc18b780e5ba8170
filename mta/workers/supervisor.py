"""Supervises the workers: starts them, restarts those that have ended, kills those that hang, and stops them all."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.delivery.destinations.window import WindowLimits
from mta.delivery.rates.broker import RateBroker, SendTo
from mta.delivery.rates.journal import NoJournal
from mta.workers.process import End, Launch, OutputSinks, WorkerProcess
from mta.workers.shared_counts import COUNTED, CountsBroker
from mta.workers.window_broker import WindowBroker

if TYPE_CHECKING:
    from mta.metrics.metric import Samples
    from mta.workers.figures import WorkersFigures
    from mta.workers.operator_channel import WorkersOperator

# Checks of the heartbeats in the time that a worker may be silent.
_CHECKS_PER_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """The seconds between the end of a worker and its restart."""

    #: After the second failure in a row; the first restart is immediate.
    first: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    #: After so many seconds a worker has started successfully: its end is the first failure in a row.
    settled: float = 60.0


class Restarts:
    """Counts the failures of one worker in a row."""

    def __init__(self, backoff: RestartBackoff | None = None) -> None:
        self._backoff = backoff or RestartBackoff()
        self._next = 0.0

    def wait(self, lived: float) -> float:
        """Return the seconds until the restart of a worker that ended now, after it ran for `lived` seconds."""
        backoff = self._backoff
        wait = 0.0 if lived >= backoff.settled else self._next
        self._next = min(max(backoff.first, wait * backoff.factor), backoff.longest)
        return wait


class Watchdog:
    """Kills workers that hang. It ignores workers that do not listen yet: one may be upgrading a large queue."""

    def __init__(
        self,
        patience: float,
        listening: Callable[[], Iterable[WorkerProcess]],
        *,
        clock: IReactorTime,
        trouble: Callable[[str], object],
    ) -> None:
        """A worker may be silent for `patience` seconds. `trouble` gets a line about a worker that is killed."""
        self._patience = patience
        self._listening = listening
        self._clock = clock
        self._trouble = trouble
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Schedule the next check."""
        self._timer = self._clock.callLater(self._patience / _CHECKS_PER_PATIENCE, self._look)

    def stop(self) -> None:
        """End the checks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def healthy(self) -> bool:
        """Whether every worker has sent a heartbeat within twice the permitted time."""
        return all(self._silence(worker) < 2 * self._patience for worker in self._listening())

    def _look(self) -> None:
        self.start()
        for worker in self._listening():
            if self._silence(worker) > self._patience:
                self._trouble(f"worker {worker.number} sent no heartbeat for {self._patience:.0f} s: it is killed")
                worker.kill()

    def _silence(self, worker: WorkerProcess) -> float:
        return float(self._clock.seconds()) - worker.last_heartbeat


class WorkersFailed(Exception):
    """A worker cannot start. `words` are the lines of its standard error, `status` is its exit status."""

    def __init__(self, words: bytes, status: int) -> None:
        super().__init__(words.decode(errors="replace"))
        self.words = words
        self.status = status


class Supervisor(Service):
    """Keeps `count` workers running. `ready` fires with the number of messages in all queues when all workers listen.

    `ready` fails with WorkersFailed if a worker cannot start the first time; the caller must then end the program.
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
        new_rates: Callable[[SendTo], RateBroker] | None = None,
        wall_clock: Callable[[], float] = time.time,
        figures: bool = False,
        new_operator: "Callable[[SendTo], WorkersOperator] | None" = None,
    ) -> None:
        """`limits` are those of each destination; `reload` reads the files of the parent again.

        `new_rates` returns the broker of the rates that rules set. With `figures`, workers are asked for theirs.
        `new_operator` returns the end of the channels that is for operators.

        A worker that listens and sends no heartbeat for `patience` seconds is killed; None disables that.
        """
        self.ready: Deferred[int] = Deferred()
        self._reactor = reactor
        self._launch = launch
        self._sinks = sinks
        self._reload = reload
        self._wall_clock = wall_clock
        self._broker = WindowBroker(limits, self._send)
        self._counts = CountsBroker(reactor.seconds, self._send)
        self._rates = (new_rates or partial(RateBroker, reactor, journal=NoJournal()))(self._send)
        self._operator = None if new_operator is None else new_operator(self._send)
        self._workers: dict[int, WorkerProcess] = {}
        self._figures = self._new_figures() if figures else None
        self._restarts = {number: Restarts() for number in range(1, count + 1)}
        self._timers: dict[int, IDelayedCall] = {}
        self._watchdog: Watchdog | None = None
        if patience is not None:
            self._watchdog = Watchdog(patience, self._listening, clock=reactor, trouble=sinks.trouble)
        # Whether all workers must end; the failure of the first start; the result of stopService.
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
        """Stop all workers. The result fires when the last one has ended."""
        super().stopService()
        if self._watchdog is not None:
            self._watchdog.stop()
        gone: Deferred[None] = Deferred()
        self._stopped = gone
        self._stop_all()
        return gone

    def reload(self) -> None:
        """Read the files of the parent and of all workers again. The first worker logs their names."""
        if self._reload is not None:
            self._reload()
        self.tell_all("reload")

    def tell_all(self, verb: str, *arguments: object) -> None:
        """Send a verb to all workers."""
        for worker in self._workers.values():
            worker.channel.send(verb, *arguments)

    async def samples(self) -> "Samples":
        """Return the sum of the figures of all workers."""
        return {} if self._figures is None else await self._figures.samples()

    def healthy(self) -> bool:
        """Whether every worker either sends heartbeats or has been killed in time."""
        return self._watchdog is None or self._watchdog.healthy()

    def worker_ready(self, worker: WorkerProcess) -> None:
        """Tell a worker that listens the counts of the others. Fire `ready` when all workers listen."""
        self._counts.started(worker.number)
        if self._operator is not None:
            self._operator.started(worker.number)
        listening = self._listening()
        if len(listening) == len(self._restarts) and not self.ready.called:
            self.ready.callback(sum(each.waiting or 0 for each in listening))

    def worker_ended(self, worker: WorkerProcess, end: End) -> None:
        """Restart a worker, unless all must end."""
        del self._workers[worker.number]
        self._launch.ended(worker.number)
        self._broker.left(worker.number, self._wall_clock())
        self._rates.left(worker.number)
        if self._operator is not None:
            self._operator.ended(worker.number)
        if end.status and not (worker.listens or self.ready.called or self._ending):
            self._give_up(worker.startup_errors, end.status)
        elif not self._ending:
            if worker.startup_errors:
                self._sinks.complain(worker.startup_errors)
            lived = self._reactor.seconds() - worker.born
            words = f"worker {worker.number} (process {worker.pid}) {end} after {lived:.0f} s"
            self._restart(worker.number, words, lived)
        self._check_end()

    def _new_figures(self) -> "WorkersFigures":
        from mta.workers.figures import WorkersFigures  # noqa: PLC0415

        def ask(verb: str, *arguments: object) -> None:
            for worker in self._listening():
                worker.channel.send(verb, *arguments)

        return WorkersFigures(self._reactor, ask, lambda: len(self._listening()))

    def _listening(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers.values() if worker.listens]

    def _send(self, number: int, verb: str, *arguments: object) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            worker.channel.send(verb, *arguments)

    def _counted(self, number: int, *words: object) -> None:
        """Take the mail that a worker has counted. Those that do not listen yet are told of it when they do."""
        self._counts.counted((each.number for each in self._listening() if each.number != number), *words)

    def _start(self, number: int) -> None:
        self._timers.pop(number, None)
        handlers = self._broker.handlers(number, self._wall_clock) | self._rates.handlers(number)
        handlers[COUNTED] = partial(self._counted, number)
        if self._figures is not None:
            handlers |= self._figures.handlers(number)
        if self._operator is not None:
            handlers |= self._operator.handlers(number)
        worker = WorkerProcess(number, self, self._sinks, self._reactor, handlers)
        try:
            self._launch.start(self._reactor, worker)
        except OSError as error:
            words = f"worker {number} cannot be started ({error.strerror})"
            if self.ready.called:
                self._restart(number, words, 0.0)
            else:
                advice = f"let user id {os.geteuid()} run {sys.executable}"
                self._give_up(f"smtprelay: {words}: {advice}\n".encode(), 1)
        else:
            self._workers[number] = worker

    def _restart(self, number: int, words: str, lived: float) -> None:
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
        self._check_end()

    def _check_end(self) -> None:
        if self._workers:
            return
        if self._stopped is not None:
            self._rates.close()
            gone, self._stopped = self._stopped, None
            gone.callback(None)
        if self._failure is not None and not self.ready.called:
            self.ready.errback(self._failure)
