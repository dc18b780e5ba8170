"""The questions of the page to the relay: their bounds, and the first view that browsers share."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mta.admin.page.asking import FRESH, HURRY, MAX_ASKED, MAX_WAITING, PATIENCE, STALE, Asking, deferred
from mta.admin.state import StateError, TooMany
from tests.admin.page.conftest import RelayUnderTest
from tests.queue.messages import NOW


class SlowState:
    """A relay whose waiting messages are counted when the test says so."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self.asked = 0
        self.late: Deferred[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    async def about(self) -> Any:
        self.asked += 1
        if self.late is not None:
            await self.late
        return await self._state.about()


class Fixture:
    def __init__(self, relay: RelayUnderTest) -> None:
        self.clock = Clock()
        self.state = SlowState(relay.state)
        self.asking = Asking(self.state, self.clock, lambda: NOW + self.clock.seconds())  # type: ignore[arg-type]

    def overview(self) -> list[Any]:
        results: list[Any] = []
        deferred(self.asking.overview()).addBoth(results.append)
        return results


@pytest.fixture
def it(relay: RelayUnderTest) -> Fixture:
    return Fixture(relay)


def test_browsers_share_a_first_view_for_some_seconds(it: Fixture) -> None:
    first, second = it.overview(), it.overview()
    assert first == second
    assert it.state.asked == 1
    it.clock.advance(FRESH)
    assert it.overview()[0].now == NOW + FRESH
    assert it.state.asked == 2


def test_browsers_that_come_at_the_same_time_wait_for_one_answer(it: Fixture) -> None:
    it.state.late = late = Deferred()
    first, second = it.overview(), it.overview()
    assert first == second == []
    late.callback(None)
    assert first == second != []
    assert it.state.asked == 1


def test_an_older_view_is_shown_while_the_queue_is_busy(it: Fixture) -> None:
    (before,) = it.overview()
    it.clock.advance(FRESH + 1)
    it.state.late = late = Deferred()
    shown = it.overview()
    assert shown == []
    it.clock.advance(HURRY)
    assert shown == [before]
    late.callback(None)
    assert it.overview()[0].now > before.now


def test_a_view_that_is_too_old_is_not_shown(it: Fixture) -> None:
    it.overview()
    it.clock.advance(FRESH + STALE + 1)
    it.state.late = Deferred()
    shown = it.overview()
    it.clock.advance(HURRY)
    assert shown == []


def test_a_question_that_takes_too_long_is_given_up(it: Fixture) -> None:
    results: list[Any] = []
    deferred(it.asking.bounded(Deferred)).addBoth(results.append)
    it.clock.advance(PATIENCE)
    assert results[0].check(StateError)
    assert "no answer within 15 s" in str(results[0].value)


def test_questions_beyond_a_bound_are_refused(it: Fixture) -> None:
    begun: list[Deferred[None]] = []

    def ask() -> Deferred[None]:
        begun.append(Deferred())
        return begun[-1]

    results: list[Any] = []
    for _ in range(MAX_WAITING + 1):
        deferred(it.asking.bounded(ask)).addBoth(results.append)
    assert len(begun) == MAX_ASKED
    assert [each.check(TooMany) for each in results] == [TooMany]
    begun[0].callback(None)
    assert len(begun) == MAX_ASKED + 1
