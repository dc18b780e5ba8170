"""What each verb does to the tables, inside a transaction that somebody else begins and commits."""

import sqlite3
from collections.abc import Callable, Collection, Sequence

from mta.message.body import Body, FileBody, MemoryBody
from mta.message.outcome import Delivered
from mta.queue.commit import Step, no_step
from mta.queue.ids import to_id, to_number
from mta.queue.interface import Claim, NewMail, QueueId, Verdict
from mta.queue.rows import (
    Row,
    ids_json,
    message_row,
    pending_of,
    read_claim,
    recipient_row,
    verdict_row,
)
from mta.queue.statements import SQL
from mta.queue.tally import Tally

#: Octets of bodies in rows after which a claim takes no further message.
CLAIM_BYTES = 16 * 1024 * 1024


class Tables:
    """The writing verbs as plain functions of their arguments. Raises sqlite3.Error."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        file_body: Callable[[QueueId, int], Body],
        tally: Tally,
        step: Step = no_step,
    ) -> None:
        """`file_body` gives the body of a message that has it in a file."""
        self._execute = connection.execute
        # One cursor for what changes rows, where `execute` would make a new one each time.
        self._change = connection.cursor().execute
        self._file_body = file_body
        self._tally = tally
        self._step = step

    def add(self, mail: NewMail, now: float, lease: float | None, due: float | None) -> Claim | None:
        """Insert a message; a FileBody must lie at its final place already."""
        number = to_number(mail.id)
        due = now if due is None else due
        until = due if lease is None else now + lease
        in_file = isinstance(mail.body, FileBody)
        self._step("add message")
        row = message_row(mail, number, now, leased=lease is not None, due=until, in_file=in_file)
        self._change(SQL.add_message, row)
        self._step("add recipients")
        for index, recipient in enumerate(mail.envelope.recipients):
            self._change(SQL.add_recipient, recipient_row(number, index, recipient, due))
        self._tally.accepted += len(mail.envelope.recipients)
        if not in_file:
            self._step("add body")
            self._change(SQL.add_body, (number, _octets(mail.body)))
        if lease is None:
            return None
        return Claim(mail.id, 1, mail.envelope, mail.body, now, pending_of(mail.envelope))

    def claim(self, now: float, limit: int, lease: float, among: Sequence[int] | None = None) -> list[Claim]:
        """Lease what is due, or what is due among some row numbers."""
        rows = self._claimable(now, limit, among)
        numbers = ids_json(row[0] for row in rows)
        self._execute(SQL.lease, (now + lease, now, numbers))
        recipients: dict[int, list[Row]] = {row[0]: [] for row in rows}
        for row in self._execute(SQL.recipients, (numbers,)):
            recipients[row[0]].append(row)
        return [read_claim(row, recipients[row[0]], self._body(row)) for row in rows]

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

    def settle(
        self,
        claim: Claim,
        verdicts: Sequence[Verdict],
        now: float,
        reports: Sequence[NewMail],
        *,
        keep: bool,
        delay_reported: bool,
        not_before: float,
    ) -> bool:
        """Record verdicts and add reports if the lease still holds; return whether it did."""
        number = to_number(claim.id)
        ends = _ends(claim, verdicts)
        self._step("settle message")
        if ends:
            leased = self._finish(number, claim.token, now)
        else:
            leased = self._change(SQL.confirm_lease, (delay_reported, number, claim.token)).rowcount == 1
        if not leased:
            self._lost(claim.id)
            return False
        if keep:
            self._tally.marks.lift(number, [verdict.index for verdict in verdicts])
        else:
            self._tally.marks.clear(number)
        self._step("settle recipients")
        for verdict in verdicts:
            if self._change(SQL.settle_recipient, verdict_row(verdict, number, now)).rowcount and verdict.due is None:
                self._count(verdict)
        if not ends:
            self._give_back(number, claim.token, now, None if keep else not_before)
        for report in reports:
            self.add(report, now, None, None)
        return True

    def _count(self, verdict: Verdict) -> None:
        if isinstance(verdict.outcome, Delivered):
            self._tally.delivered += 1
        else:
            self._tally.failed += 1

    def _finish(self, number: int, token: int, now: float) -> bool:
        if self._change(SQL.finish_message, (now, number, token)).rowcount == 0:
            return False
        self._step("drop body")
        self._change(SQL.drop_body, (number,))
        return True

    def _give_back(self, number: int, token: int, now: float, not_before: float | None) -> None:
        """Finish a message of which nobody waits any more; give the others back, unless `not_before` is None."""
        (due,) = self._execute(SQL.earliest_due, (number,)).fetchone()
        if due is None:
            self._finish(number, token, now)
        elif not_before is not None:
            self._change(SQL.give_back, (max(due, not_before), number, token))

    def finished(self, id: QueueId) -> bool:
        """Whether nothing of this message waits any more."""
        return self._execute(SQL.finished, (to_number(id),)).fetchone() is not None

    def release(self, claim: Claim, due: float) -> bool:
        """Give a lease back if it still holds; return whether it did."""
        number = to_number(claim.id)
        if self._change(SQL.give_back, (due, number, claim.token)).rowcount == 0:
            self._lost(claim.id)
            return False
        self._tally.marks.clear(number)
        return True

    def _lost(self, id: QueueId) -> None:
        """Leave the marks of a message to whoever has it now; if nobody has, they go."""
        number = to_number(id)
        if self._execute(SQL.leased, (number,)).fetchone() is None:
            self._tally.marks.clear(number)

    def mark(self, id: QueueId, indexes: Collection[int]) -> frozenset[int]:
        """Mark recipients; return those that were marked."""
        return self._tally.marks.put(to_number(id), indexes)

    def next_due(self) -> float | None:
        """Return when the next unheld message may be claimed."""
        due: float | None = self._execute(SQL.next_due).fetchone()[0]
        return due


def _octets(body: Body) -> bytes:
    return body.data if isinstance(body, MemoryBody) else b"".join(body.chunks())


def _ends(claim: Claim, verdicts: Sequence[Verdict]) -> bool:
    """Whether these verdicts leave nobody waiting: the usual case, which needs no look at the recipients."""
    if len(claim.pending) == len(verdicts) == 1:
        return verdicts[0].due is None and verdicts[0].index == claim.pending[0].index
    final = {verdict.index for verdict in verdicts if verdict.due is None}
    return final.issuperset(pending.index for pending in claim.pending)
