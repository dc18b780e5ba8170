"""Makes an operator's view of messages from rows, whose columns the queues in SQL databases give in the same order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from mta.queue.entries import AttemptRecord, Entry, QueueId, RecipientState, Status
from mta.queue.ids import to_id
from mta.smtp.address import Address

#: Columns about the message.
ENTRY_COLUMNS = 18
_STATUSES = {status.value: status for status in Status}


@dataclass(slots=True)
class EntryDetails:
    """The details of some messages by row number; attempts also by recipient."""

    attempts: dict[tuple[int, int], list[AttemptRecord]] = field(default_factory=dict)
    reports: dict[int, list[QueueId]] = field(default_factory=dict)


def read_details(attempts: Iterable[Sequence[Any]], reports: Iterable[Sequence[Any]]) -> EntryDetails:
    """Return the details of rows: message_id, idx and an attempt; report_of and id."""
    details = EntryDetails()
    for number, index, *attempt in attempts:
        details.attempts.setdefault((number, index), []).append(AttemptRecord(*attempt))
    for number, report in reports:
        details.reports.setdefault(number, []).append(to_id(report))
    return details


def read_entries(rows: Iterable[Sequence[Any]], details: EntryDetails) -> Iterator[Entry]:
    """Yield the messages of rows, one for each recipient, in their order: those of a message follow each other."""
    for number, group in groupby(rows, itemgetter(0)):
        recipients = list(group)
        due = recipients[0][8]
        states = [
            read_state(due, row[ENTRY_COLUMNS:], details.attempts.get((number, index), ()))
            for index, row in enumerate(recipients)
        ]
        yield read_entry(recipients[0][:ENTRY_COLUMNS], states, details)


def read_entry(row: Sequence[Any], states: Sequence[RecipientState], details: EntryDetails) -> Entry:
    """Return a message with its recipients.

    The columns are id, sender_local, sender_domain, size, created, client, held, leased, due, held_since, leased_since,
    message_id, subject, author, login, tls, tls_demand and report_of.
    """
    number, local, domain, size, created, client, held, leased, _due, held_since, leased_since = row[:11]
    message_id, subject, author, login, tls, tls_demand, report_of = row[11:]
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
        tls_demand or "",
        None if report_of is None else to_id(report_of),
        tuple(details.reports.get(number, ())),
    )


def read_state(due: float | None, row: Sequence[Any], made: Sequence[AttemptRecord] = ()) -> RecipientState:
    """Return a recipient of a message that is due then, with the attempts `made` for it.

    The columns are local, domain, status, attempts, reply, host, finished, signed_by and way.
    """
    local, domain, status, attempts, reply, host, finished, signed_by, way = row
    status = _STATUSES[status]
    waits = status is Status.WAITING
    due, way = (due, way or "") if waits else (None, "")
    address = str(Address(local, domain))
    return RecipientState(address, status, attempts, due, reply, host, finished, signed_by or "", tuple(made), way)
