"""The mail that cannot be taken in now: when it comes again, and how much of the room unproven destinations may have.

A destination is unproven if it has not taken mail yet, or did not the last time. Mail for unproven destinations never
has all the room; otherwise a list of thousands of dead hosts would fill it until every one of them timed out.
Time is in wall-clock seconds.
"""

import math
from collections.abc import Callable
from itertools import count

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.delivery.context import DeliveryContext
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import QueueId

#: The shortest time after which mail comes again whose way is not known yet: names are looked up as often.
UNTIL_LOOKED_UP = 5.0

#: `Queue.release_deferred`.
ReleaseDeferred = Callable[[float, float, int], "Deferred[int]"]


class Overflow:
    """The mail for which one backlog, or the budget, has no room. All of it has one due time in the queue.

    So the queue can make some of it due as soon as there is room again, and no message is looked at before that.
    """

    def __init__(self, overflows: "Overflows", second_part: float, wanted: Callable[[], int]) -> None:
        """`second_part` is the fraction of a second that all due times have. For `wanted` see `Overflows.new`."""
        self._overflows = overflows
        self._second_part = second_part
        self._wanted = wanted
        self._due = 0.0
        self._releasing = False
        #: The messages that have the shared due time, as far as is known.
        self.count = 0

    def put(self) -> float:
        """Count one more message, and return the time at which it is due."""
        now, longest = self._overflows.wall_clock(), self._overflows.longest
        if not now < self._due <= now + longest:
            # The messages with the earlier time are due by now, or the clock was set back, which makes them due.
            self._due = math.floor(now + longest - 1) + self._second_part
            self.count = 0
        self.count += 1
        return self._due

    @property
    def needed(self) -> bool:
        """Whether messages may still wait for the shared due time."""
        return self._releasing or (self.count > 0 and self._due > self._overflows.wall_clock())

    def release_if_wanted(self) -> None:
        """Have the queue make messages due if there is room for them now, unless it is doing so already."""
        if self.count and not self._releasing and not self._overflows.closed and (limit := self._wanted()) > 0:
            self._release(limit)

    def _release(self, limit: int) -> None:
        due, before = self._due, self.count
        # The messages that come meanwhile are counted apart.
        self._releasing, self.count = True, 0

        def released(number: int) -> None:
            self._end_release(due, max(0, before - number) if number == limit else 0)
            if number < limit:
                self.release_if_wanted()
            if number:
                self._overflows.wake()

        def failed(failure: Failure) -> None:
            self._end_release(due, before)
            self._overflows.failed(failure.getErrorMessage())

        self._overflows.release(due, self._overflows.wall_clock(), limit).addCallbacks(released, failed)

    def _end_release(self, due: float, left: int) -> None:
        self._releasing = False
        if self._due == due:
            self.count += left


class Overflows:
    """Makes overflows, and has their common parts."""

    def __init__(
        self, release: ReleaseDeferred, wake: Callable[[], None], *, longest: float, context: DeliveryContext
    ) -> None:
        """`wake` is called when messages were made due; mail waits at most `longest` seconds, which are more than 2."""
        self.release = release
        self.wake = wake
        self.longest = longest
        self.wall_clock = context.wall_clock
        #: Set when the service stops, so that no further message is made due.
        self.closed = False
        self._event_log = context.event_log
        self._numbers = count()

    def new(self, wanted: Callable[[], int]) -> Overflow:
        """Return an overflow without mail.

        `wanted` returns how many messages should be made due now: 0 until the backlog has fallen to half.
        """
        # A thousand overflows have different due times. SQLite reads milliseconds exactly, which come to it as text.
        return Overflow(self, next(self._numbers) % 1000 / 1000, wanted)

    def failed(self, why: str) -> None:
        """Log that the queue could not make messages due. The next group or message that ends has it tried again."""
        self._event_log.trouble(f"cannot make waiting mail due in the queue: {why}; trying again")


class UnprovenBudget:
    """Counts the messages in work that have a group for an unproven destination, and bounds their number and octets.

    A message counts from the time when its first such group is admitted until it is out of work.
    """

    def __init__(self, limits: DeliveryLimits, overflows: Overflows) -> None:
        self._max_messages = limits.unproven * limits.jobs
        self._max_octets = limits.unproven * limits.job_octets
        self._body_octets = limits.body_octets
        self._least_released = limits.claims
        self._octets_of: dict[QueueId, int] = {}
        self._octets = 0
        self._overflow = overflows.new(self._wanted)

    @property
    def full(self) -> bool:
        """Whether the budget is used up."""
        return len(self._octets_of) >= self._max_messages or self._octets >= self._max_octets

    def refuses(self, job: Job) -> bool:
        """Whether a message may not be admitted: the budget is used up, and the message does not count yet."""
        return self.full and job.claim.id not in self._octets_of

    def add(self, job: Job) -> None:
        """Count a message, unless it counts already."""
        claim = job.claim
        if claim.id not in self._octets_of:
            octets = self._octets_of[claim.id] = min(claim.body.size, self._body_octets)
            self._octets += octets

    def remove(self, job: Job) -> None:
        """Count a message no more, if it was counted. When half of the budget is free, mail beyond it is made due."""
        octets = self._octets_of.pop(job.claim.id, None)
        if octets is not None:
            self._octets -= octets
            if self._overflow.count:
                self._overflow.release_if_wanted()

    def next_try(self) -> float:
        """Return when a message that was not admitted is to come again."""
        return self._overflow.put()

    def _wanted(self) -> int:
        """Return how many messages beyond the budget should be made due now: none until half of it is free."""
        messages = len(self._octets_of)
        if 2 * messages > self._max_messages or 2 * self._octets > self._max_octets:
            return 0
        return max(int(self._max_messages) - messages, self._least_released)


class UnknownWays:
    """The mail whose way depends on a host name in a rule of the operator that is not looked up yet.

    It comes again soon. If the name cannot be looked up for long, it comes less often, because there may be much of it.
    """

    def __init__(self, limits: DeliveryLimits, context: DeliveryContext) -> None:
        self._longest = limits.longest_requeue
        self._wall_clock = context.wall_clock
        self._last_due = 0.0

    @property
    def awaited(self) -> bool:
        """Whether such mail may be in the queue."""
        return self._wall_clock() <= self._last_due + self._longest

    def next_try(self, created: float) -> float:
        """Return when a message of this age comes again."""
        now = self._wall_clock()
        due = now + min(max(UNTIL_LOOKED_UP, (now - created) / 4), self._longest)
        self._last_due = max(self._last_due, due)
        return due
