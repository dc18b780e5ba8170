"""The mail in work for destinations that have not proven themselves: it never has all the room.

These are destinations that took no mail yet, or did not the last time. Otherwise a list of thousands of dead hosts
would have all the room until every one of them timed out.

When mail that finds no room before a destination is to come again. Pure: time is an argument.
"""

from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import QueueId

# Groups a second that a destination is taken to work off before it was watched: rather too many, for mail that comes
# back early costs a look, and mail that comes back late leaves a ready destination idle.
_FIRST_RATE = 1000.0
# Seconds over which a rate is taken.
_WATCHED = 0.25


class RequeuePacer:
    """Gives turns to mail that came too late for a full line, spread by the pace at which that line moves.

    A turn comes when about half of what is ahead should be gone: mail that comes back early is sent away once more,
    which is cheap, and a destination that is ready never waits for its mail. Where nothing moves, the rate that is
    expected halves with every look, so the turns grow until they are `longest` seconds away. Many share one turn, so
    that the queue is looked into a few times while the line moves by its length, and not for each message.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._rate = _FIRST_RATE
        self._watched_since: float | None = None
        self._started = 0
        self._last = 0.0
        self._shared_time = 0.0

    def next_try(self, now: float, waiting: int, started: int) -> float:
        """Return when to come again, in wall-clock seconds.

        `waiting` groups are in the line now, and `started` have left it to be sent since its destination was met.
        """
        self._watch(now, started)
        step = 1 / (2 * self._rate)
        span = min(waiting * step, self._longest) / 4
        self._last = min(max(now + waiting * step, self._last + step), now + self._longest - span)
        if not self._last <= self._shared_time <= self._last + span:
            self._shared_time = self._last + span
        return self._shared_time

    def _watch(self, now: float, started: int) -> None:
        since = self._watched_since
        # A clock that was set back begins anew.
        if since is not None and 0 <= now - since < _WATCHED:
            return
        if since is not None and now > since:
            rate = (started - self._started) / (now - since)
            self._rate = max((self._rate + rate) / 2, 1 / self._longest)
        self._watched_since, self._started = now, started
        # Turns by the new rate do not line up behind those by the old one.
        self._last = self._shared_time = 0.0


class UnprovenBudget:
    """Counts messages, from the entry of the first group for such a destination until the message is out of work."""

    def __init__(self, limits: DeliveryLimits) -> None:
        self._most = limits.unproven * limits.jobs
        self._most_octets = limits.unproven * limits.job_octets
        self._body_octets = limits.body_octets
        self._octets_of: dict[QueueId, int] = {}
        self._octets = 0
        # How many have left.
        self._left = 0
        self._pacer = RequeuePacer(limits.longest_requeue)

    @property
    def full(self) -> bool:
        """Whether there may be no more."""
        return len(self._octets_of) >= self._most or self._octets >= self._most_octets

    def bar(self, job: Job) -> bool:
        """Whether a message may not enter: there may be no more, and it is not one of them."""
        return self.full and job.claim.id not in self._octets_of

    def enter(self, job: Job) -> None:
        """Count a message in, once."""
        claim = job.claim
        if claim.id not in self._octets_of:
            octets = self._octets_of[claim.id] = min(claim.body.size, self._body_octets)
            self._octets += octets

    def leave(self, job: Job) -> None:
        """Count a message out if it was counted in."""
        octets = self._octets_of.pop(job.claim.id, None)
        if octets is not None:
            self._octets -= octets
            self._left += 1

    def next_try(self, now: float) -> float:
        """Return when one that found no room is to come again, wall-clock seconds."""
        return self._pacer.next_try(now, len(self._octets_of), self._left)
