"""A settlement that the queue cannot write is offered again, under whichever claim is the newest."""

from dataclasses import replace

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import claim, mail
from mta.delivery.context import DeliveryContext
from mta.delivery.job import Job, RecipientResult
from mta.delivery.settle_retry import FIRST_PAUSE, SettlementRetrier
from mta.event_log.log import EventLog
from mta.message.body import FileBody
from mta.message.outcome import Delivered, TryLater
from mta.queue.interface import BodyLost, Claim, QueueError

BROKEN = QueueError("disk on fire")


class Answers:
    """The queue, the settler and the claimer: answers in turn, and keeps the claims that it was asked with."""

    def __init__(self) -> None:
        self.answers: list[Deferred[float | None]] = []
        self.asked: list[Claim] = []
        self.dues: list[float] = []

    def settle(self, job: Job) -> Deferred[float | None]:
        self.asked.append(job.claim)
        return self.answers.pop(0)

    def release(self, claim: Claim, due: float) -> Deferred[float | None]:  # noqa: ARG002
        self.asked.append(claim)
        return self.answers.pop(0)

    def due_at(self, due: float) -> None:
        self.dues.append(due)


class SettlementRetrierTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.queue = Answers()
        context = DeliveryContext(self.clock, self.clock.seconds, EventLog(self.lines.append, self.clock.seconds))
        self.retrier = SettlementRetrier(self.queue, self.queue.settle, self.queue.due_at, context)  # type: ignore[arg-type]
        self.claim = claim("bob@b.test")
        self.newer = replace(self.claim, token=self.claim.token + 1)
        self.job = Job(self.claim, 0.0)

    def settle(self, *answers: Deferred[float | None]) -> Deferred[Claim | None]:
        self.queue.answers += answers
        return Deferred.fromCoroutine(self.retrier.settle(self.job))

    def release(self, *answers: Deferred[float | None]) -> Deferred[None]:
        self.queue.answers += answers
        return Deferred.fromCoroutine(self.retrier.release(self.claim, 5.0))

    def test_a_settlement_tells_when_the_queue_has_a_message_due(self) -> None:
        assert self.successResultOf(self.settle(succeed(5.0))) is None
        assert (self.queue.dues, self.retrier.pending) == ([5.0], {})

    def test_the_queue_is_asked_again_after_longer_and_longer_pauses(self) -> None:
        self.settle(*(fail(BROKEN) for _ in range(10)))
        self.clock.pump([1.0] * 300)
        # At 0, 1, 3, 7, 15, 31, 63, 123, 183 and 243 seconds.
        assert len(self.queue.asked) == 10
        assert len(self.lines) == 1

    def test_a_newer_claim_of_a_message_that_was_worked_on_is_settled_at_once(self) -> None:
        settling = self.settle(fail(BROKEN), succeed(None))
        assert self.retrier.renew(self.newer)
        assert self.successResultOf(settling) is None
        assert self.queue.asked == [self.claim, self.newer]
        assert (self.retrier.pending, self.clock.getDelayedCalls()) == ({}, [])

    def test_a_newer_claim_of_a_message_that_was_to_be_released_is_worked_on(self) -> None:
        releasing = self.release(fail(BROKEN))
        assert not self.retrier.renew(self.newer)
        self.successResultOf(releasing)
        assert (self.retrier.pending, self.clock.getDelayedCalls()) == ({}, [])

    def test_a_release_under_way_ends_with_its_answer_when_a_newer_claim_came(self) -> None:
        for ended in (succeed(None), fail(BROKEN)):
            answer: Deferred[float | None] = Deferred()
            releasing = self.release(fail(BROKEN), answer)
            self.clock.advance(FIRST_PAUSE)
            assert not self.retrier.renew(self.newer)
            ended.chainDeferred(answer)
            self.successResultOf(releasing)
            assert (self.retrier.pending, self.clock.getDelayedCalls()) == ({}, [])

    def test_a_claim_of_another_message_is_not_its_business(self) -> None:
        self.settle(fail(BROKEN))
        assert not self.retrier.renew(claim("eve@b.test"))

    def test_a_lease_that_is_lost_while_the_queue_is_asked_is_settled_under_the_newer_claim(self) -> None:
        answer: Deferred[float | None] = Deferred()
        settling = self.settle(fail(BROKEN), answer, succeed(None))
        self.clock.advance(FIRST_PAUSE)
        assert self.retrier.renew(self.newer)
        answer.callback(None)
        assert self.queue.asked == [self.claim, self.claim, self.newer]
        assert self.successResultOf(settling) is None

    def test_a_lease_that_is_lost_during_the_first_attempt_is_settled_under_the_newer_claim(self) -> None:
        answer: Deferred[float | None] = Deferred()
        settling = self.settle(answer, succeed(None))
        assert self.retrier.renew(self.newer)
        answer.callback(None)
        assert self.queue.asked == [self.claim, self.newer]
        assert self.successResultOf(settling) is None
        assert (self.retrier.pending, self.lines) == ({}, [])

    def test_a_newer_claim_of_a_message_that_is_being_released_is_worked_on(self) -> None:
        answer: Deferred[float | None] = Deferred()
        releasing = self.release(answer)
        assert not self.retrier.renew(self.newer)
        answer.callback(None)
        self.successResultOf(releasing)
        assert self.retrier.pending == {}

    def test_a_newer_claim_of_a_message_that_was_settled_in_time_is_worked_on(self) -> None:
        answer: Deferred[float | None] = Deferred()
        settling = self.settle(fail(BROKEN), answer)
        self.clock.advance(FIRST_PAUSE)
        assert self.retrier.renew(self.newer)
        answer.callback(7.0)
        assert self.successResultOf(settling) == self.newer
        assert self.retrier.pending == {}

    def test_a_queue_that_fails_once_more_is_asked_under_the_newer_claim(self) -> None:
        answer: Deferred[float | None] = Deferred()
        self.settle(fail(BROKEN), answer, succeed(None))
        self.clock.advance(FIRST_PAUSE)
        assert self.retrier.renew(self.newer)
        answer.errback(BROKEN)
        self.clock.advance(2 * FIRST_PAUSE)
        assert self.queue.asked == [self.claim, self.claim, self.newer]

    def test_a_bug_is_logged_and_does_not_hold_up_the_stop(self) -> None:
        settling = self.settle()
        self.assertNoResult(settling)
        assert len(self.flushLoggedErrors(IndexError)) == 1
        self.retrier.stop()
        self.successResultOf(settling)
        assert (self.retrier.pending, self.clock.getDelayedCalls()) == ({}, [])

    def test_a_copy_that_is_lost_puts_its_recipient_off_and_no_other(self) -> None:
        lost = mail("dan@b.test")
        lost = replace(lost, body=FileBody(self.mktemp(), 5))
        passed, delivered = (
            RecipientResult(Delivered("passed on", ""), mails=(lost,)),
            RecipientResult(Delivered("took it", "")),
        )
        self.job.results = {0: passed, 1: delivered}
        self.settle(fail(BodyLost("the body is gone")), succeed(None))
        assert len(self.queue.asked) == 2
        outcome = self.job.results[0].outcome
        assert isinstance(outcome, TryLater)
        assert "the body is gone" in outcome.text
        assert (self.job.results[0].mails, self.job.results[1]) == ((), delivered)
