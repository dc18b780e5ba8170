"""A batch: messages to add, messages that are finished, and marks, as the arrays of one statement.

One statement in its own transaction is one round trip. The parts that a batch lacks are NULL, so that each form of the
statement is planned once for each connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from struct import Struct
from typing import Any

from mta.message.body import MemoryBody
from mta.queue.ids import to_number
from mta.queue.interface import NewMail, Pending, QueueError, Settlement, Status, Verdict
from mta.queue.postgres.arrays import read_numbers
from mta.queue.postgres.change import LaneFence, QueueChange
from mta.queue.postgres.errors import Conflict, Fenced
from mta.queue.postgres.lanes.rows import (
    BODY_COLUMNS,
    ENDED_COLUMNS,
    MARKED_COLUMNS,
    MESSAGE_COLUMNS,
    PLAIN,
    RECIPIENT_COLUMNS,
    Columns,
    finished_recipients,
    message_row,
)
from mta.queue.postgres.lanes.statements import BATCH, BATCH_AGAIN, PLAIN_BATCH, SQL
from mta.queue.postgres.prepared import PreparedStatement, Rows
from mta.queue.postgres.session import DatabaseSession
from mta.queue.sql.values import recipient_row

# Values of the fence.
_BIGINT, _INT = Struct(">q").pack, Struct(">i").pack
# The values of the columns that a plain batch does not have.
_plain_values, _ALL_USUAL = itemgetter(*PLAIN), (None,) * len(PLAIN)
# The numbers of recipients delivered, failed and removed of most messages.
_DELIVERED, _ONE_DELIVERED = Status.DELIVERED, (1, 0, 0)
_NOT_BEFORE: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The row numbers of messages, by the parts of a batch that were done."""

    #: Messages that this statement added.
    added: frozenset[int]
    #: Messages that are finished by this claim, now or by an earlier offer.
    ended: frozenset[int]
    #: The claims, as row numbers and tokens, whose marks are recorded; any other claim was lost.
    marked: frozenset[tuple[int, int]]
    #: Messages that an earlier offer added and that are still claimed by this node.
    kept: frozenset[int]
    #: Whether there was an earlier offer.
    again: bool


NOTHING_DONE = BatchResult(frozenset(), frozenset(), frozenset(), frozenset(), again=False)


@dataclass(slots=True)
class MailBatch:
    """Gathers the parts of one statement."""

    messages: list[tuple[Any, ...]] = field(default_factory=list)
    addresses: list[tuple[Any, ...]] = field(default_factory=list)
    bodies: list[tuple[int, bytes]] = field(default_factory=list)
    ends: list[tuple[Any, ...]] = field(default_factory=list)
    #: The tokens of the claims to mark, by row number. Of several claims of a message only the newest can hold.
    marks: dict[int, int] = field(default_factory=dict)
    #: The text of all marks of the lane, or None if it stays as it is.
    sending: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it has no part."""
        return not (self.messages or self.ends or self.marks) and self.sending is None

    def add(self, mail: NewMail, now: float, until: float | None, due: float) -> None:
        """Add a message that is claimed `until` then, or due at `due` if `until` is None.

        The chunks of a body that is no MemoryBody must be stored already.
        """
        number = to_number(mail.id)
        token = int(until is not None)
        self.messages.append(message_row(mail, number, now, token=token, due=due if until is None else until))
        for index, recipient in enumerate(mail.envelope.recipients):
            self.addresses.append(recipient_row(number, index, recipient, due))
        if isinstance(mail.body, MemoryBody):
            self.bodies.append((number, mail.body.data))

    def end(self, settlement: Settlement) -> None:
        """Finish a message, of which `is_plain_end` is true, by these verdicts."""
        claim, verdicts, now = settlement.claim, settlement.verdicts, settlement.now
        counts: Sequence[int] = _ONE_DELIVERED
        if len(verdicts) != 1 or verdicts[0].status is not _DELIVERED:
            statuses = [verdict.status for verdict in verdicts]
            counts = tuple(map(statuses.count, (_DELIVERED, Status.FAILED, Status.REMOVED)))
        recipients = finished_recipients(claim, verdicts, now)
        self.ends.append((to_number(claim.id), claim.token, now, *counts, recipients))

    def mark(self, number: int, token: int) -> None:
        """Have the statement check that a message to mark is still claimed."""
        self.marks[number] = max(token, self.marks.get(number, token))

    def execute(self, session: DatabaseSession, fence: LaneFence, *, again: bool) -> BatchResult:
        """Carry out the batch. `again` tells that an earlier offer of it may have been done; it needs a transaction.

        Raises Fenced if the lane is not this session's any more, and as `DatabaseSession.rows` does.
        """
        statement, values = self.statement(fence, again=again)
        result = self.result(session.execute(statement, values), again=again)
        if again and result.added and session.rows(SQL.finished, {"ids": list(result.added)}):
            raise Conflict("another relay finished a message while it was offered again")
        return result

    def statement(self, fence: LaneFence, *, again: bool) -> tuple[PreparedStatement, dict[str, bytes | None]]:
        """Return the statement that carries it out, and its values."""
        values = _columns(MESSAGE_COLUMNS, self.messages)
        values |= _columns(RECIPIENT_COLUMNS, self.addresses)
        values |= _columns(BODY_COLUMNS, self.bodies)
        values |= _columns(ENDED_COLUMNS, self.ends)
        values |= _columns(MARKED_COLUMNS, [*self.marks.items()])
        values |= {"node": _BIGINT(fence.node), "lane": _INT(fence.lane), "session": _BIGINT(fence.session)}
        values["sending"] = None if self.sending is None else self.sending.encode()
        if again:
            return BATCH_AGAIN, values
        return (PLAIN_BATCH if _plain_values(values) == _ALL_USUAL else BATCH), values

    def result(self, rows: Rows, *, again: bool) -> BatchResult:
        """Return the result of the statement with these rows. Raises Fenced if there are none."""
        if not rows:
            raise Fenced("the other relays took this one for dead and have its mail")
        added, ended, marked, *before = (frozenset(read_numbers(array)) for array in rows[0])
        ended_before, kept = before or _NOT_BEFORE
        claims = frozenset((number, self.marks[number]) for number in marked)
        return BatchResult(added, ended | ended_before, claims, kept, again)


def add_all(change: QueueChange, mails: Sequence[NewMail], now: float) -> None:
    """Add messages that are due at once, within a transaction that has locked the lane, and which it counts.

    Of a second offer, messages that are there already stay as they are. Raises QueueError if one is there otherwise.
    """
    if not mails:
        return
    batch = MailBatch()
    for mail in mails:
        batch.add(mail, now, None, now)
    fence = change.fence or LaneFence(change.node, 0)
    result = batch.execute(change.session, fence, again=change.again)
    if not change.again and len(result.added) != len(mails):
        raise QueueError("a report is in the queue already")


def is_plain_end(settlement: Settlement) -> bool:
    """Whether a settlement does no more than to make all recipients final, at the first attempt for each.

    Other settlements need the rows of earlier verdicts, or add messages.
    """
    claim, verdicts = settlement.claim, settlement.verdicts
    if (
        settlement.reports
        or not len(verdicts) == len(claim.pending) == len(claim.envelope.recipients)
        or not isinstance(claim.body, MemoryBody)
    ):
        return False
    if len(verdicts) == 1:
        return _is_first_and_final(verdicts[0], claim.pending[0])
    by_index = {pending.index: pending for pending in claim.pending}
    return by_index.keys() == {verdict.index for verdict in verdicts} and all(
        _is_first_and_final(verdict, by_index[verdict.index]) for verdict in verdicts
    )


def _is_first_and_final(verdict: Verdict, pending: Pending) -> bool:
    return verdict.index == pending.index and verdict.due is None and verdict.way is None and not pending.attempts


def _columns(columns: Columns, rows: Sequence[Sequence[Any]]) -> dict[str, bytes | None]:
    """Return the arrays of rows by name, and NULL for those that are empty or have only the usual value."""
    if not rows:
        return dict.fromkeys(columns)
    return {
        name: None if values[0] == usual and values.count(usual) == len(values) else array(values)
        for (name, (array, usual)), values in zip(columns.items(), zip(*rows, strict=True), strict=True)
    }
