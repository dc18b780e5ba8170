from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.routing.cache import Shared, TtlCache


class TestTtlCache(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cache: TtlCache[str, int] = TtlCache(2, self.clock.seconds)

    def test_a_value_is_good_until_its_time_is_over(self) -> None:
        self.cache.put("a", 1, 10)
        self.clock.advance(9.5)
        assert self.cache.get("a") == 1
        assert self.cache.remaining("a") == 0.5
        self.clock.advance(0.5)
        assert self.cache.get("a") is None
        assert self.cache.remaining("a") == 0
        assert len(self.cache) == 0

    def test_the_oldest_makes_room_and_a_renewed_one_is_not_the_oldest(self) -> None:
        self.cache.put("a", 1, 10)
        self.cache.put("b", 2, 10)
        self.cache.put("a", 3, 10)
        self.cache.put("c", 4, 10)
        assert [self.cache.get(key) for key in "abc"] == [3, None, 4]


class TestShared(SynchronousTestCase):
    def setUp(self) -> None:
        self.shared: Shared[str, int] = Shared()
        self.source: Deferred[int] = Deferred()
        self.asked = 0

    def _ask(self) -> "Deferred[int]":
        def question() -> "Deferred[int]":
            self.asked += 1
            return self.source

        return self.shared.ask("key", question)

    def test_all_who_ask_get_the_one_answer(self) -> None:
        asking = [self._ask() for _ in range(3)]
        self.source.callback(7)
        assert [self.successResultOf(answer) for answer in asking] == [7, 7, 7]
        assert self.asked == 1

    def test_a_later_question_is_asked_anew(self) -> None:
        self.source.callback(7)
        self.successResultOf(self._ask())
        self.source = Deferred()
        self.assertNoResult(self._ask())
        assert self.asked == 2

    def test_an_error_reaches_all(self) -> None:
        asking = [self._ask(), self._ask()]
        self.source.errback(ValueError("bug"))
        for answer in asking:
            self.failureResultOf(answer, ValueError)

    def test_one_who_gives_up_leaves_the_others_waiting(self) -> None:
        first, second = self._ask(), self._ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.source.callback(7)
        assert self.successResultOf(second) == 7
