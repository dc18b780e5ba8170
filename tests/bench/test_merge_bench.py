"""The measurement of a merge, on a few messages."""

from contextlib import closing

from bench.merge_bench import fill, measure
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.sqlite.schema import connect_for_reading


def test_a_filled_queue_agrees_with_its_ledger(tmp_path):
    fill(tmp_path, 1, 3)
    with closing(connect_for_reading(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM message").fetchone() == (3,)
        assert connection.execute("SELECT accepted FROM ledger").fetchone() == (3,)


def test_a_merge_is_measured(tmp_path):
    assert measure(tmp_path, 3).startswith("3 messages: ")
