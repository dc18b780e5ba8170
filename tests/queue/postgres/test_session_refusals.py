"""Connections that the server or libpq refuses: one line each, with the remedy and without the password."""

from collections.abc import Iterator

import psycopg
import pytest

from mta.queue.interface import QueueError
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.queue.postgres.cluster import shared_cluster

PASSWORD = "night-heron-5590"


@pytest.fixture
def place(database_url: str) -> Iterator[str]:
    """Return host, port and database, where the role `guest` needs a password."""
    server = shared_cluster()
    server.execute("CREATE ROLE guest LOGIN PASSWORD 'other'", "GRANT with_password TO guest")
    with psycopg.connect(database_url) as connection:
        name = connection.info.dbname
    yield f"127.0.0.1:{server.port}/{name}"
    server.execute("DROP ROLE guest")


def refusal(url: str) -> str:
    session = DatabaseSession(read_server(url).connection_parameters())
    with pytest.raises(QueueError) as caught:
        session.rows("SELECT 1")
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert PASSWORD not in text
    assert text.startswith("no connection to the database: ")
    return text


def test_a_wrong_password(place: str) -> None:
    assert ": check QUEUE_PASSWORD and the user" in refusal(f"postgresql://guest:{PASSWORD}@{place}")


def test_no_password(place: str) -> None:
    assert refusal(f"postgresql://guest@{place}").endswith(": set QUEUE_PASSWORD")


def test_an_unknown_database_or_user(place: str) -> None:
    text = refusal(f"postgresql://relay@{place.partition('/')[0]}/elsewhere")
    assert text.endswith('database "elsewhere" does not exist: create it, or correct QUEUE_URL')
    assert 'role "stranger" does not exist: create it' in refusal(f"postgresql://stranger@{place}")


def test_a_server_without_tls(place: str) -> None:
    assert "turn TLS on at the server" in refusal(f"postgresql://relay@{place}?sslmode=require")


def test_a_host_that_takes_no_changes(place: str, database_url: str) -> None:
    name = place.rpartition("/")[2]
    shared_cluster().execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "name the server that takes changes in QUEUE_URL" in refusal(f"postgresql://relay@{place}")
