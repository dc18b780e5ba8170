"""The contract of a queue, for the queue in memory."""

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.interface import Queue
from mta.queue.memory import MemoryQueue
from tests.queue.contract.queue_contract import QueueContract


class MemoryQueueTests(QueueContract, SynchronousTestCase):
    def make_queue(self) -> Queue:
        return MemoryQueue()

    def fill_disk(self) -> None:
        self.queue.room = 0
