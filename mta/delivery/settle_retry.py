"""Writes the results of deliveries to the queue, and tries again when the queue fails.

A result that is never written would cause a duplicate delivery.
"""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.delivery.context import DeliveryContext
from mta.delivery.job import Job, RecipientResult
from mta.message.body import FileBody
from mta.message.outcome import TryLater
from mta.queue.interface import BodyLost, Claim, Queue, QueueError, QueueId

#: One attempt to write; the result is the time when the queue has a message due, if it has.
Attempt = Callable[[], Awaitable[float | None]]
#: Seconds until a failed attempt is repeated: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
_log = Logger()


class PendingSettlement:
    """A settlement or release that the queue has not written yet."""

    __slots__ = ("_pause", "_waiter", "failed", "job", "newer", "withdrawn")

    def __init__(self, job: Job | None) -> None:
        #: The job that is settled; None for a release.
        self.job = job
        #: A claim of the same message that came during an attempt.
        self.newer: Claim | None = None
        #: Whether an attempt has failed.
        self.failed = False
        #: Whether no further attempt is to be made.
        self.withdrawn = False
        self._pause = FIRST_PAUSE
        self._waiter: Deferred[None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether the next attempt is waited for; otherwise one is running."""
        return self._waiter is not None

    async def wait(self, clock: IReactorTime) -> None:
        """Wait until the next attempt is due, longer each time, or until `wake`."""
        timer = clock.callLater(self._pause, self.wake)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._waiter = Deferred()
        await self._waiter
        if timer.active():
            timer.cancel()

    def wake(self) -> None:
        """Make the next attempt now, unless one is running."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def withdraw(self) -> None:
        """Make no further attempt."""
        self.withdrawn = True
        self.wake()

    def use_newer_claim(self) -> bool:
        """Go on under the claim that came meanwhile; return whether there is one."""
        newer, self.newer = self.newer, None
        if self.job is None or newer is None:
            return False
        self.job.renew(newer)
        return True


class SettlementRetrier:
    """Settles and releases until the queue has written it."""

    def __init__(
        self,
        queue: Queue,
        settle: Callable[[Job], Awaitable[float | None]],
        due_at: Callable[[float], None],
        context: DeliveryContext,
    ) -> None:
        """`settle` is as in a Settler; `due_at` is told when the queue has a message due, in wall-clock seconds."""
        self._queue = queue
        self._settle = settle
        self._due_at = due_at
        self._clock = context.clock
        self._event_log = context.event_log
        self._stopping = False
        #: The settlements and releases that the queue has not written yet, by message.
        self.pending: dict[QueueId, PendingSettlement] = {}

    async def settle(self, job: Job) -> Claim | None:
        """Write the results of a job and give its claim back.

        Return a newer claim if one came meanwhile and the message still has recipients that wait.
        """
        return await self._write(job.claim.id, lambda: self._settle(job), job)

    async def release(self, claim: Claim, due: float) -> None:
        """Give a claim back untouched, to be due then."""

        async def release() -> float:
            await self._queue.release(claim, due)
            return due

        await self._write(claim.id, release, None)

    def renew(self, claim: Claim) -> bool:
        """Whether the work on this message was done under an older claim; it is then settled under this one at once."""
        pending = self.pending.get(claim.id)
        if pending is None:
            return False
        if pending.job is None:
            # Under the older claim no recipient was tried.
            del self.pending[claim.id]
            pending.withdraw()
            return False
        pending.newer = claim
        if pending.waiting:
            pending.use_newer_claim()
            pending.wake()
        return True

    def stop(self) -> None:
        """Make one more attempt for all that is pending, and from now on only one."""
        self._stopping = True
        for pending in list(self.pending.values()):
            pending.wake()

    async def _write(self, id: QueueId, attempt: Attempt, job: Job | None) -> Claim | None:
        """Write, and try again until it succeeds or the relay stops; return a newer claim that work must begin on.

        Such a claim may come during the first attempt already. When the wall clock goes forward by more than a lease,
        the queue may give the message out again before the job has left the work, and answer afterwards.
        """
        if (before := self.pending.get(id)) is not None:
            # Its lease was lost to the claim under which this was done.
            before.withdraw()
        pending = self.pending[id] = PendingSettlement(job)
        while True:
            try:
                due = await attempt()
            except Exception:  # noqa: BLE001 (after a bug in the relay it is tried again as well)
                if not await self._may_retry(id, pending, Failure()):
                    break
                continue
            if due is not None:
                self._due_at(due)
            elif pending.use_newer_claim():
                # The claim was there first, so that the attempt was made under a lease that was lost.
                continue
            break
        if self.pending.get(id) is pending:
            del self.pending[id]
        return pending.newer

    async def _may_retry(self, id: QueueId, pending: PendingSettlement, failure: Failure) -> bool:
        """Log the first failure, and wait until the next attempt; return False if there is to be none."""
        text = failure.getErrorMessage()
        if not pending.failed:
            pending.failed = True
            self._tell(id, failure)
        pending.use_newer_claim()
        if pending.withdrawn:
            return False
        if pending.job is not None and failure.check(BodyLost) and defer_lost_bodies(pending.job.results, text):
            return True
        if self._stopping:
            self._event_log.trouble(f"the outcome could not be recorded: {text}; the message will be tried again", id)
            return False
        await pending.wait(self._clock)
        return not pending.withdrawn

    def _tell(self, id: QueueId, failure: Failure) -> None:
        if failure.check(QueueError) is None:
            _log.failure("the results of a message could not be written", failure)
        if not self._stopping:
            then = "this is tried again until the queue can"
            self._event_log.trouble(f"the outcome could not be recorded: {failure.getErrorMessage()}; {then}", id)


def defer_lost_bodies(results: dict[int, RecipientResult], why: str) -> bool:
    """Put the recipients off whose mail is in a file that cannot be added any more; return whether there are any."""
    lost = [index for index, result in results.items() if any(isinstance(mail.body, FileBody) for mail in result.mails)]
    for index in lost:
        results[index] = RecipientResult(TryLater(f"cannot pass on the mail: {why}", status="4.3.0"))
    return bool(lost)
