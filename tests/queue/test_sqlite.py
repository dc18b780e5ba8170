from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.interface import Queue
from mta.queue.runner import run_inline
from mta.queue.sqlite import open_queue
from tests.queue.contract import NOW, QueueContract


class SqliteQueueTests(QueueContract, SynchronousTestCase):
    def make_queue(self) -> Queue:
        self.directory = Path(self.mktemp())
        return open_queue(self.directory, run=run_inline, now=NOW)

    def fill_disk(self) -> None:
        self.queue._bodies._reserve = 1 << 62
