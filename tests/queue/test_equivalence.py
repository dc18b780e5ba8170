"""For any sequence of requests the queue in memory and the queue in a file give the same results."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import invariant, rule

from mta.blocking import run_inline
from mta.queue.interface import Query, QueueId
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from tests.length import choose
from tests.queue.equivalence import TwoQueues, result
from tests.queue.messages import NOW


class MemoryAndFile(TwoQueues):
    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="smtprelay-test-"))
        super().__init__()

    def open(self) -> SqliteQueue:
        queue = open_queue(self.directory, run=run_inline, now=NOW, recover=False, small=64)
        queue._connection.execute("PRAGMA synchronous = OFF")
        return queue

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)

    @rule()
    def reopen(self):
        assert result(self.stored.close()) is None
        self.stored = self.open()
        # Marks of the process before are told at a start, and then no news.
        self.memory._store._marked.clear()

    @invariant()
    def a_file_is_there_for_each_large_message_that_waits_and_no_other(self):
        waiting: set[QueueId] = {entry.id for entry in result(self.memory.find(Query())) if entry.size > 64}
        assert {path.name for path in (self.directory / "bodies").iterdir()} == waiting


MemoryAndFile.TestCase.settings = settings(max_examples=choose(10, 40), stateful_step_count=40, deadline=None)
TestMemoryAndFile = MemoryAndFile.TestCase
