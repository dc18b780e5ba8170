"""Looks into the queue when something in it may be due, and claims as much as there is room for."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.delivery.limits import DeliveryLimits
from mta.event_log.log import EventLog
from mta.message.body import stored
from mta.queue.interface import Claim, DeferralFilter, Queue

_log = Logger()


class Taker(Protocol):
    """Who works on claims."""

    def room(self) -> int:
        """How many more messages can be worked on now."""

    def put_off(self) -> DeferralFilter | None:
        """Return what leaves alone mail that could not be tried now; None when all can be."""

    def take(self, claim: Claim) -> None:
        """Work on a claimed message."""

    def last_answer(self) -> None:
        """Learn, after the claimer was stopped, that the queue owes it no answer any more."""


class Claimer:
    """Feeds a Taker. Runs from `start` to `stop`."""

    def __init__(
        self,
        queue: Queue,
        taker: Taker,
        limits: DeliveryLimits,
        *,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        event_log: EventLog,
    ) -> None:
        self._queue = queue
        self._taker = taker
        self._limits = limits
        self._clock = clock
        self._wall_clock = wall_clock
        self._event_log = event_log
        self._running = False
        # Whether the queue may hold messages that are due and that nobody has claimed.
        self._behind = False
        self._timer: IDelayedCall | None = None
        #: Whether an answer of the queue is on its way.
        self.asking = False

    def start(self) -> None:
        """Claim what is due, and go on doing so."""
        self._running = True
        self.wake()

    def stop(self) -> None:
        """Claim nothing more; claims under way still reach the taker."""
        self._running = False
        self._sleep(None)

    def wake(self) -> None:
        """Look into the queue: something in it is due."""
        self._behind = True
        self.go_on()

    def go_on(self) -> None:
        """Claim more if more was left behind and there is room now."""
        limit = min(self._taker.room(), self._limits.claims)
        if limit <= 0 or self.asking or not self._behind or not self._running:
            return
        self.asking = True
        self._behind = False
        claiming = self._queue.claim(self._wall_clock(), limit, self._limits.lease, self._taker.put_off())
        claiming.addCallbacks(self._claimed, self._queue_failed, callbackArgs=(limit,))

    def due_at(self, due: float) -> None:
        """Look into the queue at that time, wall-clock seconds, if not before."""
        if not self._running:
            return
        wait = min(max(0.0, due - self._wall_clock()), self._limits.longest_sleep)
        timer = self._timer
        if timer is None or not timer.active() or self._clock.seconds() + wait < timer.getTime():
            self._sleep(wait)

    def _claimed(self, claims: list[Claim], limit: int) -> None:
        self.asking = False
        for claim in claims:
            try:
                self._taker.take(_looked_at(claim))
            except Exception:  # noqa: BLE001 (a bug of ours about one message holds up no other)
                _log.failure("a claimed message could not be taken up")
        if not self._running:
            self._taker.last_answer()
        elif len(claims) == limit:
            self._behind = True
            # The reactor serves its sockets between one handful and the next.
            self._clock.callLater(0, self.go_on)
        else:
            self._queue.next_due().addCallbacks(self._expect, self._queue_failed)

    def _expect(self, due: float | None) -> None:
        # With nothing due the queue is still looked into now and then: an operator's command may fail to tell us.
        self.due_at(math.inf if due is None else due)

    def _queue_failed(self, failure: Failure) -> None:
        self.asking = False
        if not self._running:
            self._taker.last_answer()
            return
        self._behind = True
        self._event_log.trouble(f"cannot read the queue: {failure.getErrorMessage()}; trying again")
        self.due_at(self._wall_clock() + self._limits.queue_retry)

    def _sleep(self, wait: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if wait is None else self._clock.callLater(wait, self.wake)


def _looked_at(claim: Claim) -> Claim:
    """Return the claim with a body that gives out nothing but text: who knows who wrote it, and when."""
    body = stored(claim.body)
    return claim if body is claim.body else replace(claim, body=body)
