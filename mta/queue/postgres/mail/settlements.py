"""Settlements that do more than to finish a message at its first attempt: the batch statement has those.

A settlement is the work of a transaction that has locked the lane of the node in whose name the message was claimed.
The usual one, a new attempt for the only recipient, is one statement.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from mta.queue.entries import FIRST_ATTEMPTS, LAST_ATTEMPTS, Status
from mta.queue.ids import to_number
from mta.queue.interface import Settlement, Verdict
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.finish import finish
from mta.queue.postgres.lanes.batch import add_all
from mta.queue.postgres.lanes.rows import attempt_columns
from mta.queue.postgres.mail.statements import SQL
from mta.queue.postgres.session import Values
from mta.queue.sql.values import storable_without_nul as storable


def settle(change: QueueChange, settlement: Settlement, *, marked: Collection[int] = ()) -> bool:
    """Carry out `Queue.settle` but for the marks of copies in flight; return whether the claim still held.

    `marked` are the recipients that were marked under this claim: of these it is told that they may get a second copy.
    If it may have been done before (`change.again`), it is not done twice, and the result is as it was then. Raises
    QueueError as `QueueChange.rows` does, and if a report is in the queue already.
    """
    fence = {"id": to_number(settlement.claim.id), "token": settlement.claim.token, "node": change.node}
    if change.again and _is_recorded(change, settlement, fence):
        return True
    if not _has_verdicts_on_all(settlement) and not change.rows(SQL.lock, fence):
        return False
    rounds = list(_rounds(settlement.verdicts))
    for verdicts in rounds:
        keep = settlement.keep_claim or verdicts is not rounds[-1]
        told = [verdict.index for verdict in verdicts if verdict.due is None or verdict.index in marked]
        held, due = _record(change, settlement, fence, verdicts, told, keep=keep)
        if not held:
            return False
    add_all(change, settlement.reports, settlement.now)
    if due is None:
        finish(change, [fence["id"]], settlement.now)
    return True


def _is_recorded(change: QueueChange, settlement: Settlement, fence: Values) -> bool:
    reports = [to_number(report.id) for report in settlement.reports]
    return bool(change.rows(SQL.recorded, {**fence, **_verdict_values(settlement.verdicts), "reports": reports}))


def _has_verdicts_on_all(settlement: Settlement) -> bool:
    """Whether each recipient that waited when the message was claimed has a verdict."""
    claim, verdicts = settlement.claim, settlement.verdicts
    return {verdict.index for verdict in verdicts}.issuperset(pending.index for pending in claim.pending)


def _rounds(verdicts: Sequence[Verdict]) -> Iterator[Sequence[Verdict]]:
    """Yield the verdicts in order, so that a recipient has at most one in each part; yield one part at least."""
    part: dict[int, Verdict] = {}
    for verdict in verdicts:
        if verdict.index in part:
            yield list(part.values())
            part = {}
        part[verdict.index] = verdict
    yield list(part.values())


def _record(
    change: QueueChange,
    settlement: Settlement,
    fence: dict[str, int],
    verdicts: Sequence[Verdict],
    told: Sequence[int],
    *,
    keep: bool,
) -> tuple[bool, float | None]:
    """Record verdicts and count them; return whether the claim held, and when the next recipient is due."""
    values: dict[str, Any] = {**fence, **_verdict_values(verdicts)}
    values |= {"now": settlement.now, "keep": keep, "not_before": settlement.not_before}
    values["told"] = told
    values |= {"delay_reported": settlement.delay_reported, "many": FIRST_ATTEMPTS + LAST_ATTEMPTS}
    ((number, due, delivered, failed, removed, many, attempts),) = change.rows(SQL.settle, values)
    if number is None:
        return False, None
    change.counts.count(Status.DELIVERED, delivered)
    change.counts.count(Status.FAILED, failed)
    change.counts.count(Status.REMOVED, removed)
    if many:
        bounds = {"first": FIRST_ATTEMPTS, "last": LAST_ATTEMPTS}
        change.rows(SQL.drop_attempts, {"id": number, "idx": many, "attempts": attempts, **bounds})
    return True, due


def _verdict_values(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    rows = {verdict.index: _row(verdict) for verdict in verdicts}
    return {"idx": list(rows), "verdicts": json.dumps(rows)}


def _row(verdict: Verdict) -> dict[str, Any]:
    outcome, attempt = verdict.outcome, verdict.attempt
    row: dict[str, Any] = {
        "status": verdict.status.value,
        "due": verdict.due,
        "reply": storable(outcome.text),
        "host": storable(outcome.host),
        "signed_by": storable(verdict.signed_by) or None,
        "way": verdict.way,
    }
    if attempt is not None:
        row["made"] = attempt_columns(attempt)
    return row
