"""The contract of RelayState for the queue files of a stopped relay."""

from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mta.admin.returning import Returned
from mta.admin.state import NotRunning, Order
from mta.blocking import run_inline
from mta.cli.state.stopped import StoppedState
from mta.queue.entries import Action, QueueId
from mta.queue.sqlite.queue import open_queue
from tests.admin.contract import NAME, RelayStateContract
from tests.queue.messages import NOW, scratch


class Recording(StoppedState):
    """Keeps the changes of each order."""

    def __init__(self, queue_dir: Path) -> None:
        self.changes: list[tuple[Action, list[QueueId], str]] = []
        super().__init__(queue_dir, lambda: NAME, lambda: NOW)

    def _done(self, order: Order, ids: Sequence[QueueId], returned: Sequence[Returned]) -> None:
        self.changes.append((order.action, list(ids), order.by))
        super()._done(order, ids, returned)


class StoppedStateTests(RelayStateContract, SynchronousTestCase):
    running = False

    def make(self) -> None:
        self.directory = scratch(self)
        self.queue = open_queue(self.directory, run=run_inline, now=NOW)
        self.addCleanup(lambda: self.now(self.queue.close()))
        self.stopped = self.state = Recording(self.directory)
        self.addCleanup(self.stopped.close)

    def queue_dir(self) -> object:
        return self.directory

    def applied(self) -> Sequence[tuple[Action, list[QueueId], str]]:
        return self.stopped.changes

    def logged(self) -> Sequence[str]:
        return []

    def test_events_need_a_relay(self) -> None:
        self.refused(self.state.follow(print), NotRunning)
