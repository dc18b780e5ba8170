"""Reads messages as entries for an operator: the messages of a query, and their details."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from mta.queue.entries import AGE_BOUNDS, DomainShape, Entry, Query
from mta.queue.sql.entries import EntryDetails, read_details, read_entries
from mta.queue.sqlite.operator.search import search
from mta.queue.sqlite.rows import ids_json
from mta.queue.sqlite.statements import SQL

# Messages that one statement reads.
_CHUNK = 500


def find(connection: sqlite3.Connection, query: Query) -> list[Entry]:
    """Return the messages of a query; the caller runs a transaction. Raises sqlite3.Error."""
    found: list[Entry] = []
    for numbers in _chunks(search(connection, query)):
        entries = _read(connection, ids_json(numbers), details=query.details)
        found += reversed(entries) if query.newest_first else entries
    return found


def domains(connection: sqlite3.Connection, now: float) -> list[DomainShape]:
    """Return the waiting recipients by domain; the caller runs a transaction. Raises sqlite3.Error."""
    replies = {domain: (reply, host) for domain, reply, host, _ in connection.execute(SQL.domain_replies)}
    return [
        DomainShape(domain, waiting, held, leased, oldest, tuple(ages), *replies.get(domain, ("", "")))
        for domain, waiting, held, leased, oldest, *ages in connection.execute(SQL.domains, (now, *AGE_BOUNDS))
    ]


def _chunks(numbers: Iterable[int]) -> Iterator[Sequence[int]]:
    iterator = iter(numbers)
    while chunk := tuple(islice(iterator, _CHUNK)):
        yield chunk


def _read(connection: sqlite3.Connection, ids: str, *, details: bool) -> list[Entry]:
    """Return messages in the order of their row numbers."""
    more = EntryDetails()
    if details:
        more = read_details(connection.execute(SQL.attempts, (ids,)), connection.execute(SQL.reports, (ids,)))
    return list(read_entries(connection.execute(SQL.entries, (ids,)), more))
