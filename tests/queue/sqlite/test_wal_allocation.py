"""The allocation of the write-ahead log: its length, its reserve, and the recovery after a crash."""

import os
import shutil
import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.interface import Query
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.queue.sqlite.schema import CHECKPOINT_PAGES, PAGE_SIZE, connect
from mta.queue.sqlite.wal import WAL_OCTETS, preallocate
from tests.queue.messages import NOW, mail, scratch

LENGTH = 200_000


class PreallocationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = scratch(self)
        self.log = self.directory / "queue.sqlite-wal"

    def open(self, directory: Path | None = None, length: int = LENGTH) -> SqliteQueue:
        return open_queue(directory or self.directory, run=run_inline, now=NOW, wal_octets=length)

    def test_the_wal_has_its_whole_length_from_the_start(self) -> None:
        queue = self.open()
        assert self.log.stat().st_size == LENGTH
        self.successResultOf(queue.add(mail(), NOW))
        assert self.log.stat().st_size == LENGTH

    def test_messages_in_the_wal_of_a_crashed_process_survive_the_allocation(self) -> None:
        added = [mail() for _ in range(5)]
        queue = self.open(length=0)
        for new in added:
            self.successResultOf(queue.add(new, NOW))
        crashed = self.directory / "crashed"
        shutil.copytree(self.directory, crashed)
        again = self.open(crashed)
        assert [entry.id for entry in self.successResultOf(again.find(Query()))] == sorted(new.id for new in added)

    def test_a_message_added_after_the_allocation_survives_a_crash(self) -> None:
        queue = self.open()
        new = mail()
        self.successResultOf(queue.add(new, NOW))
        crashed = self.directory / "crashed"
        shutil.copytree(self.directory, crashed)
        (crashed / "queue.sqlite-shm").unlink()
        again = self.open(crashed)
        assert [entry.id for entry in self.successResultOf(again.find(Query()))] == [new.id]

    def test_a_longer_wal_is_left_as_it_is(self) -> None:
        connection = self.idle_connection()
        os.truncate(self.log, 3 * LENGTH)
        preallocate(connection, self.directory / "queue.sqlite", LENGTH, 0)
        assert self.log.stat().st_size == 3 * LENGTH

    def test_the_reserve_of_the_disk_is_not_used(self) -> None:
        connection = self.idle_connection()
        before = self.log.stat().st_size
        preallocate(connection, self.directory / "queue.sqlite", LENGTH, 1 << 62)
        assert self.log.stat().st_size == before

    def test_the_wal_is_left_alone_while_another_connection_writes(self) -> None:
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

    def test_the_wal_holds_all_pages_before_a_checkpoint(self) -> None:
        assert WAL_OCTETS > CHECKPOINT_PAGES * PAGE_SIZE
