"""Claims messages from the queue when some may be due, as many as there is room for in the set of messages in work."""

import math
from collections.abc import Callable
from dataclasses import replace

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mta.delivery.context import DeliveryContext
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.delivery.task_group import TaskGroup
from mta.message.body import stored
from mta.queue.interface import Claim, DeferralFilter, Queue, QueueId

_log = Logger()


class WorkSet:
    """The jobs in memory, bounded by their number and by the octets of their bodies."""

    def __init__(self, limits: DeliveryLimits) -> None:
        self._limits = limits
        self._octets = 0
        #: By the id of the message. Changed by `add` and `remove` only.
        self.jobs: dict[QueueId, Job] = {}

    def has_room_for(self, size: int) -> bool:
        """Whether a message of `size` octets may be taken."""
        limits = self._limits
        octets = self._octets + min(size, limits.body_octets)
        return len(self.jobs) < limits.jobs and octets <= limits.job_octets

    def room(self) -> int:
        """Return how many more messages may be taken now."""
        limits = self._limits
        by_octets = limits.jobs * (limits.job_octets - self._octets) // limits.job_octets
        return max(0, min(limits.jobs - len(self.jobs), by_octets))

    def add(self, job: Job) -> None:
        """Count a job in."""
        self.jobs[job.claim.id] = job
        self._octets += min(job.claim.body.size, self._limits.body_octets)

    def remove(self, job: Job) -> None:
        """Count a job out."""
        del self.jobs[job.claim.id]
        self._octets -= min(job.claim.body.size, self._limits.body_octets)


class Claimer:
    """Claims from `start` to `stop`."""

    def __init__(
        self,
        queue: Queue,
        take: Callable[[Claim], None],
        *,
        room: Callable[[], int],
        deferral_filter: Callable[[], DeferralFilter | None],
        limits: DeliveryLimits,
        context: DeliveryContext,
    ) -> None:
        """`take` is called with each claim; `room` tells how many more messages may be taken now."""
        self._queue = queue
        self._take = take
        self._room = room
        self._deferral_filter = deferral_filter
        self._limits = limits
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        self._event_log = context.event_log
        self._running = False
        # Whether the queue may hold messages that are due and not claimed.
        self._behind = False
        self._claiming = False
        self._tasks = TaskGroup()
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Claim the messages that are due, and go on doing so."""
        self._running = True
        self.wake()

    def stop(self) -> None:
        """Claim no more messages; a claim that is running still gives its messages to `take`."""
        self._running = False
        self._sleep(None)

    async def stopped(self) -> None:
        """Wait until no claim is running."""
        await self._tasks.all_ended()

    def wake(self) -> None:
        """Look into the queue, because a message in it is due."""
        self._behind = True
        self.go_on()

    def go_on(self) -> None:
        """Claim more messages if more may be due and there is room now."""
        limit = min(self._room(), self._limits.claims)
        if limit <= 0 or self._claiming or not self._behind or not self._running:
            return
        self._claiming = True
        self._behind = False
        self._tasks.start(self._claim(limit))

    def due_at(self, due: float) -> None:
        """Look into the queue at that time, wall-clock seconds, if not before."""
        if not self._running:
            return
        wait = min(max(0.0, due - self._wall_clock()), self._limits.longest_sleep)
        timer = self._timer
        if timer is None or not timer.active() or self._clock.seconds() + wait < timer.getTime():
            self._sleep(wait)

    async def _claim(self, limit: int) -> None:
        """Claim and take up to `limit` messages; sleep until the next one is due if these were all."""
        try:
            claims = await self._queue.claim(self._wall_clock(), limit, self._limits.lease, self._deferral_filter())
            self._claiming = False
            self._take_all(claims)
            if not self._running:
                return
            if len(claims) == limit:
                self._behind = True
                # The reactor serves its sockets between one batch and the next.
                self._clock.callLater(0, self.go_on)
                return
            due = await self._queue.next_due()
        except Exception as error:  # noqa: BLE001 (the queue is asked again after a bug in the relay too)
            self._claiming = False
            self._try_again(error)
            return
        # With no message due the queue is still looked into now and then, because an operator's command may fail to
        # tell the relay.
        self.due_at(math.inf if due is None else due)

    def _take_all(self, claims: list[Claim]) -> None:
        for claim in claims:
            try:
                self._take(_checked(claim))
            except Exception:  # noqa: BLE001 (a bug about one message holds up no other)
                _log.failure("a claimed message could not be taken up")

    def _try_again(self, error: Exception) -> None:
        if self._running:
            self._behind = True
            self._event_log.trouble(f"cannot read the queue: {error}; trying again")
            self.due_at(self._wall_clock() + self._limits.queue_retry)

    def _sleep(self, wait: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if wait is None else self._clock.callLater(wait, self.wake)


def _checked(claim: Claim) -> Claim:
    """Return the claim with a body that yields only text, because the file may have been changed since."""
    body = stored(claim.body)
    return claim if body is claim.body else replace(claim, body=body)
