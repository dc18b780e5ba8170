"""Batches, delays, failures and the closing of the group commit."""

import sqlite3
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mta.blocking import run_inline
from mta.queue.interface import QueueError, QueueFull
from mta.queue.sql.commit_delay import BACKGROUND, DELIVERY, LULL, MAX_BATCH
from mta.queue.sqlite.group_commit import GroupCommit
from tests.queue.sqlite.commit_case import CommitCase


class ByHand:
    """Runs work when the test says so: the worker as a hand-cranked one."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], object], Deferred]] = []

    def __call__(self, work):
        done = Deferred()
        self.waiting.append((work, done))
        return done

    def crank(self) -> None:
        work, done = self.waiting.pop(0)
        run_inline(work).chainDeferred(done)


class GroupCommitTests(CommitCase):
    def setUp(self) -> None:
        super().setUp()
        self.worker = ByHand()
        self.commit = GroupCommit(self.connection, self.worker)

    def test_a_lone_operation_starts_at_once_and_is_answered_after_its_commit(self):
        done = self.insert(1)
        self.assertEqual(len(self.worker.waiting), 1)
        self.assertNoResult(done)
        self.assertEqual(self.stored(), [])
        self.worker.crank()
        self.assertEqual((self.successResultOf(done), self.stored()), (1, [1]))

    def test_operations_during_a_commit_share_the_next_one(self):
        first = self.insert(1)
        others = [self.insert(number) for number in (2, 3, 4)]
        self.worker.crank()
        self.successResultOf(first)
        self.assertEqual(len(self.worker.waiting), 1, "the next sync starts at once")
        self.assertEqual(self.stored(), [1])
        self.worker.crank()
        self.assertEqual([self.successResultOf(done) for done in others], [2, 3, 4])
        self.assertEqual((self.stored(), self.worker.waiting), ([1, 2, 3, 4], []))

    def test_a_batch_is_bounded(self):
        done = [self.insert(number) for number in range(MAX_BATCH + 2)]
        self.worker.crank()
        self.worker.crank()
        self.assertEqual(len(self.stored()), MAX_BATCH + 1)
        self.assertNoResult(done[-1])
        self.worker.crank()
        self.successResultOf(done[-1])

    def test_heavy_work_runs_in_the_worker_within_the_transaction(self):
        self.insert(1)
        ran = []
        self.commit.submit(lambda: ran.append("light"))
        heavy = self.commit.submit(lambda: ran.append("heavy") or len(ran), heavy=True)
        self.worker.crank()
        self.assertEqual(ran, ["light"])
        self.worker.crank()
        self.assertEqual(self.successResultOf(heavy), 2)

    def test_an_operation_that_fails_fails_alone(self):
        for heavy in (False, True):
            with self.subTest(heavy=heavy):
                first = self.insert(10 + heavy)
                good, bad, also = self.insert(20 + heavy), self.insert(10 + heavy, heavy=heavy), self.insert(30 + heavy)
                while self.worker.waiting:
                    self.worker.crank()
                self.successResultOf(first)
                self.failureResultOf(bad, QueueError)
                self.assertEqual((self.successResultOf(good), self.successResultOf(also)), (20 + heavy, 30 + heavy))
        self.assertEqual(self.stored(), [10, 11, 20, 21, 30, 31])
        self.assertFalse(self.connection.in_transaction)

    def test_a_whole_batch_of_failures_is_answered_without_end_or_depth(self):
        self.insert(1)
        failing = [self.insert(1) for _ in range(MAX_BATCH)]
        self.worker.crank()
        for done in failing:
            self.failureResultOf(done, QueueError)
        self.successResultOf(self.commit.close())

    def test_an_exception_that_is_not_sqlites_is_answered_too(self):
        self.failureResultOf(self.commit.submit("\udc80".encode), QueueError)
        self.assertFalse(self.connection.in_transaction)

    def test_a_full_disk_fails_only_the_operations_that_do_not_fit(self):
        pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
        self.connection.execute(f"PRAGMA max_page_count = {pages + 10}")
        self.insert(1)
        small, large = self.insert(2), self.insert(3, size=100_000)
        while self.worker.waiting:
            self.worker.crank()
        self.failureResultOf(large, QueueFull)
        self.assertEqual((self.successResultOf(small), self.stored()), (2, [1, 2]))

    def test_operations_of_callbacks_share_the_next_commit(self):
        first, second = self.insert(1), self.insert(2)
        self.worker.crank()
        self.successResultOf(first)
        second.addCallback(lambda _: [self.insert(3), self.insert(4)])
        self.worker.crank()
        self.assertEqual(len(self.worker.waiting), 1)
        self.worker.crank()
        self.assertEqual(self.stored(), [1, 2, 3, 4])

    def test_close_waits_for_earlier_operations_and_refuses_later_ones(self):
        done = self.insert(1)
        order = []
        done.addCallback(lambda _: order.append("answered"))
        closed = self.commit.close().addCallback(lambda _: order.append("closed"))
        self.failureResultOf(self.insert(2), QueueError)
        self.assertNoResult(closed)
        self.worker.crank()
        self.assertEqual(order, ["answered", "closed"])

    def test_a_file_locked_by_another_program_is_waited_for_in_the_worker(self):
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        done = self.insert(1)
        self.assertEqual(len(self.worker.waiting), 1)
        other.execute("COMMIT")
        other.close()
        self.worker.crank()
        self.assertNoResult(done)
        self.worker.crank()
        self.assertEqual((self.successResultOf(done), self.stored()), (1, [1]))
        self.assertEqual(self.connection.execute("PRAGMA busy_timeout").fetchone(), (0,))

    def test_a_file_that_stays_locked_is_refused_after_a_while(self):
        self.commit = GroupCommit(self.connection, self.worker, patience=0.001)
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        done = self.insert(1)
        self.worker.crank()
        self.assertIn("locked by another program", str(self.failureResultOf(done, QueueError).value))
        other.execute("COMMIT")
        other.close()
        again = self.insert(1)
        self.worker.crank()
        self.successResultOf(again)


class LullTests(GroupCommitTests):
    """What no client waits for, beside what one does."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.commit = GroupCommit(self.connection, self.worker, call_later=self.clock.callLater)

    def test_an_operation_that_is_not_urgent_is_committed_with_the_next_urgent_one(self):
        first, second = self.insert(1, max_delay=BACKGROUND), self.insert(2, max_delay=BACKGROUND)
        self.assertEqual(self.worker.waiting, [])
        third = self.insert(3)
        self.worker.crank()
        self.assertEqual([self.successResultOf(done) for done in (first, second, third)], [1, 2, 3])
        self.assertEqual((self.stored(), self.worker.waiting), ([1, 2, 3], []))
        self.clock.advance(BACKGROUND)
        self.assertEqual(self.worker.waiting, [])

    def test_an_operation_that_is_not_urgent_is_committed_by_itself_after_its_delay(self):
        done = self.insert(1, max_delay=BACKGROUND)
        self.clock.advance(BACKGROUND * 0.9)
        self.assertEqual(self.worker.waiting, [])
        self.insert(2, max_delay=BACKGROUND)
        self.clock.advance(BACKGROUND * 0.1)
        self.worker.crank()
        self.assertEqual((self.successResultOf(done), self.stored()), (1, [1, 2]))

    def test_a_shorter_delay_commits_operations_with_a_longer_one_too(self):
        first = self.insert(1, max_delay=BACKGROUND)
        self.clock.advance(BACKGROUND / 10)
        second = self.insert(2, max_delay=DELIVERY)
        self.clock.advance(DELIVERY * 0.9)
        self.assertEqual(self.worker.waiting, [])
        self.clock.advance(DELIVERY * 0.1)
        self.worker.crank()
        self.successResultOf(first)
        self.successResultOf(second)

    def lull(self) -> None:
        """Commit so many operations without an urgent one that no client sends."""
        for number in range(100, 100 + LULL):
            self.insert(number, max_delay=DELIVERY)
            self.assertEqual(self.worker.waiting, [])
            self.clock.advance(DELIVERY)
            self.worker.crank()

    def test_a_delivery_waits_for_no_client_while_none_sends(self):
        self.lull()
        first = self.insert(1, max_delay=BACKGROUND)
        self.assertEqual(self.worker.waiting, [])
        second = self.insert(2, max_delay=DELIVERY)
        self.worker.crank()
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (1, 2))

    def test_a_delivery_waits_for_a_client_again_as_soon_as_one_has_sent(self):
        self.lull()
        self.insert(1)
        self.worker.crank()
        done = self.insert(2, max_delay=DELIVERY)
        self.assertEqual(self.worker.waiting, [])
        self.clock.advance(DELIVERY)
        self.worker.crank()
        self.assertEqual(self.successResultOf(done), 2)

    def test_a_running_commit_is_not_followed_by_one_without_an_urgent_operation(self):
        first = self.insert(1)
        second = self.insert(2, max_delay=BACKGROUND)
        self.worker.crank()
        self.successResultOf(first)
        self.assertEqual(self.worker.waiting, [])
        self.clock.advance(BACKGROUND)
        self.worker.crank()
        self.assertEqual((self.successResultOf(second), self.stored()), (2, [1, 2]))

    def test_operations_of_two_callbacks_share_one_sync_with_one_that_is_not_urgent(self):
        self.insert(1)
        for number in (2, 3):
            self.insert(number).addCallback(lambda answered: self.insert(answered + 10) and None)
        self.worker.crank()
        self.insert(4, max_delay=BACKGROUND)
        self.worker.crank()
        self.worker.crank()
        self.assertEqual((self.stored(), self.worker.waiting), ([1, 2, 3, 4, 12, 13], []))

    def test_urgent_operations_fire_first(self):
        answers: list[int] = []
        for number, urgent in ((1, False), (2, True), (3, False), (4, True)):
            self.insert(number, max_delay=0.0 if urgent else BACKGROUND).addCallback(answers.append)
        self.worker.crank()
        self.worker.crank()
        self.assertEqual(answers, [2, 1, 4, 3])

    def test_a_lull_that_ends_during_a_commit_lets_the_next_one_follow_at_once(self):
        self.insert(1)
        second = self.insert(2, max_delay=BACKGROUND)
        self.clock.advance(BACKGROUND)
        self.assertEqual(len(self.worker.waiting), 1)
        self.worker.crank()
        self.worker.crank()
        self.assertEqual((self.successResultOf(second), self.stored()), (2, [1, 2]))

    def test_a_batch_that_failed_is_repeated_without_delay(self):
        bad = self.insert(1, max_delay=BACKGROUND)
        again = self.insert(1, max_delay=BACKGROUND)
        self.clock.advance(BACKGROUND)
        self.worker.crank()
        self.assertEqual((self.successResultOf(bad), self.stored()), (1, [1]))
        self.failureResultOf(again, QueueError)

    def test_closing_waits_for_no_delay(self):
        done = self.insert(1, max_delay=BACKGROUND)
        closed = self.commit.close()
        self.worker.crank()
        self.successResultOf(closed)
        self.assertEqual((self.successResultOf(done), self.stored()), (1, [1]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing_during_a_commit_waits_for_operations_that_are_not_urgent_too(self):
        self.insert(1)
        self.insert(2, max_delay=BACKGROUND)
        closed = self.commit.close()
        self.worker.crank()
        self.assertNoResult(closed)
        self.worker.crank()
        self.successResultOf(closed)
        self.assertEqual(self.stored(), [1, 2])


class Failing:
    """A connection whose disk fails at a statement: the operating system's part, which no test can break for real."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.broken: dict[str, int] = {}

    @property
    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        self.fail_at(statement)
        return self.connection.execute(statement, *parameters)

    def commit(self) -> None:
        self.fail_at("COMMIT")
        self.connection.commit()

    def fail_at(self, statement: str) -> None:
        for word, code in self.broken.items():
            if statement.startswith(word):
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = code
                raise error


class BrokenDiskTests(GroupCommitTests):
    def setUp(self) -> None:
        super().setUp()
        self.failing = Failing(self.connection)
        self.commit = GroupCommit(self.failing, self.worker)

    def test_a_failed_commit_fails_all_its_operations(self):
        first = self.insert(1)
        self.failing.broken["COMMIT"] = sqlite3.SQLITE_IOERR_FSYNC
        second = self.insert(2)
        self.worker.crank()
        self.failureResultOf(first, QueueError)
        self.crank(2)
        self.failureResultOf(second, QueueError)
        self.failing.broken.clear()
        third = self.insert(3)
        self.crank(2)
        self.assertEqual((self.successResultOf(third), self.stored()), (3, [3]))

    def crank(self, times: int) -> None:
        for _ in range(times):
            self.worker.crank()

    def test_after_a_failed_sync_the_wal_is_reset_before_the_next_transaction(self):
        self.failing.broken["COMMIT"] = sqlite3.SQLITE_IOERR_FSYNC
        self.failureResultOf(self.cranked(self.insert(1)), QueueError)
        self.failing.broken = {"PRAGMA wal_checkpoint": sqlite3.SQLITE_IOERR}
        for _ in range(2):
            self.failureResultOf(self.cranked(self.insert(2)), QueueError)
        self.failing.broken.clear()
        third = self.insert(3)
        self.crank(2)
        self.assertEqual((self.successResultOf(third), self.stored()), (3, [3]))

    def cranked(self, done: "Deferred[int]") -> "Deferred[int]":
        self.worker.crank()
        return done

    def test_a_commit_that_finds_the_disk_full_is_tried_one_by_one(self):
        self.insert(1)
        second, third = self.insert(2), self.insert(3)
        self.worker.crank()
        self.failing.broken["COMMIT"] = sqlite3.SQLITE_FULL
        self.worker.crank()
        self.worker.crank()
        self.failureResultOf(second, QueueFull)
        self.failing.broken.clear()
        self.worker.crank()
        self.assertEqual((self.successResultOf(third), self.stored()), (3, [1, 3]))

    def test_a_failed_rollback_makes_the_queue_refuse_all_operations(self):
        first = self.insert(1)
        second = self.insert(2)
        self.failing.broken = {"COMMIT": sqlite3.SQLITE_IOERR, "ROLLBACK": sqlite3.SQLITE_IOERR}
        self.worker.crank()
        self.failureResultOf(first, QueueError)
        self.failureResultOf(second, QueueError)
        self.assertIn("restart the relay", str(self.failureResultOf(self.insert(3), QueueError).value))
        self.successResultOf(self.commit.close())

    def test_a_begin_that_fails_is_answered(self):
        self.failing.broken["BEGIN"] = sqlite3.SQLITE_IOERR
        self.failureResultOf(self.insert(1), QueueError)
        self.failing.broken.clear()
        again = self.insert(1)
        self.worker.crank()
        self.successResultOf(again)
