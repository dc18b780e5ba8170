"""The contract of a queue, for the queue that several relays share."""

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.interface import Queue
from tests.queue.contract.queue_contract import QueueContract
from tests.queue.messages import NOW, scratch
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.tables import Tables


class PostgresQueueTests(QueueContract, SynchronousTestCase):
    def make_queue(self) -> Queue:
        directory = scratch(self)
        directory.mkdir()
        return open_alone(Tables(self).url, directory, lambda: NOW)

    def fill_disk(self) -> None:
        self.skipTest("the database has its own room")

    def test_a_recipient_that_was_not_tried_is_claimed_again_at_once_though_it_is_due_for_long(self):
        old, newer = self.added(), self.added(due=NOW + 90)
        (claim,) = self.claims(NOW + 100, limit=1)
        self.assertEqual([each.id for each in self.claims(NOW + 101)], [newer.id])
        self.settled(claim, now=NOW + 102)
        self.assertEqual([each.id for each in self.claims(NOW + 103)], [old.id])
