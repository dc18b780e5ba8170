"""The measurement of the queue on PostgreSQL: its rows on a private server, and databases that are left nowhere."""

import pytest

from bench.shared_queue import Database, Databases, Line, Rows, Sizes
from harness.databases import ADMINISTRATOR
from harness.postgres import Cluster, NoPostgresError, programs

SMALL = Sizes(1, messages=100, waiting=200, times=2, through=100, beside=100)


@pytest.fixture(scope="module")
def cluster():
    try:
        programs()
    except NoPostgresError as error:
        pytest.skip(str(error))
    with Cluster() as server:
        yield server


@pytest.mark.parametrize("name", ["sqlite", "relays", "wal", "waiting", "snapshot", "tables"])
def test_each_row_has_its_figures(name, cluster, tmp_path):
    rows = Rows(lambda: Database(cluster.url(cluster.database()), cluster), tmp_path, SMALL)
    lines = list(dict(rows.all())[name]())
    assert lines
    assert all(value > 0 for line in lines for value in line.values)


def test_databases_on_another_server_are_deleted(cluster):
    with Databases(cluster.url("postgres", user=ADMINISTRATOR)) as databases:
        first, second = databases.new(), databases.new()
        assert first.number("SELECT 7") == second.number("SELECT 7") == 7
    assert cluster.execute("SELECT datname FROM pg_database WHERE datname LIKE 'smtprelay_bench%'") == []


def test_a_line_tells_the_median_and_whether_the_goal_is_reached():
    assert " ".join(str(Line("rate", [0.5, 0.7, 0.6], 0.55)).split()) == "rate 0.6 (0.5 to 0.7) at least 0.55: yes"
    assert str(Line("rate", [0.5, 0.5, 0.6], 0.55)).endswith("NO")
    assert str(Line("size", [2.0], 1.5, at_most=True)).endswith("at most 1.5: NO")
