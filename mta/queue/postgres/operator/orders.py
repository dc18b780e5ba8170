"""The orders of an operator on waiting messages, and the end of history. Each is the work of one transaction.

An order that removes the last waiting recipient moves the message to the history. The relay that has it in work then
finds no claim of its own any more, so that it can neither mark its recipients nor settle it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from mta.queue.entries import Action, QueueId, Status
from mta.queue.errors import hold_of_one_recipient
from mta.queue.ids import known_numbers, to_id
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.finish import finish
from mta.queue.search.matching import plain
from mta.queue.sql.statements import read_statements


@dataclass(frozen=True, slots=True)
class OrderStatements:
    """The statements, a field for each in orders.sql. A name that only one of the two has is an error at import."""

    lock: str
    lock_all: str
    all_for: str
    waiting_for: str
    others_wait: str
    retry: str
    reroute: str
    try_now: str
    hold: str
    release: str
    remove: str
    forget: str


_SQL = read_statements(OrderStatements, (files("queue_schema") / "postgres" / "orders.sql").read_text("utf-8"))
# Whether the messages of an order that names none must be held. A retry of all messages must not release those that an
# operator has put on hold.
_HELD = {Action.RETRY: False, Action.RELEASE: True}


def apply_action(
    change: QueueChange,
    action: Action,
    ids: Sequence[QueueId] | None,
    now: float,
    *,
    recipient: str = "",
    to: str = "",
) -> list[QueueId]:
    """Apply an action as `Queue.apply` describes; return the ids of its messages in order.

    Raises QueueError for a hold that cannot be of one recipient, and as `QueueChange.rows` does.
    """
    recipient = plain(recipient)
    numbers = _lock(change, action, ids, recipient)
    if not numbers:
        return []
    if action is Action.REMOVE:
        _remove(change, numbers, now, recipient)
    elif action is Action.RETRY:
        change.rows(_SQL.retry, {"ids": numbers, "now": now})
    elif action is Action.REROUTE:
        change.rows(_SQL.reroute, {"ids": numbers, "recipient": recipient, "to": to})
        change.rows(_SQL.try_now, {"ids": numbers, "now": now})
    else:
        _hold_or_release(change, action, numbers, now, recipient)
    return [to_id(number) for number in numbers]


def _lock(change: QueueChange, action: Action, ids: Sequence[QueueId] | None, recipient: str) -> list[int]:
    """Lock the messages of an order; return their row numbers in order."""
    held = _HELD.get(action) if ids is None else None
    if ids is not None:
        numbers = _locked(change, known_numbers(ids), held)
    elif recipient:
        ((found,),) = change.rows(_SQL.all_for, {"recipient": recipient})
        numbers = _locked(change, found, held)
    else:
        ((numbers,),) = change.rows(_SQL.lock_all, {"held": held})
    if recipient and numbers:
        # Read after the lock, because a settlement may have made the recipient final until then.
        ((numbers,),) = change.rows(_SQL.waiting_for, {"ids": numbers, "recipient": recipient})
    return numbers


def _locked(change: QueueChange, numbers: Sequence[int], held: bool | None) -> list[int]:
    if not numbers:
        return []
    ((locked,),) = change.rows(_SQL.lock, {"ids": numbers, "held": held})
    return locked  # type: ignore[no-any-return]


def _hold_or_release(change: QueueChange, action: Action, numbers: list[int], now: float, recipient: str) -> None:
    if recipient and (rows := change.rows(_SQL.others_wait, {"ids": numbers, "recipient": recipient})):
        raise hold_of_one_recipient(to_id(rows[0][0]))
    if action is Action.HOLD:
        change.rows(_SQL.hold, {"ids": numbers, "now": now})
    else:
        change.rows(_SQL.release, {"ids": numbers})


def _remove(change: QueueChange, numbers: list[int], now: float, recipient: str) -> None:
    ((removed,),) = change.rows(_SQL.remove, {"ids": numbers, "now": now, "recipient": recipient})
    change.counts.count(Status.REMOVED, removed)
    finish(change, numbers, now)


def forget(change: QueueChange, before: float, limit: int) -> int:
    """Drop up to `limit` messages that were finished before then from the history, oldest first; return their number.

    Messages that were finished within the last hour by the clock of the database stay: an offer that is made again,
    because its outcome was not known, finds them there.
    """
    ((forgotten,),) = change.rows(_SQL.forget, {"before": before, "limit": limit})
    return forgotten  # type: ignore[no-any-return]
