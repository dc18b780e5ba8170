"""Reads the counts of the relay once a minute, for the traffic that an operator sees."""

import time
from collections.abc import Callable
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mta.admin.traffic import Traffic, until_next_reading
from mta.blocking import RunBlocking
from mta.queue.interface import Ledger, QueueError

_TOLD_AFTER = 2


class TrafficService(Service):
    """Notes the counts at its start, and whenever a minute has ended.

    The process that has the lock of QUEUE_DIR runs it, for all of its workers. `trouble` gets a line if it fails twice
    in a row.
    """

    def __init__(
        self,
        directory: Path,
        totals: Callable[[], Ledger],
        *,
        run: RunBlocking,
        clock: IReactorTime,
        trouble: Callable[[str], object],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`totals` blocks for the counts so far, and raises OSError or QueueError."""
        self._totals = totals
        self._traffic = Traffic(directory, wall_clock)
        self._run = run
        self._clock = clock
        self._trouble = trouble
        self._wall_clock = wall_clock
        self._timer: IDelayedCall | None = None
        # Failures since the last success; one may be due to a queue that is just made or upgraded.
        self._failures = 0

    def startService(self) -> None:
        """Note the counts, and begin to wait for the end of the minute."""
        super().startService()
        self._read()

    def stopService(self) -> None:
        """Read no more."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self) -> None:
        self._timer = None
        Deferred.fromCoroutine(self._note()).addBoth(lambda _: self._schedule())

    def _schedule(self) -> None:
        if self.running:
            self._timer = self._clock.callLater(until_next_reading(self._wall_clock()), self._read)

    async def _note(self) -> None:
        try:
            await self._run(lambda: self._traffic.note(self._totals()))
        except (OSError, QueueError) as error:
            self._failures += 1
            if self._failures == _TOLD_AFTER:
                self._trouble(f"the counts of mail a minute cannot be kept in QUEUE_DIR: {error}")
        else:
            self._failures = 0
