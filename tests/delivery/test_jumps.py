"""The wall clock is set while mail waits: nothing is given up untried, and nothing waits for the old time to come."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import mail
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.window import own_windows, window_limits
from mta.delivery.local.interface import LocalPart
from mta.delivery.remote.interface import DeliveryRequest
from mta.delivery.reports import DsnReporter
from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.event_log.log import EventLog
from mta.message.outcome import Outcome, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import (
    Action,
    Claim,
    DeferralFilter,
    NewMail,
    Pending,
    Query,
    Settlement,
    Status,
)
from mta.queue.memory import MemoryQueue
from mta.retry_schedule import RetrySchedule, RetryStep, RetryTerms, Shape
from mta.rules.book import CurrentRules
from tests.fakes.connector import FakeConnector, delivers
from tests.fakes.router import FakeRouter

T = TypeVar("T")
NOW = 1_000_000.0
DAY = 86400.0
YEAR = 366 * DAY
SCHEDULE = RetrySchedule((RetryStep(Shape.FIXED, 4 * DAY, 900.0),))
RETRY = RetryPolicy(RetryTerms(SCHEDULE), CurrentRules())
LATER = TryLater("451 4.3.0 later", "mx.test[192.0.2.1]:25", "4.3.0")
DOWN = TryLater("cannot connect: refused", "mx.test[192.0.2.1]:25", "4.4.1")


def refuses_for_now(request: DeliveryRequest) -> dict[int, Outcome]:
    return {pending.index: LATER for pending in request.recipients}


class LateAnswers(MemoryQueue):
    """Gives the answers to claims and settlements when the test says so, in their order, as a queue on disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.late = False
        self.answers: list[Callable[[], None]] = []

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> Deferred[list[Claim]]:
        return self.later(super().claim(now, limit, lease, deferral_filter))

    def settle(self, settlement: Settlement) -> Deferred[bool]:
        return self.later(super().settle(settlement))

    def later(self, done: Deferred[T]) -> Deferred[T]:
        if not self.late:
            return done
        answer: Deferred[T] = Deferred()
        self.answers.append(lambda: done.chainDeferred(answer))
        return answer

    def answer(self) -> None:
        self.late = False
        while self.answers:
            self.answers.pop(0)()


class Nowhere:
    """No mail is local here."""

    def deliver(self, claim: Claim, recipients: Sequence[Pending]) -> list[LocalPart]:
        raise AssertionError


class JumpTests(SynchronousTestCase):
    """The reactor's clock only goes on; the wall's is `ahead` of it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.ahead = 0.0
        self.lines: list[str] = []
        event_log = EventLog(self.lines.append, self.wall_clock)
        self.queue = LateAnswers()
        self.connector = FakeConnector()
        reporter = DsnReporter("relay.test", IdSource(tag=3), RETRY)
        context = DeliveryContext(self.clock, self.wall_clock, event_log)
        self.service = DeliveryService(
            self.queue,
            FakeRouter(),
            self.connector,
            Nowhere(),
            Settler(self.queue, reporter, RETRY, context),
            context=context,
            windows=own_windows(window_limits(SCHEDULE)),
        )
        self.service.startService()
        self.clock.advance(0)

    def wall_clock(self) -> float:
        return self.clock.seconds() + self.ahead

    def hand_over(self, recipient: str) -> NewMail:
        new = mail(recipient)
        self.successResultOf(self.queue.add(new, self.wall_clock()))
        self.look()
        return new

    def look(self) -> None:
        self.service.wake()
        self.clock.advance(0)

    def statuses(self, new: NewMail) -> list[Status]:
        (entry,) = self.successResultOf(self.queue.find(Query(ids=[new.id], finished=True)))
        return [recipient.status for recipient in entry.recipients]

    def refused_for_now(self) -> None:
        self.connector.answer = refuses_for_now

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock, and have the relay look around as the watch over the clock has it."""
        self.ahead += seconds
        self.look()

    def test_a_year_ahead_mail_that_waits_is_tried_once_more_and_delivered_if_it_is_taken(self) -> None:
        self.refused_for_now()
        new = self.hand_over("bob@b.test")
        self.clock.advance(900)
        self.connector.answer = delivers
        self.set_clock(YEAR)
        assert self.statuses(new) == [Status.DELIVERED]
        assert not any(" failed " in line for line in self.lines)

    def test_a_year_ahead_mail_is_given_up_only_by_an_attempt_that_came_after(self) -> None:
        self.refused_for_now()
        new = self.hand_over("bob@b.test")
        self.clock.advance(900)
        tried = len(self.connector.requests)
        self.set_clock(YEAR)
        # The attempt, and the report of it.
        assert len(self.connector.requests) == tried + 2
        assert self.statuses(new) == [Status.FAILED]

    def test_a_year_ahead_one_refusal_is_no_reason_to_give_up_mail_that_was_not_tried_before(self) -> None:
        self.refused_for_now()
        untried = mail("bob@b.test")
        self.successResultOf(self.queue.add(untried, self.wall_clock(), due=self.wall_clock() + 100))
        self.set_clock(YEAR)
        assert [request.id for request in self.connector.requests].count(untried.id) == 1
        assert self.statuses(untried) == [Status.WAITING]
        self.clock.advance(900)
        assert self.statuses(untried) == [Status.FAILED]

    def test_a_year_ahead_a_host_that_is_down_is_asked_again_before_its_mail_is_given_up(self) -> None:
        self.connector.down = DOWN
        mails = [self.hand_over("bob@b.test") for _ in range(5)]
        self.clock.advance(30)
        opened = len(self.connector.plans)
        self.connector.down = None
        self.set_clock(YEAR)
        assert len(self.connector.plans) > opened
        assert [self.statuses(new) for new in mails] == [[Status.DELIVERED]] * 5

    def test_a_day_ahead_mail_that_is_being_recorded_as_delivered_is_not_sent_again(self) -> None:
        self.connector.held = True
        new = self.hand_over("bob@b.test")
        (connection,) = self.connector.connections
        self.queue.late = True
        # The lease is over by this clock, and the queue gives the message out again.
        self.set_clock(DAY)
        connection.answer()
        self.queue.answer()
        self.clock.advance(1)
        assert len(self.connector.requests) == 1
        assert self.statuses(new) == [Status.DELIVERED]

    def test_a_day_back_what_is_made_due_is_tried_at_once_though_its_host_was_down(self) -> None:
        self.connector.down = DOWN
        new = self.hand_over("bob@b.test")
        self.connector.down = None
        self.ahead -= DAY
        self.successResultOf(self.queue.apply(Action.RETRY, None, self.wall_clock()))
        self.set_clock(0)
        assert self.statuses(new) == [Status.DELIVERED]

    def test_a_day_back_mail_from_the_future_is_tried_by_the_schedule_and_not_for_ever_at_once(self) -> None:
        self.refused_for_now()
        new = self.hand_over("bob@b.test")
        self.ahead -= DAY
        self.successResultOf(self.queue.apply(Action.RETRY, None, self.wall_clock()))
        self.set_clock(0)
        tried = len(self.connector.requests)
        self.clock.pump([60.0] * 14)
        assert len(self.connector.requests) == tried
        self.clock.pump([60.0] * 2)
        assert len(self.connector.requests) == tried + 1
        assert self.statuses(new) == [Status.WAITING]
