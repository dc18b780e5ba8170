"""Arrays as parameters: PostgreSQL reads them as they are."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.queue.postgres.arrays import Booleans, Floats, Integers, Numbers, Octets, Texts
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


def numbers(bits: int) -> st.SearchStrategy[Any]:
    return st.none() | st.integers(-(1 << bits), (1 << bits) - 1)


KINDS = [
    (Texts, "text", st.none() | _TEXT),
    (Octets, "bytea", st.binary()),
    (Integers, "integer", numbers(31)),
    (Numbers, "bigint", numbers(63)),
    (Floats, "double precision", st.floats(allow_nan=False)),
    (Booleans, "boolean", st.booleans()),
]


@pytest.fixture
def session(database_url: str):
    session = DatabaseSession(read_server(database_url).connection_parameters())
    yield session
    session.close()


@pytest.mark.parametrize(("kind", "name", "elements"), KINDS, ids=[name for _, name, _ in KINDS])
def test_an_array_arrives_as_it_was_sent(session, kind, name, elements):
    # One connection serves all examples.
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(elements))
    def check(values):
        statement = f"SELECT %(values)s::{name}[], (SELECT count(*) FROM unnest(%(values)s::{name}[]))"
        assert session.rows(statement, {"values": kind(values)}) == [(values, len(values))]

    check()
