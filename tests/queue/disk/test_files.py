"""The names of a queue's files."""

import os
import sqlite3
import tracemalloc
from contextlib import closing

import pytest

from mta.queue.disk.files import BODY_NAME, PART, rewrite_in_place, wal_of
from mta.queue.ids import IdSource, to_id
from tests.queue.messages import NOW


@pytest.mark.parametrize("id", [to_id(0), to_id((1 << 63) - 1), IdSource().new(NOW)], ids=["first", "last", "new"])
def test_a_body_has_the_name_of_its_message_whole_or_not(id):
    assert BODY_NAME.fullmatch(id)
    assert BODY_NAME.fullmatch(id + PART)


@pytest.mark.parametrize("name", ["notes", "8000000000000", "00000000000000", "0000000000000part", "000000000000A"])
def test_no_other_file_is_taken_for_a_body(name):
    assert BODY_NAME.fullmatch(name) is None


def test_the_log_is_where_sqlite_makes_it(tmp_path):
    database = tmp_path / "queue.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE one (x)")
        assert wal_of(database).stat().st_size > 0


def test_a_file_that_is_rewritten_stays_as_it_was_and_takes_little_memory(tmp_path):
    path = tmp_path / "queue.sqlite-wal"
    path.write_bytes(content := os.urandom(4 << 20))
    tracemalloc.start()
    try:
        rewrite_in_place(path)
        assert tracemalloc.get_traced_memory()[1] < 256 << 10
    finally:
        tracemalloc.stop()
    assert path.read_bytes() == content


def test_a_file_that_is_missing_is_not_rewritten(tmp_path):
    rewrite_in_place(tmp_path / "queue.sqlite-wal")
    assert list(tmp_path.iterdir()) == []
