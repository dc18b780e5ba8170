import os
import shutil
import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.disk.threads import run_inline
from mta.queue.interface import Query
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.queue.sqlite.schema import CHECKPOINT_PAGES, PAGE_SIZE, connect
from mta.queue.sqlite.wal import LOG_OCTETS, preallocate
from tests.queue.contract import NOW, mail, scratch

LENGTH = 200_000


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = scratch(self)
        self.log = self.directory / "queue.sqlite-wal"

    def open(self, directory: Path | None = None, length: int = LENGTH) -> SqliteQueue:
        return open_queue(directory or self.directory, run=run_inline, now=NOW, log_octets=length)

    def test_a_queue_begins_with_a_log_of_its_whole_length(self) -> None:
        queue = self.open()
        assert self.log.stat().st_size == LENGTH
        self.successResultOf(queue.add(mail(), NOW))
        assert self.log.stat().st_size == LENGTH

    def test_what_a_crash_left_in_the_log_is_there_when_it_is_made_longer(self) -> None:
        added = [mail() for _ in range(5)]
        queue = self.open(length=0)
        for new in added:
            self.successResultOf(queue.add(new, NOW))
        crashed = self.directory / "crashed"
        shutil.copytree(self.directory, crashed)
        again = self.open(crashed)
        assert [entry.id for entry in self.successResultOf(again.find(Query()))] == sorted(new.id for new in added)

    def test_what_comes_after_a_lengthened_log_survives_a_crash_and_its_zeros_are_no_frames(self) -> None:
        queue = self.open()
        new = mail()
        self.successResultOf(queue.add(new, NOW))
        crashed = self.directory / "crashed"
        shutil.copytree(self.directory, crashed)
        (crashed / "queue.sqlite-shm").unlink()
        again = self.open(crashed)
        assert [entry.id for entry in self.successResultOf(again.find(Query()))] == [new.id]

    def test_a_longer_log_is_left_as_it_is(self) -> None:
        connection = self.idle_connection()
        os.truncate(self.log, 3 * LENGTH)
        preallocate(connection, self.directory / "queue.sqlite", LENGTH, 0)
        assert self.log.stat().st_size == 3 * LENGTH

    def test_room_that_the_relay_keeps_free_is_not_taken(self) -> None:
        connection = self.idle_connection()
        before = self.log.stat().st_size
        preallocate(connection, self.directory / "queue.sqlite", LENGTH, 1 << 62)
        assert self.log.stat().st_size == before

    def test_nothing_is_written_while_someone_else_writes(self) -> None:
        connection = self.idle_connection()
        other = connect(self.directory / "queue.sqlite")
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        before = self.log.stat().st_size
        preallocate(connection, self.directory / "queue.sqlite", LENGTH, 0)
        assert self.log.stat().st_size == before

    def idle_connection(self) -> sqlite3.Connection:
        self.open(length=0)
        connection = connect(self.directory / "queue.sqlite")
        self.addCleanup(connection.close)
        connection.execute("SELECT count(*) FROM message").fetchone()
        return connection

    def test_the_length_holds_all_that_comes_before_pages_are_moved(self) -> None:
        assert LOG_OCTETS > CHECKPOINT_PAGES * PAGE_SIZE
