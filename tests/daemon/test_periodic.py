"""Periodic work, its intervals and its errors."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.daemon.periodic import PeriodicService


class RoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.times: list[float] = []
        self.answers: list[Deferred[float | None] | None] = []
        self.rounds = PeriodicService(self.work, 5.0, self.clock)
        self.rounds.startService()

    def work(self) -> Deferred[float | None] | None:
        self.times.append(self.clock.seconds())
        return self.answers.pop(0) if self.answers else None

    def test_work_comes_again_after_each_wait(self) -> None:
        self.clock.pump([5.0] * 3)
        assert self.times == [5.0, 10.0, 15.0]

    def test_a_round_does_not_begin_before_the_last_one_has_ended(self) -> None:
        slow: Deferred[float | None] = Deferred()
        self.answers = [slow]
        self.clock.pump([5.0] * 3)
        assert self.times == [5.0]
        slow.callback(None)
        self.clock.advance(5)
        assert self.times == [5.0, 20.0]

    def test_work_may_ask_for_another_wait(self) -> None:
        slow: Deferred[float | None] = Deferred()
        self.answers = [slow]
        self.clock.advance(5)
        slow.callback(1.0)
        self.clock.pump([1.0, 5.0])
        assert self.times == [5.0, 6.0, 11.0]

    def test_work_that_raises_is_logged_and_comes_again(self) -> None:
        failing: Deferred[float | None] = Deferred()
        self.answers = [failing]
        self.clock.advance(5)
        failing.errback(ZeroDivisionError())
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        self.clock.advance(5)
        assert self.times == [5.0, 10.0]

    def test_after_the_stop_there_is_no_round_even_if_one_was_under_way(self) -> None:
        slow: Deferred[float | None] = Deferred()
        self.answers = [slow]
        self.clock.advance(5)
        self.rounds.stopService()
        slow.callback(None)
        assert self.clock.getDelayedCalls() == []

    def test_the_stop_ends_the_wait(self) -> None:
        self.rounds.stopService()
        assert self.clock.getDelayedCalls() == []
