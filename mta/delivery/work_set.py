"""The messages in work: how many there are, how much memory their bodies take, and the room that is left for others."""

from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import QueueId


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
