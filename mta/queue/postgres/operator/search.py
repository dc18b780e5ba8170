"""Finds the messages of a query: those that wait, in `message`, and those that are finished, in `history`."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple

from mta.queue.entries import Query
from mta.queue.ids import known_numbers
from mta.queue.postgres.session import DatabaseSession, Row
from mta.queue.search.conditions import Conditions, State
from mta.queue.sql.conditions import SearchTables, Value, Where, exact_domain, only_waiting, whole_domain

# Under the collation "C" only ASCII letters have two cases, whatever the locale of the database is.
_LIKE = 'lower({} COLLATE "C") LIKE lower(? COLLATE "C")'
_WAITING = SearchTables(
    like=_LIKE,
    recipients="recipient AS r WHERE r.message_id = m.id",
    states={
        State.WAITING: "(r.due IS NOT NULL AND NOT m.held)",
        State.HELD: "(r.due IS NOT NULL AND m.held)",
        State.DELIVERED: "r.status = 'delivered'",
        State.FAILED: "r.status = 'failed'",
        State.REMOVED: "r.status = 'removed'",
    },
)
# Half the time of jsonb_to_recordset, because only the parts that a term asks for are taken out.
_FINISHED = SearchTables(
    like=_LIKE,
    recipients="""(
        SELECT one ->> 'local' AS local, one ->> 'domain' AS domain, one ->> 'status' AS status,
               one ->> 'host' AS host, one ->> 'reply' AS reply
        FROM jsonb_array_elements(m.recipients) AS one
    ) AS r WHERE TRUE""",
    states={**_WAITING.states, State.WAITING: "FALSE", State.HELD: "FALSE"},
)
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")


def search(session: DatabaseSession, query: Query) -> list[int]:
    """Return the row numbers of the messages that a query selects, in its order. Raises QueueError."""
    order = f"ORDER BY id {'DESC' if query.newest_first else 'ASC'} LIMIT ?"
    limit = query.limit if query.limit >= 0 else None
    parts: list[str] = []
    values: list[Value] = []
    for table, where in _tables(query.conditions, finished=query.finished):
        if query.ids:
            where.add("m.id = ANY (?::bigint[])", known_numbers(query.ids))
        where.add_cursors(query)
        parts.append(f"(SELECT id FROM {table} AS m WHERE {where.text} {order})")  # noqa: S608 (constant parts)
        values += [*where.values, limit]
    if not parts:
        return []
    statement = f"SELECT id FROM ({' UNION ALL '.join(parts)}) AS found {order}"  # noqa: S608 (constant parts)
    return [number for (number,) in _rows(session, statement, [*values, limit])]


def count_messages(session: DatabaseSession, conditions: Conditions, *, finished: bool) -> int:
    """Return the number of messages that meet conditions. Raises QueueError."""
    parts = ["0"]
    values: list[Value] = []
    for table, where in _tables(conditions, finished=finished):
        parts.append(f"(SELECT count(*) FROM {table} AS m WHERE {where.text})")  # noqa: S608 (constant parts)
        values += where.values
    number: int = _rows(session, f"SELECT {' + '.join(parts)}", values)[0][0]
    return number


def _tables(wanted: Conditions, *, finished: bool) -> Iterator[tuple[str, Where]]:
    """Yield the tables in which there may be such messages, each with the terms of the conditions."""
    if not _is_storable(wanted):
        return
    where = Where(_WAITING)
    where.add_conditions(wanted)
    yield "message", where
    if only_waiting(wanted, finished=finished):
        return
    where = Where(_FINISHED)
    if wanted.states == (State.FAILED,):
        # Part of an index, which keeps a search for failures from reading the whole history.
        where.add("m.failed")
    if wanted.states == (State.REMOVED,):
        where.add("""m.recipients @> '[{"status": "removed"}]'""")
    for domain in (exact_domain(wanted), whole_domain(wanted)):
        if domain is not None:
            # A quarter of the time of a look at each recipient.
            where.add("m.recipients @> ?::jsonb", json.dumps([{"domain": domain}]))
    where.add_conditions(wanted)
    yield "history", where


def _is_storable(wanted: Conditions) -> bool:
    """Whether messages can have texts as in the conditions."""
    texts = (each for each in astuple(wanted) if isinstance(each, str))
    return are_storable(*wanted.words, *texts)


def are_storable(*texts: str) -> bool:
    """Whether the database can have texts, none of which there has NUL or half a character."""
    return not any(map(_UNSTORABLE.search, texts))


def _rows(session: DatabaseSession, statement: str, values: Sequence[Value]) -> list[Row]:
    """Execute a statement in which `?` stands for each value."""
    first, *others = statement.split("?")
    named = "".join(f"%({number})s{text}" for number, text in enumerate(others))
    return session.rows(first + named, {str(number): value for number, value in enumerate(values)})
