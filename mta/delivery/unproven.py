"""The mail in work for destinations that have not proven themselves: it never has all the room.

These are destinations that took no mail yet, or did not the last time. Otherwise a list of thousands of dead hosts
would have all the room until every one of them timed out.
"""

from mta.delivery.crowd import Crowd
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import QueueId


class Unproven:
    """Counts messages, from the entry of the first group for such a destination until the message is out of work."""

    def __init__(self, limits: DeliveryLimits) -> None:
        self._most = limits.unproven * limits.jobs
        self._most_octets = limits.unproven * limits.job_octets
        self._body_octets = limits.body_octets
        self._octets_of: dict[QueueId, int] = {}
        self._octets = 0
        # How many have left.
        self._left = 0
        self._crowd = Crowd(limits.longest_turn)

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

    def turn(self, now: float) -> float:
        """Return when one that found no room is to come again, wall-clock seconds."""
        return self._crowd.turn(now, len(self._octets_of), self._left)
