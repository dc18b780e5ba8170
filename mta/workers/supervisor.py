"""The parent of the workers: starts them, watches them, starts again what ends, and stops them all."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from mta.delivery.throttle import WindowLimits
from mta.ops.journal import Journal
from mta.workers.process import End, Launch, Worker
from mta.workers.restarts import Restarts
from mta.workers.shares import Shares

# How often signs of life are looked for, in parts of the patience.
_LOOKS = 4


class WorkersFailed(Exception):
    """A worker cannot start: the lines in which it says why, and its exit status."""

    def __init__(self, lines: list[str], status: int) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
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
        journal: Journal,
        pass_on: Callable[[bytes], object],
        patience: float | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`limits` are those of a destination. `pass_on` takes whole lines of the journal.

        A worker that listens and gives no sign of life for `patience` seconds is killed; None: none is looked for.
        """
        self.ready: Deferred[int] = Deferred()
        self._reactor = reactor
        self._launch = launch
        self._journal = journal
        self._pass_on = pass_on
        self._patience = patience
        self._wall = wall
        self._shares = Shares(limits, self._tell)
        self._workers: dict[int, Worker] = {}
        self._restarts = {number: Restarts() for number in range(1, count + 1)}
        self._timers: dict[int, IDelayedCall] = {}
        self._watch: IDelayedCall | None = None
        # What ended the start, or None; what stopService gave.
        self._failure: WorkersFailed | None = None
        self._gone: Deferred[None] | None = None

    def startService(self) -> None:
        """Start all workers."""
        super().startService()
        for number in self._restarts:
            if self._failure is None:
                self._start(number)
        if self._patience is not None:
            self._look()

    def stopService(self) -> "Deferred[None]":
        """Have all workers stop; fires when none is left."""
        super().stopService()
        if self._watch is not None:
            self._watch.cancel()
        gone: Deferred[None] = Deferred()
        self._gone = gone
        self._stop_all()
        return gone

    def well(self) -> bool:
        """Whether no worker has been silent for much longer than it may be."""
        return self._patience is None or all(self._silence(worker) < 2 * self._patience for worker in self._begun())

    # What a Worker tells

    def began(self, worker: Worker) -> None:  # noqa: ARG002
        """Note that a worker listens."""
        begun = self._begun()
        if len(begun) == len(self._restarts) and not self.ready.called:
            self.ready.callback(sum(each.waiting or 0 for each in begun))

    def ended(self, worker: Worker, end: End) -> None:
        """Start a worker again, unless all are to end."""
        del self._workers[worker.number]
        self._launch.ended(worker.number)
        self._shares.left(worker.number, self._wall())
        if not self._ending and not self.ready.called and not worker.begun and end.status:
            self._give_up(worker.complaints, end.status)
        elif not self._ending:
            lived = self._reactor.seconds() - worker.born
            self._start_again(
                worker.number, f"worker {worker.number} (process {worker.pid}) {end} after {lived:.0f} s", lived
            )
        self._note_end()

    def wrote(self, lines: bytes) -> None:
        """Pass a worker's journal on."""
        if lines:
            self._pass_on(lines)

    def complained(self, lines: bytes) -> None:
        """Pass on what a worker says outside its journal."""
        if lines and sys.__stderr__ is not None:
            sys.__stderr__.buffer.write(lines)
            sys.__stderr__.flush()

    def trouble(self, text: str) -> None:
        """Tell the operator."""
        self._journal.trouble(text)

    @property
    def _ending(self) -> bool:
        return not self.running or self._failure is not None

    def _begun(self) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.begun]

    def _tell(self, number: int, verb: str, *arguments: object) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            worker.channel.send(verb, *arguments)

    def _start(self, number: int) -> None:
        self._timers.pop(number, None)
        worker = Worker(number, self, self._reactor, self._shares.handlers(number, self._wall))
        try:
            self._launch.start(self._reactor, worker)
        except OSError as error:
            words = f"worker {number} cannot be started ({error.strerror})"
            if self.ready.called:
                self._start_again(number, words, 0.0)
            else:
                self._give_up([f"smtprelay: {words}: let user id {os.geteuid()} run {sys.executable}"], 1)
        else:
            self._workers[number] = worker

    def _start_again(self, number: int, words: str, lived: float) -> None:
        wait = self._restarts[number].wait(lived)
        when = f"in {wait:.0f} s" if wait else "at once"
        self._journal.trouble(f"{words}; it starts again {when}")
        self._timers[number] = self._reactor.callLater(wait, self._start, number)

    def _give_up(self, lines: list[str], status: int) -> None:
        if self._failure is None:
            self._failure = WorkersFailed(lines, status)
            self._stop_all()

    def _stop_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for worker in list(self._workers.values()):
            worker.stop()
        self._note_end()

    def _note_end(self) -> None:
        if self._workers:
            return
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone.callback(None)
        if self._failure is not None and not self.ready.called:
            self.ready.errback(self._failure)

    def _silence(self, worker: Worker) -> float:
        return float(self._reactor.seconds() - worker.last_sign)

    def _look(self) -> None:
        patience = self._patience or 0.0
        self._watch = self._reactor.callLater(patience / _LOOKS, self._look)
        for worker in self._begun():
            if self._silence(worker) > patience:
                self._journal.trouble(f"worker {worker.number} gave no sign of life for {patience:.0f} s: it is killed")
                worker.kill()
