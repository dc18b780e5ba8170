"""Orders are carried out in parts, so that one on many messages does not hold up mail."""

from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred

from mta.admin.orders import MESSAGES, RETURNED, Orders
from mta.admin.returning import Returned
from mta.admin.state import Order, OrderResult, StateError
from mta.cli.results import result
from mta.queue.entries import Action, QueueId
from mta.queue.interface import Query, QueueError
from mta.queue.memory import MemoryQueue
from tests.queue.messages import NOW, mail


class FailingQueue(MemoryQueue):
    """A queue that fails after some parts of an order."""

    parts = 1

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        self.parts -= 1
        if self.parts < 0:
            raise QueueError("disk I/O error")
        return super().apply(action, ids, now, recipient=recipient, to=to)


def filled(queue: MemoryQueue, count: int) -> list[QueueId]:
    mails = [mail() for _ in range(count)]
    for new in mails:
        queue.add(new, NOW)
    return [new.id for new in mails]


def carried_out(queue: MemoryQueue, order: Order) -> tuple[OrderResult, list[int]]:
    """Return the result, and the number of messages in each part."""
    parts: list[int] = []

    def done(_order: Order, ids: list[QueueId], returned: Sequence[Returned]) -> None:
        assert len(returned) == (len(ids) if order.action is Action.BOUNCE else 0)
        parts.append(len(ids))

    orders = Orders("relay.test", lambda: NOW)
    return result(Deferred.fromCoroutine(orders.carry_out(order, queue, done))), parts


@pytest.mark.parametrize(("action", "size"), [(Action.HOLD, MESSAGES), (Action.BOUNCE, RETURNED)])
def test_each_part_has_a_bounded_number_of_messages(action: Action, size: int) -> None:
    queue = MemoryQueue()
    ids = filled(queue, size + 1)
    done, parts = carried_out(queue, Order(action, tuple(ids), ""))
    assert (done.ids, parts) == (tuple(ids), [size, 1])


def test_an_order_that_fails_in_part_has_its_changes_and_the_failure() -> None:
    queue = FailingQueue()
    ids = filled(queue, MESSAGES + 1)
    done, _ = carried_out(queue, Order(Action.HOLD, None, ""))
    assert (done.ids, done.failure) == (tuple(ids[:MESSAGES]), "disk I/O error")
    with pytest.raises(StateError, match="disk I/O error"):
        carried_out(queue, Order(Action.HOLD, None, ""))


def test_a_way_is_kept_in_one_form_and_is_for_a_reroute_alone() -> None:
    queue = MemoryQueue()
    (id,) = filled(queue, 1)
    carried_out(queue, Order(Action.REROUTE, (id,), "", to="Mail.B.test:25"))
    (entry,) = result(queue.find(Query([id])))
    assert entry.recipients[0].way == "mail.b.test:25"
    for order in (Order(Action.REROUTE, (id,), ""), Order(Action.REROUTE, (id,), "", to="mail.b.test")):
        with pytest.raises(StateError, match="mx, smarthost or HOST:PORT"):
            carried_out(queue, order)
    with pytest.raises(StateError, match="hold sends nothing another way"):
        carried_out(queue, Order(Action.HOLD, (id,), "", to="mx"))
