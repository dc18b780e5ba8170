"""Operations that are not urgent run ahead in an open transaction, which the next urgent operation commits."""

import sqlite3

from twisted.internet.task import Clock

from mta.queue.interface import QueueError
from mta.queue.sql.commit_delay import BACKGROUND, MAX_BATCH
from mta.queue.sqlite.group_commit import GroupCommit
from tests.queue.sqlite.commit_case import CommitCase
from tests.queue.sqlite.test_group_commit import ByHand, Failing


class RecordedLedger:
    """A ledger that keeps the order of its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def begin(self) -> None:
        self.calls.append("begin")

    def write(self) -> None:
        self.calls.append("write")

    def roll_back(self) -> None:
        self.calls.append("roll back")


class RunAheadTests(CommitCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.ledger = RecordedLedger()
        self.thread = ByHand()
        self.commit = GroupCommit(self.connection, self.thread, call_later=self.clock.callLater, ledger=self.ledger)

    def finish(self) -> None:
        """Do the work of the other thread."""
        while self.thread.waiting:
            self.thread.crank()

    def test_an_idle_connection_runs_it_at_once_and_commits_it_with_the_next_urgent_one(self):
        first, second = self.insert(1, max_delay=BACKGROUND), self.insert(2, max_delay=BACKGROUND)
        self.assertEqual((self.ran, self.thread.waiting, self.stored()), ([1, 2], [], []))
        self.assertNoResult(first)
        third = self.insert(3)
        self.assertEqual(self.ran, [1, 2, 3])
        self.finish()
        self.assertEqual([self.successResultOf(done) for done in (first, second, third)], [1, 2, 3])
        self.assertEqual((self.stored(), self.ledger.calls), ([1, 2, 3], ["begin", "write"]))

    def test_its_delay_ends_as_usual(self):
        done = self.insert(1, max_delay=BACKGROUND)
        self.clock.advance(BACKGROUND)
        self.finish()
        self.assertEqual((self.successResultOf(done), self.stored(), self.ran), (1, [1], [1]))

    def test_what_waits_for_a_commit_runs_as_soon_as_that_is_done(self):
        self.insert(1)
        self.insert(2, max_delay=BACKGROUND)
        self.assertEqual(self.ran, [1])
        self.finish()
        self.assertEqual((self.ran, self.stored()), ([1, 2], [1]))
        self.insert(3)
        self.finish()
        self.assertEqual((self.ran, self.stored()), ([1, 2, 3], [1, 2, 3]))

    def test_order_is_kept_behind_heavy_work(self):
        heavy = self.insert(1, heavy=True, max_delay=BACKGROUND)
        self.insert(2, max_delay=BACKGROUND)
        self.assertEqual(self.ran, [])
        self.insert(3)
        self.finish()
        self.successResultOf(heavy)
        self.assertEqual(self.stored(), [1, 2, 3])

    def test_one_that_fails_is_rolled_back_and_fails_alone(self):
        good = self.insert(1, max_delay=BACKGROUND)
        bad = self.insert(1, max_delay=BACKGROUND)
        self.assertEqual(self.ledger.calls, ["begin", "roll back"])
        self.assertFalse(self.connection.in_transaction)
        also = self.insert(2, max_delay=BACKGROUND)
        self.assertEqual(self.ran, [1, 1], "it is not tried again before its time")
        self.clock.advance(BACKGROUND)
        self.finish()
        self.failureResultOf(bad, QueueError)
        self.assertEqual((self.successResultOf(good), self.successResultOf(also), self.stored()), (1, 2, [1, 2]))
        self.insert(3, max_delay=BACKGROUND)
        self.assertEqual(self.ran[-1], 3)

    def test_a_failed_urgent_one_takes_nothing_with_it(self):
        ahead = self.insert(1, max_delay=BACKGROUND)
        bad = self.insert(1)
        self.finish()
        self.failureResultOf(bad, QueueError)
        self.assertEqual((self.successResultOf(ahead), self.stored()), (1, [1]))

    def test_a_file_locked_by_another_program_leaves_it_to_the_thread(self):
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        done = self.insert(1, max_delay=BACKGROUND)
        self.assertEqual((self.ran, self.ledger.calls), ([], []))
        other.execute("COMMIT")
        other.close()
        self.clock.advance(BACKGROUND)
        self.finish()
        self.assertEqual((self.successResultOf(done), self.stored()), (1, [1]))

    def test_a_begin_that_fails_leaves_it_to_the_thread(self):
        failing = Failing(self.connection)
        commit = GroupCommit(failing, self.thread, call_later=self.clock.callLater, ledger=self.ledger)
        failing.broken["BEGIN"] = sqlite3.SQLITE_IOERR
        done = commit.submit(lambda: 1, max_delay=BACKGROUND)
        self.assertEqual(self.ledger.calls, [], "the changes of an earlier transaction are not undone")
        failing.broken.clear()
        self.clock.advance(BACKGROUND)
        self.finish()
        self.assertEqual((self.successResultOf(done), self.ledger.calls), (1, ["begin", "write"]))

    def test_a_transaction_has_no_more_than_a_batch(self):
        for number in range(MAX_BATCH + 1):
            self.insert(number, max_delay=BACKGROUND)
        self.assertEqual(len(self.ran), MAX_BATCH)
        self.clock.advance(BACKGROUND)
        self.finish()
        self.clock.advance(BACKGROUND)
        self.finish()
        self.assertEqual(self.stored(), [*range(MAX_BATCH + 1)])

    def test_closing_commits_it(self):
        done = self.insert(1, max_delay=BACKGROUND)
        closed = self.commit.close()
        self.assertNoResult(closed)
        self.finish()
        self.successResultOf(closed)
        self.assertEqual((self.successResultOf(done), self.stored()), (1, [1]))
