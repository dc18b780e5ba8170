"""Databases that a relay refuses at its start, each in one line that names the remedy and no password."""

from collections.abc import Iterator

import pytest

from harness.postgres import WITH_PASSWORD, Cluster
from mta.queue.postgres.schema import open_schema
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.endtoend.world import World
from tests.queue.postgres.cluster import shared_cluster

PASSWORD = "Gehe1m-of-the-queue"


@pytest.fixture
def server() -> Cluster:
    return shared_cluster()


@pytest.fixture
def database(server: Cluster) -> Iterator[str]:
    with server.temporary() as name:
        yield name


def refusal(world: World, url: str, **settings: str) -> str:
    """Return the line in which a relay refuses to start."""
    told = world.stopped_relay(world.sink(), QUEUE_URL=url, **settings).start_and_fail(1)
    assert "Traceback" not in told
    (line,) = [line for line in told.splitlines() if "smtprelay: " in line] or told.splitlines()[-1:]
    assert PASSWORD not in told
    return line


def test_a_wrong_password(world: World, server: Cluster, database: str) -> None:
    server.execute(f"CREATE ROLE guarded LOGIN PASSWORD 'right' IN ROLE {WITH_PASSWORD}")
    try:
        line = refusal(world, server.url(database, user="guarded"), QUEUE_PASSWORD=PASSWORD)
        assert 'password authentication failed for user "guarded"' in line
        assert "QUEUE_PASSWORD" in line
    finally:
        server.execute("DROP ROLE guarded")


def test_an_unknown_database(world: World, server: Cluster) -> None:
    assert 'database "nowhere" does not exist' in refusal(world, server.url("nowhere"))


def test_a_server_without_tls(world: World, server: Cluster, database: str) -> None:
    line = refusal(world, server.url(database, sslmode="require"))
    assert "server does not support SSL, but SSL was required" in line


def test_a_server_that_is_away(world: World, server: Cluster, database: str) -> None:
    url = server.url(database).partition("port=")[0] + "port=1"
    assert "no connection to the database: 127.0.0.1 port 1: Connection refused" in refusal(world, url)


def test_a_database_that_takes_no_changes(world: World, server: Cluster, database: str) -> None:
    server.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    assert "session is read-only: name the server that takes changes" in refusal(world, server.url(database))


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_loses_mail_in_a_crash(world: World, setting: str) -> None:
    with Cluster(**{setting: "off"}) as unsafe:
        line = refusal(world, unsafe.url(unsafe.database()))
        assert f"the database has {setting} = off, so that it loses accepted mail in a crash: turn it on" in line


def test_tables_of_a_newer_relay(world: World, server: Cluster, database: str) -> None:
    session = DatabaseSession(read_server(server.url(database)).connection_parameters())
    open_schema(session)
    session.rows("UPDATE meta SET value = 99 WHERE name = 'oldest_compatible'")
    session.close()
    assert "made by a newer smtprelay (schema 99" in refusal(world, server.url(database))


def test_a_user_that_may_not_make_the_tables(world: World, server: Cluster, database: str) -> None:
    server.execute("CREATE ROLE guest LOGIN")
    try:
        line = refusal(world, server.url(database, user="guest"))
        assert "the user of QUEUE_URL lacks a right" in line
    finally:
        server.execute("DROP ROLE guest")


def test_an_encoding_that_cannot_store_all_mail(world: World, server: Cluster) -> None:
    server.execute("CREATE DATABASE latin_9 TEMPLATE template0 OWNER relay ENCODING 'LATIN9' LOCALE 'C'")
    try:
        assert "the database has the encoding LATIN9" in refusal(world, server.url("latin_9"))
    finally:
        server.drop("latin_9")
