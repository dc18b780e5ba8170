"""The orders of an operator on waiting messages, and the end of history.

An order that removes the last waiting recipient moves the message to the history. The relay that has it in work then
finds no claim of its own any more, so that it can neither mark its recipients nor settle it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from mta.queue.entries import Action, QueueId, Status
from mta.queue.errors import hold_of_one_recipient
from mta.queue.ids import known_numbers, to_id
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.finish import finish
from mta.queue.postgres.operator.order_statements import SQL
from mta.queue.postgres.operator.search import are_storable
from mta.queue.search.matching import plain

# Whether the messages of an order that names none must be held. A retry of all messages must not release those that an
# operator has put on hold.
_HELD = {Action.RETRY: False, Action.RELEASE: True}
_HOLDS = (Action.HOLD, Action.RELEASE)
#: Messages that one transaction changes.
SLICE = 1000
T = TypeVar("T")


class Submit(Protocol):
    """Runs work in a transaction of its own, in the name of the operators; the result is that of the work."""

    def __call__(self, work: Callable[[QueueChange], T]) -> Deferred[T]:
        """Return a Deferred that fires after the commit. It fails with QueueError."""


async def apply(
    submit: Submit,
    action: Action,
    ids: Sequence[QueueId] | None,
    now: float,
    *,
    recipient: str = "",
    to: str = "",
) -> list[QueueId]:
    """Apply an action as `Queue.apply` describes; return the ids of its messages in order.

    Many messages are changed in several transactions, so that a relay that works on one of them waits for a moment
    only; after an error those of the first ones stay changed. Raises QueueError.
    """
    recipient = plain(recipient)
    if not are_storable(recipient):
        return []
    numbers = await submit(partial(_all, action=action, recipient=recipient)) if ids is None else known_numbers(ids)
    numbers = sorted(set(numbers))
    # The hold of one recipient is refused for all messages or for none.
    most = max(1, len(numbers)) if recipient and action in _HOLDS else SLICE
    done: list[QueueId] = []
    for start in range(0, len(numbers), most):
        part, named = numbers[start : start + most], ids is not None
        work = partial(apply_action, action=action, numbers=part, now=now, recipient=recipient, to=to, named=named)
        done += await submit(work)
    return done


def apply_action(
    change: QueueChange,
    action: Action,
    numbers: Sequence[int],
    now: float,
    *,
    recipient: str = "",
    to: str = "",
    named: bool = True,
) -> list[QueueId]:
    """Apply an action to those of these messages that wait; return their ids in order.

    `recipient` is in lower case. `named` tells that the order names its messages. Raises QueueError for a hold that
    cannot be of one recipient, and as `QueueChange.rows` does.
    """
    held = None if named else _HELD.get(action)
    ((locked,),) = change.rows(SQL.lock, {"ids": list(numbers), "held": held})
    if recipient and locked:
        # Read after the lock, because a settlement may have made the recipient final until then.
        ((locked,),) = change.rows(SQL.waiting_for, {"ids": locked, "recipient": recipient})
    if not locked:
        return []
    if action is Action.REMOVE:
        _remove(change, locked, now, recipient)
    elif action is Action.RETRY:
        change.rows(SQL.retry, {"ids": locked, "now": now})
    elif action is Action.REROUTE:
        change.rows(SQL.reroute, {"ids": locked, "recipient": recipient, "to": to})
        change.rows(SQL.try_now, {"ids": locked, "now": now})
    else:
        _hold_or_release(change, action, locked, now, recipient)
    return [to_id(number) for number in locked]


def _all(change: QueueChange, action: Action, recipient: str) -> list[int]:
    """Return the messages to which an order may apply that names none."""
    if recipient:
        ((numbers,),) = change.rows(SQL.all_for, {"recipient": recipient})
    else:
        ((numbers,),) = change.rows(SQL.all_messages, {"held": _HELD.get(action)})
    return numbers  # type: ignore[no-any-return]


def _hold_or_release(change: QueueChange, action: Action, numbers: list[int], now: float, recipient: str) -> None:
    if recipient and (rows := change.rows(SQL.others_wait, {"ids": numbers, "recipient": recipient})):
        raise hold_of_one_recipient(to_id(rows[0][0]))
    if action is Action.HOLD:
        change.rows(SQL.hold, {"ids": numbers, "now": now})
    else:
        change.rows(SQL.release, {"ids": numbers})


def _remove(change: QueueChange, numbers: list[int], now: float, recipient: str) -> None:
    ((removed,),) = change.rows(SQL.remove, {"ids": numbers, "now": now, "recipient": recipient})
    change.counts.count(Status.REMOVED, removed)
    finish_or_alter(change, numbers, now)


def finish_or_alter(change: QueueChange, numbers: Sequence[int], now: float) -> None:
    """Move messages to the history of which recipients were ended; note it in those in which others wait."""
    if len(finish(change, numbers, now)) < len(numbers):
        change.rows(SQL.alter, {"ids": list(numbers)})


def forget(change: QueueChange, before: float, limit: int) -> int:
    """Drop up to `limit` messages that were finished before then from the history, oldest first; return their number.

    Messages that were finished within the last hour by the clock of the database stay: an offer that is made again,
    because its outcome was not known, finds them there.
    """
    ((forgotten,),) = change.rows(SQL.forget, {"before": before, "limit": limit})
    return forgotten  # type: ignore[no-any-return]
