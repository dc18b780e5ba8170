"""Jobs of one group each that are sent to a destination, as the delivery service sends them."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from mta.delivery.job import Group, Job, RecipientResult
from mta.routing.route import Plan

Send = Callable[[Group, Plan], Coroutine[Any, Any, None]]


class SentJobs:
    """The jobs that were sent, and those whose tasks have all ended."""

    def __init__(self) -> None:
        self.ended: list[Job] = []

    def send(self, send: Send, job: Job, plan: Plan, now: float) -> None:
        """Send a group of all recipients of a job by this coroutine."""
        job.tasks.start(send(Group(job, job.claim.pending, now), plan))
        Deferred.fromCoroutine(self._wait(job))

    @property
    def given_back(self) -> list[Job]:
        """The jobs that ended without a result."""
        return [job for job in self.ended if not job.results]

    @property
    def results(self) -> list[RecipientResult]:
        """The results of the jobs that ended, in the order of their ends."""
        return [result for job in self.ended for result in job.results.values()]

    def outcomes(self) -> list[type]:
        return [type(result.outcome) for result in self.results]

    async def _wait(self, job: Job) -> None:
        await job.tasks.all_ended()
        self.ended.append(job)
