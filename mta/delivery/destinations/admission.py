"""The mail that a destination cannot take in now: when it comes again, and how much of the room it may have.

A destination is unproven if it has not taken mail yet, or did not the last time. Mail for unproven destinations never
has all the room; otherwise a list of thousands of dead hosts would fill it until every one of them timed out.
Time is an argument, in wall-clock seconds.
"""

from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import QueueId

# Groups a second that a destination is assumed to work off before it was watched. The value is high on purpose: mail
# that comes back early costs a look, and mail that comes back late leaves a ready destination idle.
_FIRST_RATE = 1000.0
# Seconds over which a rate is measured.
_RATE_SECONDS = 0.25


class RequeuePacer:
    """Chooses when to retry mail for a destination whose backlog is full.

    The retry times follow the rate at which the destination works off its backlog: a message comes again when about
    half of the groups before it should be gone. Mail that comes back early is sent away once more, which is cheap, and
    a destination that is ready does not wait for its mail. If no group leaves the backlog, the expected rate halves
    with each measurement, so that the retry times move to `longest` seconds from now. Many messages share one retry
    time, so that the queue is scanned a few times while the backlog is worked off, and not once for each message.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._rate = _FIRST_RATE
        self._measured_since: float | None = None
        self._started = 0
        self._last = 0.0
        self._shared_time = 0.0

    def next_try(self, now: float, waiting: int, started: int) -> float:
        """Return when the next message is to come again.

        `waiting` is the number of groups in the backlog, and `started` the number that have left it for a transaction
        since the relay knows the destination.
        """
        self._measure(now, started)
        step = 1 / (2 * self._rate)
        span = min(waiting * step, self._longest) / 4
        self._last = min(max(now + waiting * step, self._last + step), now + self._longest - span)
        if not self._last <= self._shared_time <= self._last + span:
            self._shared_time = self._last + span
        return self._shared_time

    def _measure(self, now: float, started: int) -> None:
        since = self._measured_since
        # If the clock was set back, the measurement begins anew.
        if since is not None and 0 <= now - since < _RATE_SECONDS:
            return
        if since is not None and now > since:
            rate = (started - self._started) / (now - since)
            self._rate = max((self._rate + rate) / 2, 1 / self._longest)
        self._measured_since, self._started = now, started
        # Retry times by the new rate do not line up behind those by the old one.
        self._last = self._shared_time = 0.0


class UnprovenBudget:
    """Counts the messages in work that have a group for an unproven destination, and bounds their number and octets.

    A message counts from the time when its first such group is admitted until it is out of work.
    """

    def __init__(self, limits: DeliveryLimits) -> None:
        self._max_messages = limits.unproven * limits.jobs
        self._max_octets = limits.unproven * limits.job_octets
        self._body_octets = limits.body_octets
        self._octets_of: dict[QueueId, int] = {}
        self._octets = 0
        # The number of messages that have left.
        self._left = 0
        self._pacer = RequeuePacer(limits.longest_requeue)

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
        """Count a message no more, if it was counted."""
        octets = self._octets_of.pop(job.claim.id, None)
        if octets is not None:
            self._octets -= octets
            self._left += 1

    def next_try(self, now: float) -> float:
        """Return when a message that was not admitted is to come again."""
        return self._pacer.next_try(now, len(self._octets_of), self._left)
