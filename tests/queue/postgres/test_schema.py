"""The tables of the shared queue at the start of a relay: made once, checked, and refused if they are too new."""

from threading import Thread

import psycopg
import pytest

from mta.queue.interface import QueueError
from mta.queue.postgres.schema import SCHEMA_KNOWN, open_schema
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.queue.postgres.cluster import shared_cluster


def session_to(url: str) -> DatabaseSession:
    return DatabaseSession(read_server(url).connection_parameters(), changes=False)


def refusal(session: DatabaseSession) -> str:
    with pytest.raises(QueueError) as caught:
        open_schema(session)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_first_relay_makes_the_tables_and_the_next_finds_them(database_url: str) -> None:
    for _ in range(2):
        session = session_to(database_url)
        open_schema(session)
        assert dict(session.rows("SELECT name, value FROM meta"))["version"] == SCHEMA_KNOWN
        session.close()


def test_relays_that_start_together_make_them_once(database_url: str) -> None:
    sessions = [session_to(database_url) for _ in range(4)]
    made: list[DatabaseSession] = []

    def make(session: DatabaseSession) -> None:
        open_schema(session)
        made.append(session)

    threads = [Thread(target=make, args=(each,)) for each in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert sessions[0].rows("SELECT count(*) FROM node") == [(1,)]
    for each in sessions:
        each.close()


def test_a_command_does_not_make_them(database_url: str) -> None:
    session = session_to(database_url)
    with pytest.raises(QueueError, match="has no queue yet"):
        open_schema(session, create=False)
    session.close()


def test_a_newer_schema_is_refused(database_url: str) -> None:
    session = session_to(database_url)
    open_schema(session)
    session.rows("UPDATE meta SET value = 99 WHERE name = 'oldest_compatible'")
    assert "made by a newer smtprelay (schema 99" in refusal(session)
    session.close()


def test_a_user_without_rights_is_told(database_url: str) -> None:
    server = shared_cluster()
    with psycopg.connect(database_url, autocommit=True) as connection:
        database = connection.info.dbname
    with psycopg.connect(server.url("postgres", user="postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
    session = session_to(server.url(database, user="guest"))
    assert "lacks a right" in refusal(session)
    session.close()
    with psycopg.connect(server.url("postgres", user="postgres"), autocommit=True) as connection:
        connection.execute("DROP ROLE guest")
