"""The contract of a queue, for the queue that several relays share."""

from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.interface import Queue
from mta.queue.postgres.membership.node import join
from mta.queue.postgres.queue import LANES, PostgresQueue
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.fakes.fixed_nodes import FixedNodes
from tests.queue.contract.queue_contract import QueueContract
from tests.queue.messages import NOW, scratch
from tests.queue.postgres.tables import Tables


class PostgresQueueTests(QueueContract, SynchronousTestCase):
    def make_queue(self) -> Queue:
        server = read_server(Tables(self).url)
        session = DatabaseSession(server.connection_parameters())
        node = join(session, "one", "0.2.0", 1, LANES)
        session.close()
        directory = scratch(self)
        directory.mkdir()
        return PostgresQueue(
            server,
            FixedNodes(node),
            run=run_inline,
            seconds=lambda: 0.0,
            wall_clock=lambda: NOW,
            directory=directory,
        )

    def fill_disk(self) -> None:
        self.skipTest("the database has its own room")
