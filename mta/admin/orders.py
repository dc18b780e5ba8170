"""Carries out an operator's order on a queue, in transactions of a bounded size, so that mail is not held up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from twisted.internet.defer import Deferred

from mta.admin.returning import REASON, OperatorReports, Returned
from mta.admin.state import Order, OrderResult, StateError, WrongOrder
from mta.queue.interface import Action, MakeReports, QueueError, QueueId, Summary
from mta.queue.search.conditions import ANY, Conditions
from mta.queue.search.matching import for_order
from mta.routing.choice import read_way

#: Messages of one transaction; a returned message has its report in memory.
MESSAGES = 1000
RETURNED = 100
_ON_ALL = frozenset({Action.RETRY, Action.HOLD, Action.RELEASE})


class OrderedQueue(Protocol):
    """The part of a queue that orders use; `mta.queue.interface.Queue` has the contract."""

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions."""

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages."""

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an action to messages, and return their ids."""

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders, and give their ids."""


#: Called after each transaction of an order with the order, its messages, and those that it returned.
Done = Callable[[Order, list[QueueId], Sequence[Returned]], object]


@dataclass(slots=True)
class _Progress:
    ids: list[QueueId] = field(default_factory=list)
    unreported: int = 0
    failure: str = ""


class Orders:
    """Carries out orders; `name` is the relay's host name, for reports."""

    def __init__(self, name: str, wall_clock: Callable[[], float]) -> None:
        self._name = name
        self._wall_clock = wall_clock

    async def carry_out(self, order: Order, queue: OrderedQueue, done: Done) -> OrderResult:
        """Apply an order; `done` is called for each part of it once that is on disk. Raises StateError.

        If a part fails after others, the result has the failure.
        """
        order = _checked(order)
        if order.ids is None and order.action not in _ON_ALL:
            raise WrongOrder(f"{order.action.value} needs the ids of messages")
        progress = _Progress()
        held = 0
        try:
            ids = await queue.select(self._all(order.action)) if order.ids is None else order.ids
            await self._parts(order, ids, queue, progress, done)
            held = (await queue.summary()).held if order.action is Action.RETRY and order.ids is None else 0
        except QueueError as error:
            if not progress.ids:
                raise StateError(str(error)) from error
            progress.failure = str(error)
        return OrderResult(tuple(sorted(progress.ids)), held, progress.unreported, progress.failure)

    def _all(self, action: Action) -> Conditions:
        """Return the conditions on the messages of an order for all; mail that clients have wait is not tried."""
        wanted = replace(ANY, released=self._wall_clock()) if action is Action.RETRY else ANY
        return for_order(action, wanted)

    async def _parts(
        self, order: Order, ids: Sequence[QueueId], queue: OrderedQueue, progress: _Progress, done: Done
    ) -> None:
        size = RETURNED if order.action is Action.BOUNCE else MESSAGES
        for start in range(0, len(ids), size):
            part, now = ids[start : start + size], self._wall_clock()
            returned: list[Returned] = []
            if order.action is Action.BOUNCE:
                reports = OperatorReports(self._name, self._wall_clock)
                changed = await queue.bounce(part, now, REASON, reports, recipient=order.recipient)
                returned = reports.returned
                progress.unreported += reports.unreported
            else:
                changed = await queue.apply(order.action, part, now, recipient=order.recipient, to=order.to)
            progress.ids += changed
            if changed:
                done(order, changed, returned)


def _checked(order: Order) -> Order:
    """Return an order with its way in the form that the queue keeps; only a reroute has one. Raises WrongOrder."""
    if order.action is not Action.REROUTE:
        if order.to:
            raise WrongOrder(f"{order.action.value} sends nothing another way: leave the way out, or use reroute")
        return order
    try:
        return replace(order, to=read_way(order.to))
    except ValueError as error:
        raise WrongOrder(str(error)) from None
