"""Orders that wait for their confirmation, so that exactly the messages that were counted are meant. Pure."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from mta.admin.state import TooMany
from mta.queue.interface import Action, QueueId

#: Orders that wait, and seconds for which they do.
MAX_PLANS = 20
PLAN_SECONDS = 900.0
#: Messages of one order, and of all that wait; of more, the oldest orders are forgotten.
MAX_MESSAGES, MAX_ALL_MESSAGES = 100_000, 300_000


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """An order on certain messages."""

    action: Action
    ids: tuple[QueueId, ...]
    #: The page to which the browser goes afterwards.
    back: str
    #: The address to which the order is limited; "" is every recipient.
    recipient: str = ""


class PlannedOrders:
    """The orders of all browsers that wait. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        # With the browser that must confirm it, and its end.
        self._plans: OrderedDict[str, tuple[PlannedOrder, str, float]] = OrderedDict()

    def add(self, plan: PlannedOrder, browser: str, now: float) -> str:
        """Keep an order for its browser, and return the word by which that confirms it. Raises TooMany."""
        if len(plan.ids) > MAX_MESSAGES:
            raise TooMany(f"more than {MAX_MESSAGES:,} messages: narrow the conditions, or use smtprelay queue")
        word = secrets.token_urlsafe(18)
        self.put_back(word, plan, browser, now)
        return word

    def put_back(self, word: str, plan: PlannedOrder, browser: str, now: float) -> None:
        """Keep an order again that was confirmed but refused, so that its browser may correct it."""
        self._plans[word] = plan, browser, now + PLAN_SECONDS
        while len(self._plans) > MAX_PLANS or self._messages() > MAX_ALL_MESSAGES:
            self._plans.popitem(last=False)

    def _messages(self) -> int:
        return sum(len(plan.ids) for plan, _, _ in self._plans.values())

    def take(self, word: str, browser: str, now: float) -> PlannedOrder | None:
        """Return an order that its browser has confirmed, once; None if it is not there any more."""
        plan, owner, end = self._plans.get(word, (None, "", 0.0))
        if plan is None or owner != browser:
            return None
        del self._plans[word]
        return plan if now < end else None
