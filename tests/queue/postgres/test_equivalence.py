"""For any sequence of requests the queue in memory and the queue on PostgreSQL give the same results."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

from hypothesis import settings

from mta.queue.postgres.queue import PostgresQueue
from tests.length import choose
from tests.queue.equivalence import TwoQueues
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.tables import Tables


class MemoryAndDatabase(TwoQueues):
    def __init__(self) -> None:
        self.cleanups = ExitStack()
        super().__init__()

    def open(self) -> PostgresQueue:
        directory = self.cleanups.enter_context(tempfile.TemporaryDirectory(prefix="smtprelay-test-"))
        tables = Tables(SimpleNamespace(addCleanup=self.cleanups.callback))
        return open_alone(tables.url, Path(directory), lambda: self.clock)

    def teardown(self) -> None:
        super().teardown()
        self.cleanups.close()


MemoryAndDatabase.TestCase.settings = settings(max_examples=choose(5, 40), stateful_step_count=40, deadline=None)
TestMemoryAndDatabase = MemoryAndDatabase.TestCase
