"""Has the queue record what became of the mail in work, and asks again for what it cannot record.

What was forgotten instead would be delivered a second time.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.delivery.job import Job, RecipientResult
from mta.event_log.log import EventLog
from mta.message.body import FileBody
from mta.message.outcome import TryLater
from mta.queue.interface import BodyLost, Claim, QueueError, QueueId

#: Settles or releases; gives when the queue has something due, if it has.
Attempt = Callable[[], "Deferred[float | None]"]
#: Seconds after which an outcome that the queue could not record is offered again: the first, and the longest.
AGAIN, AGAIN_AT_MOST = 1.0, 60.0
_log = Logger()


class PendingSettlement:
    """What the queue could not do, and when it is asked again."""

    __slots__ = ("ask", "job", "newer", "pause", "timer")

    def __init__(self, ask: Attempt, job: Job | None) -> None:
        self.ask = ask
        #: The job that is settled; None for a release.
        self.job = job
        #: Seconds until the queue is asked again.
        self.pause = AGAIN
        #: None while the queue is asked.
        self.timer: IDelayedCall | None = None
        #: A claim that came while the queue was asked.
        self.newer: Claim | None = None


class SettlementRetrier:
    """Asks until the queue can."""

    def __init__(
        self,
        take: Callable[[Claim], None],
        *,
        due_at: Callable[[float], None],
        done: Callable[[], None],
        clock: IReactorTime,
        event_log: EventLog,
    ) -> None:
        """`take` gets a claim that is to be worked on after all; `due_at` hears when the queue has something due.

        `done` is called after each answer once `stop` was.
        """
        self._take = take
        self._due_at = due_at
        self._done = done
        self._clock = clock
        self._event_log = event_log
        self._stopping = False
        #: Settlements and releases on their way to the queue.
        self.asking = 0
        #: What the queue could not do, by message.
        self.unrecorded: dict[QueueId, PendingSettlement] = {}

    def record(self, ask: Attempt, id: QueueId, job: Job | None = None) -> None:
        """Settle a job, or release its claim (None); if the queue cannot, ask again."""
        self.asking += 1
        try:
            asked = ask()
        except Exception:  # noqa: BLE001 (a bug of ours must not make the stop wait for ever)
            asked = fail()
        asked.addCallbacks(self._recorded, self._not_recorded, errbackArgs=(ask, id, job))

    def renew(self, claim: Claim) -> bool:
        """Whether the work on this claim was done under an older one: then that is recorded under this, at once."""
        one = self.unrecorded.get(claim.id)
        if one is None:
            return False
        if one.timer is not None:
            one.timer.cancel()
        if one.job is None:
            # Nothing was done under the older one.
            del self.unrecorded[claim.id]
            return False
        if one.timer is None:
            one.newer = claim
        else:
            one.job.renew(claim)
            self._ask_again(claim.id, one)
        return True

    def stop(self) -> None:
        """Ask once more for what is unrecorded, and from now on but once."""
        self._stopping = True
        for id, one in list(self.unrecorded.items()):
            if one.timer is not None:
                one.timer.cancel()
                self._ask_again(id, one)

    def _recorded(self, due: float | None) -> None:
        self.asking -= 1
        if due is not None:
            self._due_at(due)
        if self._stopping:
            self._done()

    def _not_recorded(self, failure: Failure, ask: Attempt, id: QueueId, job: Job | None) -> None:
        if failure.check(QueueError) is None:
            _log.failure("what became of a message could not be put together", failure)
        if not self._stopping:
            then = "this is tried again until the queue can"
            self._event_log.trouble(f"the outcome could not be recorded: {failure.getErrorMessage()}; {then}", id)
        before = self.unrecorded.get(id)
        if before is not None and before.timer is not None:
            # Its lease was lost to the claim under which this was done.
            before.timer.cancel()
        one = self.unrecorded[id] = PendingSettlement(ask, job)
        self._failed_again(failure, id, one)

    def _ask_again(self, id: QueueId, one: PendingSettlement) -> None:
        one.timer = None
        self.asking += 1
        asked = maybeDeferred(one.ask)
        asked.addCallbacks(self._recorded_at_last, self._failed_again, callbackArgs=(id, one), errbackArgs=(id, one))

    def _recorded_at_last(self, due: float | None, id: QueueId, one: PendingSettlement) -> None:
        if self.unrecorded.get(id) is one:
            del self.unrecorded[id]
        if one.job is not None and one.newer is not None:
            if due is None:
                # The claim was there first: the settlement came under a lease that was lost.
                one.job.renew(one.newer)
                self.record(one.ask, id, one.job)
            else:
                self._take(one.newer)
        self._recorded(due)

    def _failed_again(self, failure: Failure, id: QueueId, one: PendingSettlement) -> None:
        if self.unrecorded.get(id) is one:
            self._put_off(failure, id, one)
        self._recorded(None)

    def _put_off(self, failure: Failure, id: QueueId, one: PendingSettlement) -> None:
        job, newer = one.job, one.newer
        if job is not None and newer is not None:
            job.renew(newer)
            one.newer = None
        why = failure.getErrorMessage()
        if job is not None and failure.check(BodyLost) and defer_lost_bodies(job.results, why):
            self._ask_again(id, one)
        elif self._stopping:
            del self.unrecorded[id]
            self._event_log.trouble(f"the outcome could not be recorded: {why}; the message will be tried again", id)
        else:
            one.timer = self._clock.callLater(one.pause, self._ask_again, id, one)
            one.pause = min(one.pause * 2, AGAIN_AT_MOST)


def defer_lost_bodies(results: dict[int, RecipientResult], why: str) -> bool:
    """Put the recipients off whose mail is in a file that cannot be added any more; return whether there are any."""
    lost = [index for index, result in results.items() if any(isinstance(mail.body, FileBody) for mail in result.mails)]
    for index in lost:
        results[index] = RecipientResult(TryLater(f"cannot pass on the mail: {why}", status="4.3.0"))
    return bool(lost)
