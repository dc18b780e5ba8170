"""The cutting proxy, between psycopg and a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from harness.cutting_proxy import CuttingProxy, Moment
from harness.postgres import Cluster
from harness.waiting import until
from tests.queue.postgres.cluster import shared_cluster

INSERT = "INSERT INTO note VALUES (%s)"


@pytest.fixture
def proxy() -> Iterator[CuttingProxy]:
    with CuttingProxy(shared_cluster().socket) as proxy:
        yield proxy


@pytest.fixture
def database(server: Cluster) -> Iterator[str]:
    with server.temporary() as name:
        with psycopg.connect(server.url(name)) as connection:
            connection.execute("CREATE TABLE note (n integer)")
        yield name


@pytest.fixture
def server() -> Cluster:
    return shared_cluster()


def cut_inserts(moment: Moment):
    return lambda text: moment if text.startswith("INSERT") else None


def number_of_notes(server: Cluster, database: str) -> int:
    return server.execute("SELECT count(*) FROM note", database=database)[0][0]


def test_statements_and_notifications_pass(proxy: CuttingProxy, database: str):
    with psycopg.connect(proxy.url(database), autocommit=True) as connection:
        for prepare in (False, True):
            connection.execute(INSERT, (1,), prepare=prepare)
        connection.execute("LISTEN there; NOTIFY there")
        assert [connection.execute("SELECT count(*) FROM note").fetchone()] == [(2,)]
        assert [note.channel for note in connection.notifies(timeout=10, stop_after=1)] == ["there"]
    assert (proxy.connections, proxy.cuts, proxy.cancels) == (1, [], 0)


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize(
    ("moment", "stored"),
    [
        (Moment.BEFORE, 0),
        (Moment.WITHIN, 0),
        (Moment.AFTER, 1),
        (Moment.ANSWERED, 1),
        (Moment.WITHIN_ANSWER, 1),
    ],
)
def test_a_cut_at_each_moment(proxy: CuttingProxy, database: str, prepare: bool, moment: Moment, stored: int):
    server = shared_cluster()
    with psycopg.connect(proxy.url(database), autocommit=True) as connection:
        proxy.decide = cut_inserts(moment)
        with pytest.raises(psycopg.OperationalError):
            connection.execute(INSERT, (1,), prepare=prepare)
        assert connection.closed
    assert proxy.cuts == [moment]
    # The server may still be at work on a statement that was cut off from its answer.
    until(lambda: not server.execute(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database}'"))
    assert number_of_notes(server, database) == stored


def test_a_statement_arrives_when_its_client_has_long_gone(proxy: CuttingProxy, database: str):
    server = shared_cluster()
    with psycopg.connect(proxy.url(database), autocommit=True) as connection:
        proxy.decide = cut_inserts(Moment.LATE)
        with pytest.raises(psycopg.OperationalError):
            connection.execute(INSERT, (1,))
    assert number_of_notes(server, database) == 0
    proxy.deliver_late()
    assert number_of_notes(server, database) == 1


def test_octets_that_are_held_back_arrive_when_they_are_let_go(proxy: CuttingProxy, database: str):
    with psycopg.connect(proxy.url(database)) as connection, ThreadPoolExecutor(2) as pool:
        proxy.hold()
        asked = pool.submit(connection.execute, "SELECT 1")
        another = pool.submit(psycopg.connect, proxy.url(database))
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.2)
        assert not another.done()
        proxy.let_go()
        assert asked.result().fetchall() == [(1,)]
        another.result().close()


def test_all_connections_are_cut(proxy: CuttingProxy, database: str):
    with psycopg.connect(proxy.url(database)) as connection:
        proxy.cut_all()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
