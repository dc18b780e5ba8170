"""The statements of an operator's orders, for a transaction that the caller begins and commits."""

import sqlite3
from collections.abc import Sequence

from mta.queue.entries import Action, QueueId
from mta.queue.errors import hold_of_one_recipient
from mta.queue.ids import known_numbers, to_id
from mta.queue.interface import MakeReports, Verdict
from mta.queue.search.matching import plain
from mta.queue.sql.values import returned, storable
from mta.queue.sqlite.ledger import LedgerDelta
from mta.queue.sqlite.rows import ids_json
from mta.queue.sqlite.statements import SQL
from mta.queue.sqlite.tables import Tables

# A retry of all messages must not release those that an operator has put on hold.
_EVERYTHING = {Action.RETRY: SQL.all_unheld, Action.RELEASE: SQL.all_held}


# The row number of a message, and whether its body is in a file.
_Found = list[tuple[int, int]]
_Done = tuple[list[QueueId], list[QueueId]]


def apply_action(
    connection: sqlite3.Connection,
    action: Action,
    ids: Sequence[QueueId] | None,
    now: float,
    *,
    recipient: str = "",
    to: str = "",
    ledger: LedgerDelta,
) -> _Done:
    """Apply an action; return the ids of its messages, and those whose files may be removed.

    Raises QueueError for a hold that cannot be of one recipient, and sqlite3.Error.
    """
    recipient = plain(recipient)
    found = _find(connection, action, ids, recipient)
    numbers = _numbers(found)
    done = [to_id(number) for number, _ in found]
    if action is Action.REMOVE:
        ledger.removed += _remove(connection, numbers, now, recipient)
        return done, _finish(connection, numbers, now)
    if action is Action.RETRY:
        connection.execute(SQL.retry, (now, numbers))
    elif action is Action.REROUTE:
        connection.execute(SQL.reroute, (to, numbers, recipient))
        connection.execute(SQL.try_now, (now, numbers))
    else:
        if recipient and (row := connection.execute(SQL.others_wait, (numbers, recipient)).fetchone()) is not None:
            raise hold_of_one_recipient(to_id(row[0]))
        held = action is Action.HOLD
        connection.execute(SQL.hold, (held, now if held else None, numbers))
    return done, []


def _find(connection: sqlite3.Connection, action: Action, ids: Sequence[QueueId] | None, recipient: str) -> _Found:
    """Return the messages of an order."""
    if ids is None:
        found: _Found = connection.execute(_EVERYTHING.get(action, SQL.all_waiting)).fetchall()
    else:
        found = connection.execute(SQL.waiting_among, (ids_json(known_numbers(ids)),)).fetchall()
    return connection.execute(SQL.waiting_for, (_numbers(found), recipient)).fetchall() if recipient else found


def _numbers(found: _Found) -> str:
    return ids_json(number for number, _ in found)


def _remove(connection: sqlite3.Connection, numbers: str, now: float, recipient: str) -> int:
    """Make waiting recipients final as removed; return their number."""
    if recipient:
        return connection.execute(SQL.remove_recipient, (now, numbers, recipient)).rowcount
    return connection.execute(SQL.remove_recipients, (now, numbers)).rowcount


def _finish(connection: sqlite3.Connection, numbers: str, now: float) -> list[QueueId]:
    """Finish those of these messages in which no recipient waits; return the ids of those with a file."""
    found: _Found = connection.execute(SQL.without_waiting, (numbers,)).fetchall()
    numbers = _numbers(found)
    connection.execute(SQL.remove_messages, (now, numbers))
    connection.execute(SQL.remove_bodies, (numbers,))
    return [to_id(number) for number, in_file in found if in_file]


def bounce(
    connection: sqlite3.Connection,
    tables: Tables,
    ids: Sequence[QueueId],
    now: float,
    *,
    text: str,
    make_reports: MakeReports,
    recipient: str = "",
    ledger: LedgerDelta,
) -> _Done:
    """Return messages to their senders; give their ids, and those whose files may go. Raises sqlite3.Error."""
    recipient = plain(recipient)
    done: list[QueueId] = []
    filed: list[QueueId] = []
    for number in sorted(set(known_numbers(ids))):
        row = connection.execute(SQL.returnable, (number,)).fetchone()
        replies = connection.execute(SQL.last_replies, (number, recipient)).fetchall()
        if row is None or not replies:
            continue
        claim = tables.read(row)
        verdicts = [Verdict(index, returned(text, reply, host)) for index, reply, host in replies]
        for report in make_reports(claim, verdicts):
            tables.add(report, now, None, None)
        for verdict in verdicts:
            outcome = verdict.outcome
            values = (storable(outcome.text), storable(outcome.host), now, number, verdict.index)
            connection.execute(SQL.return_recipient, values)
        ledger.failed += len(verdicts)
        filed += _finish(connection, ids_json([number]), now)
        done.append(claim.id)
    return done, filed
