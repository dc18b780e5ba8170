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
