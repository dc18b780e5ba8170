"""Answers an operator's questions about the shared queue. Each answer is of one moment, over all relays.

The functions take a session of their own that changes no mail, and block. They raise QueueError.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.resources import files
from operator import attrgetter
from typing import Any

from mta.queue.entries import (
    AGE_BOUNDS,
    AttemptRecord,
    Audit,
    DomainShape,
    Entry,
    Ledger,
    Load,
    Query,
    RecipientState,
    Status,
    Summary,
)
from mta.queue.ids import to_id, to_number
from mta.queue.interface import QueueId
from mta.queue.postgres.operator.search import search
from mta.queue.postgres.session import DatabaseSession
from mta.queue.search.conditions import Conditions
from mta.queue.sql.entries import ENTRY_COLUMNS, EntryDetails, read_details, read_entries, read_entry, read_state
from mta.queue.sql.statements import read_statements

# Messages that one statement reads.
_CHUNK = 500
_SNAPSHOT = "ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class _ReadingStatements:
    waiting_entries: str
    finished_entries: str
    attempts: str
    reports: str
    domains: str
    domain_replies: str
    content: str
    chunks: str
    load: str
    first_due: str
    never_due: str
    count_waiting: str
    count_messages: str
    oldest: str
    count_unreported_waiting: str
    count_finished: str
    count_recipients: str
    ledger: str


_SQL = read_statements(_ReadingStatements, (files("queue_schema") / "postgres" / "operator.sql").read_text("utf-8"))


def _snapshot(session: DatabaseSession) -> AbstractContextManager[None]:
    return session.transaction(_SNAPSHOT)


def find(session: DatabaseSession, query: Query) -> list[Entry]:
    """Return the messages of a query in its order."""
    found: list[Entry] = []
    with _snapshot(session):
        numbers = search(session, query)
        for start in range(0, len(numbers), _CHUNK):
            entries = _entries(session, numbers[start : start + _CHUNK], details=query.details)
            found += sorted(entries, key=attrgetter("id"), reverse=query.newest_first)
    return found


def select(session: DatabaseSession, conditions: Conditions) -> list[QueueId]:
    """Return the ids of the waiting messages that meet conditions, in the order of their arrival."""
    return [to_id(number) for number in search(session, Query(conditions=conditions, limit=-1))]


def _entries(session: DatabaseSession, numbers: Sequence[int], *, details: bool) -> Iterator[Entry]:
    values = {"ids": numbers}
    more = EntryDetails()
    if details:
        more = read_details(session.rows(_SQL.attempts, values), session.rows(_SQL.reports, values))
    yield from read_entries(session.rows(_SQL.waiting_entries, values), more)
    for row in session.rows(_SQL.finished_entries, values):
        states = [_finished_state(one, details=details) for one in row[ENTRY_COLUMNS]]
        yield read_entry(row[:ENTRY_COLUMNS], states, more)


def _finished_state(one: Mapping[str, Any], *, details: bool) -> RecipientState:
    """Return a recipient from `history.recipients`, in which JSON has no difference between 1 and 1.0."""
    row = [one[name] for name in ("local", "domain", "status", "attempts", "reply", "host")]
    made = tuple(map(_attempt, one.get("made", ()))) if details else ()
    return read_state(None, [*row, float(one["finished"]), one.get("signed_by"), None], made)


def _attempt(made: Mapping[str, Any]) -> AttemptRecord:
    host, reply, status, tls = (made[name] for name in ("host", "reply", "status", "tls"))
    time, waited, transfer = (float(made[name]) for name in ("time", "waited", "transfer"))
    return AttemptRecord(time, host, reply, status, tls, waited, transfer)


def domains(session: DatabaseSession, now: float) -> list[DomainShape]:
    """Return the waiting recipients by domain, most first, then by the name of the domain."""
    values = {"now": now, **dict(zip(("first", "second", "third", "fourth"), AGE_BOUNDS, strict=True))}
    with _snapshot(session):
        replies = {domain: told for domain, *told in session.rows(_SQL.domain_replies)}
        rows = session.rows(_SQL.domains, values)
    return [
        DomainShape(domain, waiting, held, claimed, oldest, tuple(ages), *replies.get(domain, ("", "")))
        for domain, waiting, held, claimed, oldest, *ages in rows
    ]


def content(session: DatabaseSession, id: QueueId) -> bytes | None:
    """Return the octets of a waiting message, or None if no message with this id is waiting."""
    values = {"id": to_number(id)}
    with _snapshot(session):
        found = session.rows(_SQL.content, values)
        if not found:
            return None
        chunks, data = found[0]
        return b"".join(part for (part,) in session.rows(_SQL.chunks, values)) if chunks else data


def load(session: DatabaseSession, now: float) -> Load:
    """Return the messages that are due now, and the octets of all that wait."""
    return Load(*session.rows(_SQL.load, {"now": now})[0])


def summary(session: DatabaseSession) -> Summary:
    """Return the counts of messages and recipients, which reads all rows but is one snapshot."""
    with _snapshot(session):
        ((messages, held, claimed),) = session.rows(_SQL.count_messages)
        ((oldest,),) = session.rows(_SQL.oldest)
        recipients = dict.fromkeys(Status, 0)
        recipients.update((Status(status), number) for status, number in session.rows(_SQL.count_recipients))
        ledger = _ledger(session, recipients[Status.WAITING])
        ((finished, failed, unreported),) = session.rows(_SQL.count_finished)
        ((also_unreported,),) = session.rows(_SQL.count_unreported_waiting)
    return Summary(messages, held, claimed, oldest, recipients, ledger, finished, failed, unreported + also_unreported)


def _ledger(session: DatabaseSession, waiting: int) -> Ledger:
    ((accepted, delivered, failed, removed),) = session.rows(_SQL.ledger)
    return Ledger(accepted, delivered, failed, removed, waiting)


def totals(session: DatabaseSession) -> Ledger:
    """Return the counts of all mail so far, without the recipients that wait, which are not counted here."""
    return _ledger(session, 0)


def audit(session: DatabaseSession) -> Audit:
    """Return the facts for an audit."""
    with _snapshot(session):
        ((waiting,),) = session.rows(_SQL.count_waiting)
        ledger = _ledger(session, waiting)
        first = session.rows(_SQL.first_due)
        lost = session.rows(_SQL.never_due)
    due = next(((to_id(number), due) for number, due in first), None)
    return Audit(ledger, due, next((to_id(number) for (number,) in lost), None))
