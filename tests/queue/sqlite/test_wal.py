"""The monitor of the write-ahead log: which logs are checkpointed, and what the operator is told."""

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.wal import WalMonitor
from tests.queue.messages import NOW, mail, scratch


class WalMonitorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = scratch(self)
        self.lines: list[str] = []
        queue = open_queue(self.home, run=run_inline, now=NOW)
        self.addCleanup(queue.close)
        self.successResultOf(queue.add(mail(), NOW))

    def look(self, usual_octets: int) -> None:
        watch = WalMonitor(self.home / "queue.sqlite", run_inline, trouble=self.lines.append, usual_octets=usual_octets)
        self.successResultOf(watch.look())

    def test_a_log_of_the_usual_length_is_left_alone(self) -> None:
        (self.home / "queue.sqlite").write_bytes(b"")
        self.look(usual_octets=1 << 20)
        assert self.lines == []

    def test_a_long_log_is_moved_into_the_file_beside_the_work_of_the_queue(self) -> None:
        self.look(usual_octets=0)
        assert self.lines == []
        with sqlite3.connect(f"{(self.home / 'queue.sqlite').as_uri()}?immutable=1", uri=True) as file:
            assert file.execute("SELECT count(*) FROM message").fetchone() == (1,)

    def test_a_log_that_cannot_be_moved_is_told_of(self) -> None:
        (self.home / "queue.sqlite").rename(self.home / "gone")
        self.look(usual_octets=0)
        (line,) = self.lines
        assert line.startswith("the queue's log cannot be moved into its file (unable to open database file) and has")

    def test_no_log_is_no_trouble(self) -> None:
        for path in self.home.glob("*-wal"):
            path.unlink()
        self.look(usual_octets=0)
        assert self.lines == []
