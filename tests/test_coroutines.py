"""Coroutines on Deferreds: results, exceptions and Deferreds that have fired already."""

import pytest
from twisted.internet.defer import AlreadyCalledError, CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from mta.coroutines import PromptDeferred, start

each_kind = pytest.mark.parametrize("kind", [Deferred, PromptDeferred])


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


@each_kind
def test_a_coroutine_runs_up_to_its_first_wait_and_on_when_that_is_over(kind: "type[Deferred[str]]") -> None:
    first, second = kind(), kind()
    story = Story(first, second)
    first.callback("one")
    assert (story.results, story.ends) == (["one"], [])
    second.callback("two")
    assert (story.results, story.ends) == (["one", "two"], [None])


def test_deferreds_that_have_fired_are_not_waited_for() -> None:
    story = Story(succeed("one"), fail(KeyError()), succeed("two"))
    assert (story.results, story.ends) == (["one", "no such key", "two"], [None])


@each_kind
def test_an_exception_of_a_deferred_is_raised_where_it_is_awaited(kind: "type[Deferred[str]]") -> None:
    first, second = kind(), kind()
    story = Story(first, second)
    first.errback(KeyError())
    second.callback("two")
    assert (story.results, story.ends) == (["no such key", "two"], [None])


@each_kind
@pytest.mark.parametrize("fired", [True, False])
def test_an_exception_of_the_coroutine_ends_it_with_its_traceback(fired: bool, kind: "type[Deferred[str]]") -> None:
    one = kind()
    if fired:
        one.errback(ZeroDivisionError("a bug"))
    story = Story(one)
    if not fired:
        one.errback(ZeroDivisionError("a bug"))
    (end,) = story.ends
    assert end is not None
    assert end.check(ZeroDivisionError)
    assert "_run" in end.getTraceback()


@each_kind
def test_the_value_of_a_deferred_is_not_kept_after_it_was_awaited(kind: "type[Deferred[str]]") -> None:
    one = kind()
    Story(one)
    one.callback("one")
    later: list[object] = []
    one.addCallback(later.append)
    assert later == [None]


@each_kind
def test_callbacks_that_are_added_during_a_wait_run_after_the_coroutine(kind: "type[Deferred[str]]") -> None:
    one = kind()
    story = Story(one)
    seen: list[object] = []
    one.addCallback(lambda result: seen.append((result, list(story.results))))
    one.callback("one")
    assert seen == [(None, ["one"])]


@each_kind
def test_callbacks_that_were_added_before_a_wait_change_its_result(kind: "type[Deferred[str]]") -> None:
    one = kind()
    one.addCallback(str.upper)
    story = Story(one)
    one.callback("one")
    assert story.results == ["ONE"]


@each_kind
def test_a_deferred_that_has_fired_may_wait_for_the_deferred_of_a_callback(kind: "type[Deferred[str]]") -> None:
    one, inner = kind(), kind()
    one.addCallback(lambda _: inner)
    one.callback("one")
    story = Story(one)
    inner.callback("inner")
    assert (story.results, story.ends) == (["inner"], [None])


@each_kind
def test_two_coroutines_that_await_one_deferred_both_go_on(kind: "type[Deferred[str]]") -> None:
    one = kind()
    first, second = Story(one), Story(one)
    one.callback("one")
    assert (first.results, first.ends) == (["one"], [None])
    assert second.ends == [None]


@each_kind
def test_an_exception_at_the_end_of_a_coroutine_is_not_one_of_the_caller(kind: "type[Deferred[str]]") -> None:
    async def wait() -> None:
        await one

    def ended(_: Failure | None) -> None:
        raise ZeroDivisionError("a bug")

    one = kind()
    start(wait(), ended)
    one.callback("one")
    failures: list[Failure] = []
    one.addErrback(failures.append)
    assert [each.type for each in failures] == [ZeroDivisionError]


@each_kind
def test_a_deferred_fires_once(kind: "type[Deferred[str]]") -> None:
    one = kind()
    story = Story(one)
    one.callback("one")
    for fire in (one.callback, one.errback):
        with pytest.raises(AlreadyCalledError):
            fire(KeyError())  # type: ignore[arg-type]
    assert story.results == ["one"]


@each_kind
def test_a_wait_that_is_cancelled_ends_the_coroutine(kind: "type[Deferred[str]]") -> None:
    one = kind()
    story = Story(one)
    one.cancel()
    (end,) = story.ends
    assert end is not None
    assert end.check(CancelledError)


@each_kind
def test_a_failure_that_is_given_as_a_result_is_raised(kind: "type[Deferred[str]]") -> None:
    one = kind()
    story = Story(one)
    one.callback(Failure(KeyError()))
    assert story.results == ["no such key"]


def test_a_prompt_deferred_can_be_awaited_by_other_coroutines() -> None:
    async def wait() -> str:
        return await one

    one: Deferred[str] = PromptDeferred()
    results: list[str] = []
    Deferred.fromCoroutine(wait()).addCallback(results.append)
    one.callback("one")
    assert results == ["one"]
