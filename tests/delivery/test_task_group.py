"""A task group runs coroutines side by side and waits for them."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.delivery.task_group import TaskGroup


async def wait_for(deferred: "Deferred[None]") -> None:
    await deferred


async def fail_at_once() -> None:
    raise ZeroDivisionError("oops")


class TaskGroupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.group = TaskGroup()
        self.first: Deferred[None] = Deferred()
        self.second: Deferred[None] = Deferred()

    def next_end(self) -> "Deferred[bool]":
        return Deferred.fromCoroutine(self.group.next_end())

    def start_both(self) -> None:
        self.group.start(wait_for(self.first))
        self.group.start(wait_for(self.second))

    def test_without_tasks_there_is_no_wait(self) -> None:
        assert self.successResultOf(self.next_end()) is False

    def test_each_end_is_told_with_whether_others_are_running(self) -> None:
        self.start_both()
        waiting = self.next_end()
        self.assertNoResult(waiting)
        self.first.callback(None)
        assert self.successResultOf(waiting) is True
        waiting = self.next_end()
        self.assertNoResult(waiting)
        self.second.callback(None)
        assert self.successResultOf(waiting) is False

    def test_an_end_before_the_wait_is_told_at_once(self) -> None:
        self.start_both()
        self.second.callback(None)
        assert self.successResultOf(self.next_end()) is True
        self.assertNoResult(self.next_end())

    def test_a_call_of_wake_ends_the_wait(self) -> None:
        self.start_both()
        waiting = self.next_end()
        self.group.wake()
        assert self.successResultOf(waiting) is True

    def test_the_end_of_all_includes_tasks_that_are_started_meanwhile(self) -> None:
        self.group.start(wait_for(self.first))
        ended = Deferred.fromCoroutine(self.group.all_ended())
        self.group.start(wait_for(self.second))
        self.first.callback(None)
        self.assertNoResult(ended)
        self.second.callback(None)
        self.successResultOf(ended)

    def test_a_bug_in_one_task_is_logged_and_ends_no_other(self) -> None:
        self.group.start(wait_for(self.first))
        self.group.start(fail_at_once())
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert self.group.failure is not None
        assert self.group.failure.check(ZeroDivisionError)
        assert self.successResultOf(self.next_end()) is True
        self.first.callback(None)
        assert self.successResultOf(self.next_end()) is False
