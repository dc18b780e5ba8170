"""Claims of due messages, their release, and the deferral of due messages by a filter.

All are works of a transaction that has locked the lane of the node in whose name they are done (`QueueChange`), and
raise QueueError as `QueueChange.rows` does. Relays that claim at the same time pass over each other's messages.
"""

from collections.abc import Callable, Collection, Sequence

from mta.message.body import Body, MemoryBody
from mta.queue.ids import to_id, to_number
from mta.queue.interface import MAX_DUE_RECIPIENTS, Claim, QueueId
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.mail.claim_start import ClaimStart
from mta.queue.postgres.mail.statements import SQL
from mta.queue.sql.due import CLAIM_BYTES, LOOKED_AT_WHOLE, Candidate, read_candidate
from mta.queue.sql.marks import read_marks
from mta.queue.sql.values import Row, read_claim

#: Octets of bodies in chunks at which a claim ends: they are fetched before the claim is handed out.
LARGE_CLAIM_BYTES = 64 * 1024 * 1024
#: Messages that a claim with a filter looks at.
LOOKED_AT = 500

#: A claim, and the recipients of which a node that was taken over may have sent a copy.
DoubtfulClaim = tuple[Claim, frozenset[int]]
#: Returns the body of a message in chunks, by id and size.
LargeBody = Callable[[QueueId, int], Body]

_DATA, _DOUBT, _DUE = 15, 18, 19


def claim(
    change: QueueChange,
    start: ClaimStart,
    now: float,
    limit: int,
    lease: float,
    *,
    large_body: LargeBody,
    among: Sequence[int] | None = None,
) -> list[DoubtfulClaim]:
    """Claim up to `limit` due messages, or those of the row numbers in `among` that are due, longest due first.

    If messages are due, at least one is claimed; the octets of their bodies bound the number too.
    """
    values = {
        "node": change.node,
        "now": now,
        "until": now + lease,
        "limit": limit,
        "octets": CLAIM_BYTES,
        "large_octets": LARGE_CLAIM_BYTES,
        "among": None if among is None else list(among),
        "start": start.next(now) if among is None else now,
    }
    rows = change.rows(SQL.claim, values)
    if not rows:
        return []
    rows.sort(key=lambda row: (row[_DUE], row[0]))
    if among is None:
        start.found(rows[0][_DUE])
    recipients: dict[int, list[Row]] = {row[0]: [] for row in rows}
    for row in change.rows(SQL.recipients, {"ids": list(recipients)}):
        recipients[row[0]].append(row)
    return [_read(row, recipients[row[0]], large_body) for row in rows]


def _read(row: Row, recipients: Sequence[Row], large_body: LargeBody) -> DoubtfulClaim:
    number, size, chunks, data, doubt = row[0], row[3], row[4], row[_DATA], row[_DOUBT]
    body = large_body(to_id(number), size) if chunks else MemoryBody(data)
    doubtful = frozenset[int]() if doubt is None else read_marks(doubt).get(number, frozenset())
    return read_claim(row[:_DOUBT], recipients, body), doubtful


def due_messages(
    change: QueueChange, start: ClaimStart, now: float, *, with_envelopes: bool = False
) -> list[Candidate]:
    """Return the messages that are due, longest due first, for `mta.queue.sql.due.select_due`. Claims none."""
    values: dict[str, float] = {"now": now, "start": start.next(now)}
    if with_envelopes:
        rows = change.rows(SQL.due_envelopes, {**values, "limit": LOOKED_AT_WHOLE, "recipients": MAX_DUE_RECIPIENTS})
    else:
        rows = change.rows(SQL.due_messages, {**values, "limit": LOOKED_AT})
    if rows:
        start.found(rows[0][0])
    return [read_candidate(*row[1:]) for row in rows]


def defer(change: QueueChange, deferred: Sequence[tuple[int, float]], now: float) -> None:
    """Give new due times to those of these messages that are still due, unheld and unclaimed."""
    if deferred:
        numbers, dues = zip(*deferred, strict=True)
        change.rows(SQL.defer, {"ids": list(numbers), "dues": list(map(float, dues)), "now": now})


def release(change: QueueChange, claim: Claim, due: float) -> bool:
    """Give a claim back without results; return whether it still held."""
    values = {"id": to_number(claim.id), "token": claim.token, "node": change.node, "due": due}
    if change.rows(SQL.release, values):
        return True
    return change.again and bool(change.rows(SQL.given_back, values))


def release_deferred(change: QueueChange, due: float, now: float, limit: int) -> int:
    """Make up to `limit` messages due now that were to be due at `due`, as `Queue.release_deferred`."""
    ((count,),) = change.rows(SQL.release_deferred, {"due": due, "now": now, "limit": limit})
    return int(count)


def strays(change: QueueChange, kept: Collection[int], before: float) -> list[int]:
    """Return the row numbers of messages that this node has claimed before then but may not have in work.

    They come from claims and adds whose answer was lost. `kept` has the row numbers of the messages in work, and
    `before` must be so long ago that no answer to a claim or add of that time is still under way.
    """
    rows = change.rows(SQL.strays, {"node": change.node, "kept": list(kept), "before": before})
    return [row[0] for row in rows]


def release_strays(change: QueueChange, numbers: Collection[int], now: float, before: float) -> None:
    """Release those of these messages that this node has not claimed again since `before`."""
    change.rows(SQL.release_strays, {"node": change.node, "ids": list(numbers), "now": now, "before": before})


def next_due(change: QueueChange, start: ClaimStart, now: float) -> float | None:
    """Return when the next unheld message may be claimed."""
    rows = change.rows(SQL.next_due, {"start": start.next(now)})
    return float(rows[0][0]) if rows else None
