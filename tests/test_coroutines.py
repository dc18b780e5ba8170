"""Coroutines on Deferreds: results, exceptions and Deferreds that have fired already."""

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from mta.coroutines import start


class Story:
    """A coroutine that notes the results of the Deferreds that it awaits, and its end."""

    def __init__(self, *awaited: "Deferred[str]") -> None:
        self.results: list[str] = []
        self.ends: list[Failure | None] = []
        start(self._run(awaited), self.ends.append)

    async def _run(self, awaited: "tuple[Deferred[str], ...]") -> None:
        for one in awaited:
            try:
                self.results.append(await one)
            except KeyError:
                self.results.append("no such key")


def test_a_coroutine_runs_up_to_its_first_wait_and_on_when_that_is_over() -> None:
    first, second = Deferred[str](), Deferred[str]()
    story = Story(first, second)
    first.callback("one")
    assert (story.results, story.ends) == (["one"], [])
    second.callback("two")
    assert (story.results, story.ends) == (["one", "two"], [None])


def test_deferreds_that_have_fired_are_not_waited_for() -> None:
    story = Story(succeed("one"), fail(KeyError()), succeed("two"))
    assert (story.results, story.ends) == (["one", "no such key", "two"], [None])


def test_an_exception_of_a_deferred_is_raised_where_it_is_awaited() -> None:
    first, second = Deferred[str](), Deferred[str]()
    story = Story(first, second)
    first.errback(KeyError())
    second.callback("two")
    assert (story.results, story.ends) == (["no such key", "two"], [None])


@pytest.mark.parametrize("fired", [True, False])
def test_an_exception_of_the_coroutine_ends_it_with_its_traceback(fired: bool) -> None:
    one = Deferred[str]()
    if fired:
        one.errback(ZeroDivisionError("a bug"))
    story = Story(one)
    if not fired:
        one.errback(ZeroDivisionError("a bug"))
    (end,) = story.ends
    assert end is not None
    assert end.check(ZeroDivisionError)
    assert "_run" in end.getTraceback()


def test_the_value_of_a_deferred_is_not_kept_after_it_was_awaited() -> None:
    one = Deferred[str]()
    Story(one)
    one.callback("one")
    later: list[object] = []
    one.addCallback(later.append)
    assert later == [None]
