"""The statements of an operator's orders, for a transaction that the caller begins and commits."""

import sqlite3
from collections.abc import Sequence

from mta.message.outcome import Failed
from mta.queue.entries import Action, QueueId
from mta.queue.ids import to_id
from mta.queue.interface import MakeReports, Verdict
from mta.queue.sqlite.ledger import LedgerDelta
from mta.queue.sqlite.rows import ids_json, known_numbers, storable
from mta.queue.sqlite.statements import SQL
from mta.queue.sqlite.tables import Tables

# A retry of all messages must not release those that an operator has put on hold.
_EVERYTHING = {Action.RETRY: SQL.all_unheld, Action.RELEASE: SQL.all_held}


def apply_action(
    connection: sqlite3.Connection, action: Action, ids: Sequence[QueueId] | None, now: float, ledger: LedgerDelta
) -> tuple[list[QueueId], list[QueueId]]:
    """Apply an action; return the ids of its messages, and those whose files may be removed. Raises sqlite3.Error."""
    if ids is None:
        rows = connection.execute(_EVERYTHING.get(action, SQL.all_waiting)).fetchall()
    else:
        rows = connection.execute(SQL.waiting_among, (ids_json(known_numbers(ids)),)).fetchall()
    numbers = ids_json(number for number, _ in rows)
    done = [to_id(number) for number, _ in rows]
    if action is Action.REMOVE:
        ledger.removed += _remove(connection, numbers, now)
        return done, [to_id(number) for number, in_file in rows if in_file]
    if action is Action.RETRY:
        connection.execute(SQL.retry, (now, numbers))
    else:
        held = action is Action.HOLD
        connection.execute(SQL.hold, (held, now if held else None, numbers))
    return done, []


def _remove(connection: sqlite3.Connection, numbers: str, now: float) -> int:
    """Make waiting recipients final as removed; return their number."""
    removed = connection.execute(SQL.remove_recipients, (now, numbers)).rowcount
    _finish(connection, numbers, now)
    return removed


def _finish(connection: sqlite3.Connection, numbers: str, now: float) -> None:
    connection.execute(SQL.remove_messages, (now, numbers))
    connection.execute(SQL.remove_bodies, (numbers,))


def bounce(
    connection: sqlite3.Connection,
    tables: Tables,
    ids: Sequence[QueueId],
    now: float,
    *,
    text: str,
    make_reports: MakeReports,
    ledger: LedgerDelta,
) -> tuple[list[QueueId], list[QueueId]]:
    """Return messages to their senders; give their ids, and those whose files may go. Raises sqlite3.Error."""
    done: list[QueueId] = []
    filed: list[QueueId] = []
    for number in sorted(set(known_numbers(ids))):
        row = connection.execute(SQL.returnable, (number,)).fetchone()
        if row is None:
            continue
        claim = tables.read(row)
        verdicts = [
            Verdict(index, returned(text, reply, host))
            for index, reply, host in connection.execute(SQL.last_replies, (number,)).fetchall()
        ]
        for report in make_reports(claim, verdicts):
            tables.add(report, now, None, None)
        for verdict in verdicts:
            outcome = verdict.outcome
            values = (storable(outcome.text), storable(outcome.host), now, number, verdict.index)
            connection.execute(SQL.return_recipient, values)
        ledger.failed += len(verdicts)
        _finish(connection, ids_json([number]), now)
        done.append(claim.id)
        if row[4]:
            filed.append(claim.id)
    return done, filed


def returned(text: str, reply: str, host: str) -> Failed:
    """Return the failure of a recipient whose message an operator returns, with the last answer of its host."""
    return Failed(f"{text}; the last try said: {reply}" if reply else text, host)
