from dataclasses import replace

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import claim, mail
from mta.delivery.job import Job, RecipientResult
from mta.delivery.settle_retry import AGAIN, SettlementRetrier
from mta.event_log.log import EventLog
from mta.message.body import FileBody
from mta.message.outcome import Delivered, TryLater
from mta.queue.interface import BodyLost, Claim, QueueError

BROKEN = QueueError("disk on fire")


class RecorderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.taken: list[Claim] = []
        self.dues: list[float] = []
        self.done: list[None] = []
        self.recorder = SettlementRetrier(
            self.taken.append,
            due_at=self.dues.append,
            done=lambda: self.done.append(None),
            clock=self.clock,
            event_log=EventLog(self.lines.append, self.clock.seconds),
        )
        self.claim = claim("bob@b.test")
        self.newer = replace(self.claim, token=self.claim.token + 1)
        self.job = Job(self.claim, 0.0)
        # What the queue was asked: under which claim, and what it says to that.
        self.asked: list[Claim] = []
        self.answers: list[Deferred[float | None]] = []

    def ask(self) -> Deferred[float | None]:
        self.asked.append(self.job.claim)
        return self.answers.pop(0)

    def record(self, *answers: Deferred[float | None]) -> None:
        self.answers += answers
        self.recorder.record(self.ask, self.claim.id, self.job)

    def test_what_is_recorded_tells_when_the_queue_has_something_due(self) -> None:
        self.record(succeed(5.0))
        assert (self.dues, self.recorder.asking, self.recorder.unrecorded) == ([5.0], 0, {})

    def test_the_queue_is_asked_again_after_longer_and_longer_pauses(self) -> None:
        self.record(*(fail(BROKEN) for _ in range(10)))
        self.clock.pump([1.0] * 300)
        # At 0, 1, 3, 7, 15, 31, 63, 123, 183 and 243 seconds.
        assert len(self.asked) == 10
        assert len(self.lines) == 1

    def test_a_newer_claim_of_what_was_done_is_settled_at_once(self) -> None:
        self.record(fail(BROKEN), succeed(None))
        assert self.recorder.renew(self.newer)
        assert self.asked == [self.claim, self.newer]
        assert (self.recorder.unrecorded, self.clock.getDelayedCalls()) == ({}, [])

    def test_a_newer_claim_of_what_was_to_be_released_is_worked_on(self) -> None:
        self.answers = [fail(BROKEN)]
        self.recorder.record(self.ask, self.claim.id)
        assert not self.recorder.renew(self.newer)
        assert (self.recorder.unrecorded, self.clock.getDelayedCalls()) == ({}, [])

    def test_a_claim_of_something_else_is_none_of_its_business(self) -> None:
        self.record(fail(BROKEN))
        assert not self.recorder.renew(claim("eve@b.test"))

    def test_a_lease_that_is_lost_while_the_queue_is_asked_is_settled_under_the_newer_claim(self) -> None:
        answer: Deferred[float | None] = Deferred()
        self.record(fail(BROKEN), answer, succeed(None))
        self.clock.advance(AGAIN)
        assert self.recorder.renew(self.newer)
        answer.callback(None)
        assert self.asked == [self.claim, self.claim, self.newer]
        assert self.taken == []

    def test_a_newer_claim_of_what_was_settled_in_time_is_worked_on(self) -> None:
        answer: Deferred[float | None] = Deferred()
        self.record(fail(BROKEN), answer)
        self.clock.advance(AGAIN)
        assert self.recorder.renew(self.newer)
        answer.callback(7.0)
        assert (self.taken, self.recorder.unrecorded) == ([self.newer], {})

    def test_a_queue_that_fails_once_more_is_asked_under_the_newer_claim(self) -> None:
        answer: Deferred[float | None] = Deferred()
        self.record(fail(BROKEN), answer, succeed(None))
        self.clock.advance(AGAIN)
        assert self.recorder.renew(self.newer)
        answer.errback(BROKEN)
        self.clock.advance(2 * AGAIN)
        assert self.asked == [self.claim, self.claim, self.newer]

    def test_a_fault_of_ours_is_told_and_does_not_hold_up_the_stop(self) -> None:
        self.recorder.record(lambda: 1 / 0, self.claim.id, self.job)
        assert self.recorder.asking == 0
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        self.recorder.stop()
        assert (self.recorder.asking, self.recorder.unrecorded, self.clock.getDelayedCalls()) == (0, {}, [])
        assert self.done

    def test_a_copy_that_is_lost_puts_its_recipient_off_and_no_other(self) -> None:
        lost = mail("dan@b.test")
        lost = replace(lost, body=FileBody(self.mktemp(), 5))
        passed, delivered = (
            RecipientResult(Delivered("passed on", ""), mails=(lost,)),
            RecipientResult(Delivered("took it", "")),
        )
        self.job.results = {0: passed, 1: delivered}
        self.record(fail(BodyLost("the body is gone")), succeed(None))
        assert len(self.asked) == 2
        outcome = self.job.results[0].outcome
        assert isinstance(outcome, TryLater)
        assert "the body is gone" in outcome.text
        assert (self.job.results[0].mails, self.job.results[1]) == ((), delivered)
