"""Prepared statements: once for each connection, with errors and warnings as for other statements."""

import pytest

from mta.queue.interface import QueueError
from mta.queue.postgres.arrays import numbers, read_numbers
from mta.queue.postgres.errors import OutcomeUnknown
from mta.queue.postgres.prepared import prepared_statement
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server

ADD_ALL = prepared_statement(
    "add_all",
    "SELECT ARRAY[sum(one), sum(one)]::bigint[] FROM unnest(%(left)s::bigint[] || %(right)s::bigint[]) AS one",
)


@pytest.fixture
def session(database_url: str):
    session = DatabaseSession(read_server(database_url).connection_parameters())
    yield session
    session.close()


def total(session: DatabaseSession, left: list[int], right: list[int] | None) -> tuple[int, ...]:
    values = {"left": numbers(left), "right": None if right is None else numbers(right)}
    ((octets,),) = session.execute(ADD_ALL, values)
    return read_numbers(octets)


def test_values_are_numbered_by_their_names():
    found = prepared_statement("both", "SELECT %(b)s::int, %(a)s::int, %(b)s::int")
    assert (found.text, found.values) == (b"SELECT $1::int, $2::int, $1::int", ("b", "a"))


def test_a_statement_is_prepared_once_for_each_connection(session):
    for _ in range(3):
        assert total(session, [1, 2], [3]) == (6, 6)
        assert total(session, [1, 2], None) == (3, 3)
    assert session.rows("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'add_all%%'", {}) == [(1,)]
    session.close()
    assert total(session, [4], [5]) == (9, 9)


def test_a_statement_is_prepared_again_after_a_transaction_was_rolled_back(session):
    def fail() -> None:
        with session.transaction():
            assert total(session, [1], [2]) == (3, 3)
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert total(session, [1], [2]) == (3, 3)


def test_an_error_closes_the_connection_and_names_its_cause(session):
    divide = prepared_statement("divide", "SELECT 1 / cardinality(%(values)s::bigint[])")
    with pytest.raises(QueueError, match="division by zero"):
        session.execute(divide, {"values": numbers([])})
    assert not session.connected
    with pytest.raises(QueueError, match='"nowhere" does not exist'):
        session.execute(prepared_statement("nowhere", "SELECT FROM nowhere"), {})
    assert not session.connected


def test_an_outcome_is_unknown_after_a_warning_and_after_a_lost_connection(session):
    warning = "BEGIN RAISE WARNING 'careful'; RETURN 1; END"
    session.rows(f"CREATE FUNCTION pg_temp.warn() RETURNS int LANGUAGE plpgsql AS $$ {warning} $$")
    with pytest.raises(OutcomeUnknown, match="careful"):
        session.execute(prepared_statement("warn", "SELECT pg_temp.warn()"), {})
    end = prepared_statement("end", "SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(OutcomeUnknown, match="lost"):
        session.execute(end, {})
    assert not session.connected
