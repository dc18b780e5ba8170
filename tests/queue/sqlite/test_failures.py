"""The failures of a queue file are found by indexes, in the history and in messages that wait."""

import sqlite3

import pytest

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.failures import Failures
from mta.queue.interface import QueueError, Settlement, Verdict
from mta.queue.sqlite.operator.failures import _FAILED, count_failures
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from tests.queue.messages import LEASE, NEVER, NOW, TOOK, mail


@pytest.fixture
def queue(tmp_path) -> SqliteQueue:
    return open_queue(tmp_path, run=run_inline, now=NOW)


def finish(queue: SqliteQueue, now: float, *outcomes: object, waiting: int = 0) -> None:
    addresses = [f"u{index}@y.test" for index in range(len(outcomes) + waiting)]
    claims: list[object] = []
    queue.add(mail(*addresses), NOW, LEASE).addCallback(claims.append)
    queue.settle(Settlement(claims[0], [Verdict(index, each) for index, each in enumerate(outcomes)], now))


def test_failures_of_the_span_are_found_in_the_history_and_in_messages_that_wait(tmp_path, queue):
    finish(queue, NOW + 9, NEVER)
    finish(queue, NOW + 10, NEVER, TOOK, NEVER)
    finish(queue, NOW + 19, NEVER, waiting=1)
    finish(queue, NOW + 20, NEVER, waiting=1)
    counted = Failures()
    count_failures(tmp_path / FILE_NAME, NOW + 10, NOW + 20, counted)
    assert counted.total == 3
    assert [(each.address, each.finished - NOW) for each in counted.examples] == [
        ("u0@y.test", 10),
        ("u2@y.test", 10),
        ("u0@y.test", 19),
    ]
    assert {each.sender for each in counted.examples} == {"alice@example.org"}
    assert counted.oldest == NOW


def test_no_table_is_read_as_a_whole(tmp_path, queue):
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {_FAILED}", {"since": NOW, "until": NOW}).fetchall()
    connection.close()
    steps = [row[-1] for row in plan]
    assert any("INDEX history" in step for step in steps)
    assert all("INDEX" in step or "PRIMARY KEY" in step for step in steps if step.startswith(("SCAN", "SEARCH")))


def test_a_file_that_is_no_queue_is_an_error_for_the_operator(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 100)
    with pytest.raises(QueueError, match="damaged"):
        count_failures(tmp_path / FILE_NAME, NOW, NOW + 1, Failures())
