"""The audit: its alarms, and queues that cannot be audited."""

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.interface import Settlement, Verdict
from mta.queue.sqlite.queue import open_queue
from mta.queue.upkeep import AUDIT_INTERVAL, Auditor
from tests.queue.messages import LATER, LEASE, NOW, mail, scratch


class AuditorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW
        self.home = scratch(self)
        self.queue = open_queue(self.home, run=run_inline, now=NOW)
        self.addCleanup(self.queue.close)
        self.alarms: list[tuple[str, object]] = []
        self.troubles: list[str] = []
        self.auditor = Auditor(
            self.queue,
            wall_clock=lambda: self.now,
            alarm=lambda *alarm: self.alarms.append(alarm),
            trouble=self.troubles.append,
        )

    def added(self, **options: float) -> str:
        new = mail("a@example.test", "b@example.test")
        self.successResultOf(self.queue.add(new, NOW, **options))
        return new.id

    def rounds(self, count: int = 1) -> None:
        for _ in range(count):
            self.successResultOf(self.auditor.look())
            self.now += AUDIT_INTERVAL

    def spoil(self, statement: str) -> None:
        """Do to the file what the relay never does."""
        connection = sqlite3.connect(self.home / FILE_NAME, isolation_level=None)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
        connection.close()

    def test_a_queue_that_works_raises_no_alarm(self):
        self.added(due=NOW + 7 * AUDIT_INTERVAL)
        claim = self.successResultOf(self.queue.add(mail(), NOW, lease=LEASE))
        self.successResultOf(self.queue.settle(Settlement(claim, [Verdict(0, LATER, NOW + 5 * AUDIT_INTERVAL)], NOW)))
        self.rounds(5)
        self.assertEqual((self.alarms, self.troubles), ([], []))

    def test_a_due_message_that_is_not_claimed_is_an_alarm(self):
        id = self.added()
        self.rounds(2)
        self.assertEqual(self.alarms, [])
        self.rounds()
        self.assertEqual(self.alarms, [("has been due since 2023-11-14T22:13:20Z but is not tried", id)])

    def test_a_message_that_is_put_off_is_none(self):
        self.added()
        self.rounds()
        for _ in range(4):
            (claim,) = self.successResultOf(self.queue.claim(self.now, 1, LEASE))
            self.successResultOf(self.queue.release(claim, self.now + AUDIT_INTERVAL / 2))
            self.rounds()
        self.assertEqual(self.alarms, [])

    def test_a_recipient_without_a_next_attempt_is_an_alarm(self):
        id = self.added()
        self.spoil("UPDATE message SET due = NULL, finished = 1")
        self.rounds()
        self.assertEqual([each for _, each in self.alarms], [id])

    def test_a_ledger_that_does_not_add_up_is_one_alarm_until_it_changes(self):
        self.added(due=NOW + 7 * AUDIT_INTERVAL)
        self.spoil("DELETE FROM recipient WHERE idx = 1")
        self.rounds(2)
        ((text, id),) = self.alarms
        self.assertIsNone(id)
        self.assertIn("of 2 accepted recipients 0 were delivered, 0 failed, 0 were removed and 1 wait", text)
        self.spoil("DELETE FROM recipient")
        self.rounds()
        self.assertEqual(len(self.alarms), 2)

    def test_a_queue_that_cannot_be_read_is_trouble_and_the_next_round_looks_again(self):
        self.successResultOf(self.queue.close())
        self.rounds(2)
        self.assertEqual(self.troubles, ["the queue could not be audited: the queue is closed"] * 2)
