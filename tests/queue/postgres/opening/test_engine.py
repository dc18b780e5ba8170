"""The server at the start of a relay: refused if it may lose mail or lacks a feature, and told about otherwise."""

from collections.abc import Iterator

import psycopg
import pytest

from harness.postgres import ADMINISTRATOR, Cluster, NoPostgresError
from mta.queue.interface import QueueError
from mta.queue.postgres.opening.engine import FEATURES, check_server, missing_features
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.queue.postgres.cluster import shared_cluster


def session_to(url: str) -> DatabaseSession:
    return DatabaseSession(read_server(url).connection_parameters(), changes=False)


@pytest.fixture
def session(database_url: str) -> Iterator[DatabaseSession]:
    session = session_to(database_url)
    yield session
    session.close()


def claims_to_be(session: DatabaseSession, text: str) -> None:
    """Have the server give this text as its version, as another engine does."""
    session.rows("CREATE SCHEMA other")
    session.rows(f"CREATE FUNCTION other.version() RETURNS text LANGUAGE sql RETURN '{text}'")
    session.rows("SET search_path = other, smtprelay, pg_catalog")


def test_a_server_without_a_standby_has_a_notice(database_url: str) -> None:
    session = session_to(database_url)
    (notice,) = check_server(session)
    assert "no synchronous standby" in notice
    session.close()


def test_a_database_that_cannot_store_all_texts_is_refused() -> None:
    server = shared_cluster()
    server.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    session = session_to(server.url("latin"))
    with pytest.raises(QueueError, match="the database has the encoding LATIN1"):
        check_server(session)
    session.close()
    server.drop("latin")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_keep_mail_is_refused(setting: str) -> None:
    try:
        with Cluster(**{setting: "off"}) as server:
            session = session_to(server.url(server.database()))
            with pytest.raises(QueueError, match=f"the database has {setting} = off"):
                check_server(session)
            session.close()
    except NoPostgresError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CockroachDB CCL v25.1.0 (x86_64-pc-linux-gnu, built 2025)", "CockroachDB CCL v25.1.0"),
        ("PostgreSQL 15.2-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu", "PostgreSQL 15.2-YB-2025.1.0.0-b0 on"),
    ],
)
def test_another_engine_with_all_features_has_a_notice(session: DatabaseSession, text: str, name: str) -> None:
    claims_to_be(session, text)
    (notice,) = check_server(session)
    assert notice.startswith(f"the database is {name}, with which smtprelay was not tested")
    # The trials leave nothing behind.
    assert session.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'smtprelay_trial'") == [(0,)]


def test_features_that_an_engine_lacks_are_found_by_trial(session: DatabaseSession) -> None:
    assert missing_features(session) == []
    assert missing_features(session, [("a moon", "SELECT moon()"), *FEATURES, ("a sun", "SELEKT 1")]) == [
        "a moon",
        "a sun",
    ]


def test_another_engine_that_lacks_a_feature_is_refused(session: DatabaseSession) -> None:
    claims_to_be(session, "CockroachDB CCL v25.1.0 (x86_64-pc-linux-gnu)")
    # As an engine that has one isolation level only.
    session.rows("SET default_transaction_isolation = 'serializable'")
    with pytest.raises(QueueError) as caught:
        check_server(session)
    lacks = "which lacks the isolation level read committed: use PostgreSQL 14 or newer"
    assert str(caught.value) == f"the database is CockroachDB CCL v25.1.0, {lacks}"


def test_an_engine_that_lacks_a_part_of_the_schema_is_refused(session: DatabaseSession) -> None:
    claims_to_be(session, "CockroachDB CCL v25.1.0 (x86_64-pc-linux-gnu)")
    refuse = "BEGIN RAISE feature_not_supported; END"
    ((name,),) = session.rows("SELECT current_database()")
    with psycopg.connect(shared_cluster().url(name, user=ADMINISTRATOR)) as connection:
        connection.execute(f"CREATE FUNCTION other.refuse() RETURNS event_trigger LANGUAGE plpgsql AS '{refuse}'")
        connection.execute(
            """CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE DOMAIN')
               EXECUTE FUNCTION other.refuse()"""
        )
    with pytest.raises(QueueError, match="which lacks CREATE DOMAIN: use PostgreSQL 14 or newer"):
        check_server(session)
