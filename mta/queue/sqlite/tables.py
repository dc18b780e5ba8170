"""The statements of each request on the tables of the queue, for a transaction that the caller begins and commits.

`Tables` has the requests of a message's way: add, claim, settle and release. A claim with a deferral filter first reads
the due messages, then defers some of them and claims others. The reading and the deferral are one statement each, with
one value as result or parameter: SQLite then handles hundreds of messages without releasing the interpreter's lock at
every row, which beside a busy reactor thread could take seconds. The history comes last.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence

from mta.message.body import Body, FileBody, MemoryBody
from mta.message.outcome import Delivered, Discarded
from mta.queue.entries import FIRST_ATTEMPTS, LAST_ATTEMPTS
from mta.queue.ids import to_id, to_number
from mta.queue.interface import MAX_DUE_RECIPIENTS, AttemptRecord, Claim, NewMail, QueueId, Settlement, Verdict
from mta.queue.sql.due import CLAIM_BYTES, LOOKED_AT_WHOLE, Candidate, read_candidate
from mta.queue.sql.values import Row, pending_of, read_claim, recipient_row
from mta.queue.sqlite.group_commit import Step, no_step
from mta.queue.sqlite.ledger import LedgerDelta
from mta.queue.sqlite.rows import attempt_row, ids_json, message_row, verdict_row
from mta.queue.sqlite.statements import SQL

#: Messages that a claim with a filter looks at. New mail waits for each of its steps (measured: 2 ms for 500 messages
#: on a busy machine). Below 200, the transactions cost more than their messages.
LOOKED_AT = 200


class Tables:
    """The requests that change rows while a message is on its way. Raises sqlite3.Error."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        file_body: Callable[[QueueId, int], Body],
        ledger: LedgerDelta,
        step: Step = no_step,
    ) -> None:
        """`file_body` returns the body of a message that is stored in a file, by id and size."""
        self._execute = connection.execute
        # One cursor for statements that change rows, because `connection.execute` makes a new one for each.
        self._change = connection.cursor().execute
        self._file_body = file_body
        self._ledger = ledger
        self._step = step

    def add(self, mail: NewMail, now: float, lease: float | None, due: float | None) -> Claim | None:
        """Insert a message. A FileBody must be in its final place already."""
        number = to_number(mail.id)
        due = now if due is None else due
        if mail.held:
            lease = None
        until = due if lease is None else now + lease
        in_file = isinstance(mail.body, FileBody)
        self._step("add message")
        row = message_row(mail, number, now, leased=lease is not None, due=until, in_file=in_file)
        self._change(SQL.add_message, row)
        self._step("add recipients")
        for index, recipient in enumerate(mail.envelope.recipients):
            self._change(SQL.add_recipient, recipient_row(number, index, recipient, due))
        self._ledger.accepted += len(mail.envelope.recipients)
        if not in_file:
            self._step("add body")
            self._change(SQL.add_body, (number, _octets(mail.body)))
        if lease is None:
            return None
        return Claim(mail.id, 1, mail.envelope, mail.body, now, pending_of(mail.envelope))

    def claim(self, now: float, limit: int, lease: float, among: Sequence[int] | None = None) -> list[Claim]:
        """Lease due messages, or those of the row numbers in `among` that are due."""
        rows = self._claimable(now, limit, among)
        numbers = ids_json(row[0] for row in rows)
        self._execute(SQL.lease, (now + lease, now, numbers))
        recipients: dict[int, list[Row]] = {row[0]: [] for row in rows}
        for row in self._execute(SQL.recipients, (numbers,)):
            recipients[row[0]].append(row)
        return [read_claim(row, recipients[row[0]], self._body(row)) for row in rows]

    def read(self, row: Row) -> Claim:
        """Return the claim that a row of `claimable` would give, without a lease."""
        return read_claim(row, self._execute(SQL.recipients, (ids_json([row[0]]),)), self._body(row))

    def _claimable(self, now: float, limit: int, among: Sequence[int] | None) -> list[Row]:
        rows: list[Row] = []
        octets = 0
        found = (
            self._execute(SQL.claimable, (now, limit))
            if among is None
            else self._execute(SQL.claimable_among, (now, limit, ids_json(among)))
        )
        for row in found:
            octets += 0 if row[4] else row[3]
            rows.append(row)
            if octets >= CLAIM_BYTES:
                break
        return rows

    def _body(self, row: Row) -> Body:
        return self._file_body(to_id(row[0]), row[3]) if row[4] else MemoryBody(row[15])

    def settle(self, settlement: Settlement) -> bool:
        """Record verdicts and add reports if the lease still holds; return whether it did."""
        claim, verdicts, now = settlement.claim, settlement.verdicts, settlement.now
        number = to_number(claim.id)
        ends = _ends(claim, verdicts)
        self._step("settle message")
        if ends:
            leased = self._finish(number, claim.token, now)
        else:
            leased = self._change(SQL.confirm_lease, (settlement.delay_reported, number, claim.token)).rowcount == 1
        if not leased:
            self._lost(claim.id)
            return False
        if settlement.keep_claim:
            self._ledger.marks.remove(number, [verdict.index for verdict in verdicts])
        else:
            self._ledger.marks.clear(number)
        self._step("settle recipients")
        for verdict in verdicts:
            if self._change(SQL.settle_recipient, verdict_row(verdict, number, now)).rowcount:
                if verdict.due is None:
                    self._count(verdict)
                if verdict.attempt is not None:
                    self._keep(verdict.attempt, number, verdict.index)
                if verdict.way is not None:
                    self._change(SQL.end_reroute, (number, verdict.index, verdict.way))
        if not ends:
            self._give_back(number, claim.token, now, None if settlement.keep_claim else settlement.not_before)
        for report in settlement.reports:
            self.add(report, now, None, None)
        return True

    def _keep(self, attempt: AttemptRecord, number: int, index: int) -> None:
        """Keep the attempt that was just counted; of many, the first and the last ones are kept."""
        (made,) = self._execute(SQL.add_attempt, attempt_row(attempt, number, index)).fetchone()
        if made > FIRST_ATTEMPTS + LAST_ATTEMPTS:
            self._change(SQL.drop_attempts, (number, index, FIRST_ATTEMPTS, made - LAST_ATTEMPTS))

    def _count(self, verdict: Verdict) -> None:
        if isinstance(verdict.outcome, Delivered):
            self._ledger.delivered += 1
        elif isinstance(verdict.outcome, Discarded):
            self._ledger.removed += 1
        else:
            self._ledger.failed += 1

    def _finish(self, number: int, token: int, now: float) -> bool:
        if self._change(SQL.finish_message, (now, number, token)).rowcount == 0:
            return False
        self._step("drop body")
        self._change(SQL.drop_body, (number,))
        return True

    def _give_back(self, number: int, token: int, now: float, not_before: float | None) -> None:
        """Finish a message without waiting recipients; otherwise give it back, unless `not_before` is None."""
        (due,) = self._execute(SQL.earliest_due, (number,)).fetchone()
        if due is None:
            self._finish(number, token, now)
        elif not_before is not None:
            self._change(SQL.give_back, (max(due, not_before), number, token))

    def finished(self, id: QueueId) -> bool:
        """Whether no recipient of this message is waiting."""
        return self._execute(SQL.finished, (to_number(id),)).fetchone() is not None

    def release(self, claim: Claim, due: float) -> bool:
        """End a lease if it still holds; return whether it did."""
        number = to_number(claim.id)
        if self._change(SQL.give_back, (due, number, claim.token)).rowcount == 0:
            self._lost(claim.id)
            return False
        self._ledger.marks.clear(number)
        return True

    def _lost(self, id: QueueId) -> None:
        """Remove the marks of a message whose lease was lost, unless another claim has it and uses them."""
        number = to_number(id)
        if self._execute(SQL.leased, (number,)).fetchone() is None:
            self._ledger.marks.clear(number)

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> frozenset[int]:
        """Mark recipients; return those that were marked before."""
        return self._ledger.marks.put(to_number(id), indexes)

    def next_due(self) -> float | None:
        """Return when the next unheld message may be claimed."""
        due: float | None = self._execute(SQL.next_due).fetchone()[0]
        return due


def _octets(body: Body) -> bytes:
    return body.data if isinstance(body, MemoryBody) else b"".join(body.chunks())


def _ends(claim: Claim, verdicts: Sequence[Verdict]) -> bool:
    """Whether these verdicts make all recipients final. This is the usual case, in which no recipients are read."""
    if len(claim.pending) == len(verdicts) == 1:
        return verdicts[0].due is None and verdicts[0].index == claim.pending[0].index
    final = {verdict.index for verdict in verdicts if verdict.due is None}
    return final.issuperset(pending.index for pending in claim.pending)


def due_messages(connection: sqlite3.Connection, now: float, *, with_envelopes: bool = False) -> list[Candidate]:
    """Return the messages that are due, longest due first. Raises sqlite3.Error."""
    if with_envelopes:
        parameters = (now, LOOKED_AT_WHOLE, MAX_DUE_RECIPIENTS)
        (found,) = connection.execute(SQL.due_envelopes, parameters).fetchone()
        return [read_candidate(*row) for row in json.loads(found)]
    (found,) = connection.execute(SQL.due_messages, (now, LOOKED_AT)).fetchone()
    return [read_candidate(*row) for row in json.loads(found)]


def defer(connection: sqlite3.Connection, deferred: Sequence[tuple[int, float]], now: float) -> None:
    """Give new due times to those of these messages that are still due, unheld and unleased. Raises sqlite3.Error."""
    if deferred:
        connection.execute(SQL.defer, (json.dumps(deferred), now))


def release_deferred(connection: sqlite3.Connection, due: float, now: float, limit: int) -> int:
    """Make up to `limit` messages due now that were to be due at `due`; return their number. Raises sqlite3.Error."""
    return connection.execute(SQL.release_deferred, (due, now, limit)).rowcount


def forget(connection: sqlite3.Connection, before: float, limit: int) -> int:
    """Drop messages from the history; return their number. Raises sqlite3.Error."""
    return connection.execute(SQL.forget, (before, limit)).rowcount
