"""Arrays as values of prepared statements: PostgreSQL reads them as they are."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.queue.postgres.arrays import booleans, floats, integers, numbers, octets, read_numbers, texts
from mta.queue.postgres.prepared import prepared_statement
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


def whole(bits: int) -> st.SearchStrategy[Any]:
    return st.none() | st.integers(-(1 << bits), (1 << bits) - 1)


KINDS = [
    (texts, "text", st.none() | _TEXT),
    (octets, "bytea", st.binary()),
    (integers, "integer", whole(31)),
    (numbers, "bigint", whole(63)),
    (floats, "double precision", st.none() | st.floats(allow_nan=False)),
    (booleans, "boolean", st.none() | st.booleans()),
]


@pytest.fixture
def session(database_url: str):
    session = DatabaseSession(read_server(database_url).connection_parameters())
    yield session
    session.close()


@pytest.mark.parametrize(("to_array", "name", "elements"), KINDS, ids=[name for _, name, _ in KINDS])
def test_an_array_arrives_as_it_was_sent(session, to_array, name, elements):
    session.rows(f"CREATE TEMPORARY TABLE arrived (place serial, elements {name}[], number bigint)")
    insert = prepared_statement(
        "insert",
        f"INSERT INTO arrived (elements, number) VALUES (%(values)s::{name}[], (SELECT count(*) FROM "
        f"unnest(%(values)s::{name}[])))",
    )

    # One connection serves all examples.
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(elements))
    def check(values):
        session.execute(insert, {"values": to_array(values)})
        (arrived,) = session.rows("SELECT elements, number FROM arrived ORDER BY place DESC LIMIT 1")
        assert arrived == (values, len(values))

    check()


def test_a_long_array_arrives_as_it_was_sent(session):
    values = [number % 300 for number in range(1000)]
    count = prepared_statement(
        "count", "SELECT ARRAY(SELECT unnest(%(numbers)s::bigint[]) + unnest(%(integers)s::integer[]))"
    )
    ((sums,),) = session.execute(count, {"numbers": numbers(values), "integers": integers(values)})
    assert read_numbers(sums) == tuple(2 * value for value in values)


def test_texts_lose_nul_and_lone_surrogates(session):
    kept = prepared_statement("kept", "SELECT convert_to(array_to_string(%(texts)s::text[], ','), 'UTF8')")
    for values in (["a\0b\udce9é"], ["a\0b\udce9é", None], ["a\0b\udce9é"] * 2, ["a\0b\udce9é", "c"]):
        arrived = ["ab?é" if value == values[0] else value for value in values if value is not None]
        assert session.execute(kept, {"texts": texts(values)}) == [(",".join(arrived).encode(),)]


def test_arrays_of_many_lengths_leave_little_in_memory():
    tracemalloc.start()
    for length in range(10_000, 10_050):
        numbers(range(length))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000


@pytest.mark.parametrize("elements", [(), (0,), (7, -(1 << 63), (1 << 63) - 1)])
def test_an_array_of_numbers_is_read_as_it_is_written(elements):
    assert read_numbers(numbers(elements)) == elements


def test_no_array_has_no_numbers():
    assert read_numbers(None) == ()
