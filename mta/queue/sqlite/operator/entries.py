"""Reads messages as entries for an operator: the messages of a query, and their details."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter

from mta.queue.entries import AGE_BOUNDS, AttemptRecord, DomainShape, Entry, Query, QueueId
from mta.queue.ids import to_id
from mta.queue.sql.values import Row, read_state
from mta.queue.sqlite.operator.search import search
from mta.queue.sqlite.rows import ids_json
from mta.queue.sqlite.statements import SQL
from mta.smtp.address import Address

# Messages that one statement reads.
_CHUNK = 500
# Columns of `entries` about the message.
_OF_MESSAGE = 17


@dataclass(slots=True)
class _Details:
    """The details of some messages by row number; attempts also by recipient."""

    attempts: dict[tuple[int, int], list[AttemptRecord]] = field(default_factory=dict)
    reports: dict[int, list[QueueId]] = field(default_factory=dict)


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
    more = _read_details(connection, ids) if details else _Details()
    rows = connection.execute(SQL.entries, (ids,))
    return [_entry(list(group), more) for _, group in groupby(rows, itemgetter(0))]


def _read_details(connection: sqlite3.Connection, ids: str) -> _Details:
    details = _Details()
    for number, index, *attempt in connection.execute(SQL.attempts, (ids,)):
        details.attempts.setdefault((number, index), []).append(AttemptRecord(*attempt))
    for number, report in connection.execute(SQL.reports, (ids,)):
        details.reports.setdefault(number, []).append(to_id(report))
    return details


def _entry(rows: list[Row], details: _Details) -> Entry:
    number, local, domain, size, created, client, held, leased, due, held_since, leased_since = rows[0][:11]
    message_id, subject, author, login, tls, report_of = rows[0][11:_OF_MESSAGE]
    states = [
        read_state(due, row[_OF_MESSAGE:], tuple(details.attempts.get((number, index), ())))
        for index, row in enumerate(rows)
    ]
    return Entry(
        to_id(number),
        "" if local is None else str(Address(local, domain)),
        size,
        created,
        client,
        bool(held),
        bool(leased),
        tuple(states),
        held_since if held else None,
        (created if leased_since is None else leased_since) if leased else None,
        message_id,
        subject,
        author,
        login,
        tls,
        None if report_of is None else to_id(report_of),
        tuple(details.reports.get(number, ())),
    )
