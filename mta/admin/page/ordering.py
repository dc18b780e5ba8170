"""The routes of orders: a question with the number of messages and examples, then the order itself by POST."""

from datetime import UTC
from typing import Any

from klein import Klein

from mta.admin.page.access import Browser
from mta.admin.page.asking import deferred, shared
from mta.admin.page.front import Front, argument, arguments, redirect, whole_id
from mta.admin.page.plans import MAX_MESSAGES, PlannedOrder
from mta.admin.state import Order, StateError, TooMany
from mta.admin.views.orders import EXAMPLES, ORDERS, ORDERS_APART, confirmation, outcome, waiting_apart
from mta.admin.views.search import conditions_in, url_of
from mta.queue.interface import Action, Query, QueueId
from mta.queue.search.matching import for_order
from mta.queue.search.reading import read_conditions

#: Characters of the way of a REROUTE.
MAX_WAY = 300


class OrderRoutes:
    """Asks for a confirmation, and gives orders to the relay."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._asking = front.asking

    def add_to(self, app: Klein) -> None:
        """Add the routes to an app."""
        app.route("/messages/<id>/order", methods=["GET"])(self.review_one)
        app.route("/orders", methods=["GET"])(self.review)
        app.route("/orders", methods=["POST"])(self.carry_out)

    async def review_one(self, request: Any, id: str) -> bytes:
        """Ask about an order on one message."""
        browser = self._front.reader(request)
        action = _action(argument(request, "action"))
        recipient = await self._waiting_recipient(action, whole_id(id), argument(request, "recipient").strip())
        return await self._question(
            request, browser, PlannedOrder(action, (whole_id(id),), f"/messages/{id}", recipient)
        )

    async def _waiting_recipient(self, action: Action, id: QueueId, recipient: str) -> str:
        """Return the address of a waiting recipient as the message has it; "" for "". Raises StateError."""
        if not recipient:
            return ""
        found = await self._asking.bounded(lambda: self._asking.state.find(Query(ids=(id,))))
        offered = [(each, address) for entry in found for address in waiting_apart(entry) for each in ORDERS_APART]
        chosen = [address for each, address in offered if each is action and address.lower() == recipient.lower()]
        if not chosen:
            raise StateError("there is no such order for one recipient, or the message does not wait for that one")
        return chosen[0]

    async def review(self, request: Any) -> bytes:
        """Ask about an order on all waiting messages that meet the conditions in the URL."""
        browser = self._front.reader(request)
        action = _action(argument(request, "action"))
        words = conditions_in(arguments(request))
        wanted = for_order(action, read_conditions(words, self._asking.wall_clock(), UTC))
        count = await self._asking.bounded(lambda: self._asking.state.count(wanted))
        if count > MAX_MESSAGES:
            raise TooMany(f"{count:,} messages are more than {MAX_MESSAGES:,}: narrow the conditions")
        ids = await self._asking.bounded(lambda: self._asking.state.select(wanted))
        return await self._question(request, browser, PlannedOrder(action, tuple(ids), url_of(words)))

    async def _question(self, request: Any, browser: Browser, plan: PlannedOrder) -> bytes:
        query = Query(ids=plan.ids[:EXAMPLES])
        examples = await self._asking.bounded(lambda: self._asking.state.find(query)) if plan.ids else []
        word = self._front.plans.add(plan, browser.id, self._front.now())
        data = {
            "data": confirmation(plan.action, len(plan.ids), examples, plan.recipient),
            "plan": word,
            "back": plan.back,
        }
        return self._front.page(request, browser, "confirm", "messages", action_url="/orders", **data)

    async def carry_out(self, request: Any) -> bytes:
        """Carry out an order that was asked about, and go back with a note."""
        browser = self._front.writer(request)
        word = argument(request, "plan")
        plan = self._front.plans.take(word, browser.id, self._front.now())
        if plan is None:
            raise StateError("this order was given already, or has waited too long: go back and review it again")
        to = argument(request, "to").strip()[:MAX_WAY] if plan.action is Action.REROUTE else ""
        by = f"page:{request.getClientAddress().host}"
        order = Order(plan.action, plan.ids, by=by, recipient=plan.recipient, to=to)
        # A browser that leaves cancels its request. The order goes on, because a part may be on disk already.
        await shared(deferred(self._carry_out(browser, word, plan, order)))
        return redirect(request, plan.back)

    async def _carry_out(self, browser: Browser, word: str, plan: PlannedOrder, order: Order) -> None:
        """Carry out an order, and note its result for the next page of its browser. Raises StateError."""
        try:
            result = await self._asking.state.order(order)
        except StateError:
            self._front.plans.put_back(word, plan, browser.id, self._front.now())
            raise
        self._front.note(browser, outcome(plan.action, len(plan.ids), result, plan.recipient))


def _action(text: str) -> Action:
    """Return the action of a form. Raises StateError."""
    found = next((each for each in ORDERS if each.value == text), None)
    if found is None:
        raise StateError(f"there is no order {text[:20]!r}")
    return found
