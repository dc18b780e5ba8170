"""The names of a queue's files."""

import sqlite3
from contextlib import closing

import pytest

from mta.queue.disk.files import BODY_NAME, PART, wal_of
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
