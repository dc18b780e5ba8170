"""Orders as the page offers and confirms them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from mta.admin.state import OrderResult
from mta.admin.views.search import Row, row
from mta.admin.views.text import counted, number
from mta.queue.interface import Action, Entry, Status

#: Messages that are shown before an order is carried out.
EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class OrderWords:
    """The words about one action."""

    action: Action
    #: On the button.
    label: str
    #: In a question: `Retry 12 messages?`
    verb: str
    effect: str
    #: After it was done.
    done: str
    #: Whether it cannot be taken back.
    final: bool = False


ORDERS = {
    each.action: each
    for each in (
        OrderWords(Action.RETRY, "Try now", "Try", "The relay tries to deliver now.", "tried again"),
        OrderWords(Action.HOLD, "Hold", "Hold", "The mail stays in the queue until it is released.", "held"),
        OrderWords(Action.RELEASE, "Release", "Release", "Held mail goes on and is tried now.", "released"),
        OrderWords(
            Action.REROUTE,
            "Send another way",
            "Send",
            "The mail is tried now, once, by the way that you choose; if that fails, it waits as before. Held mail"
            " stays held.",
            "given another way",
        ),
        OrderWords(
            Action.BOUNCE,
            "Return to sender",
            "Return",
            "The mail is not delivered any more; each sender gets a report.",
            "returned",
            final=True,
        ),
        OrderWords(
            Action.REMOVE,
            "Remove",
            "Remove",
            "The mail is deleted; no sender gets a report.",
            "removed",
            final=True,
        ),
    )
}

#: The actions that one recipient of several may have alone, in the order of their buttons.
ORDERS_APART = (Action.REROUTE, Action.BOUNCE, Action.REMOVE)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The question before an order is carried out."""

    words: OrderWords
    count: int
    examples: tuple[Row, ...]
    #: The address to which the order is limited; "" is every recipient.
    recipient: str = ""

    @property
    def question(self) -> str:
        """The question with the number of messages."""
        whom = f", only for {self.recipient}" if self.recipient else ""
        return f"{self.words.verb} {counted(self.count, 'message')}{_behind(self.words.action)}{whom}?"


def orders_for(entry: Entry) -> tuple[OrderWords, ...]:
    """Return the orders that one may give for a message; none if it does not wait."""
    if not any(each.status is Status.WAITING for each in entry.recipients):
        return ()
    first = (Action.RELEASE,) if entry.held else (Action.RETRY, Action.HOLD, Action.REROUTE)
    return tuple(ORDERS[each] for each in (*first, Action.BOUNCE, Action.REMOVE))


def waiting_apart(entry: Entry) -> tuple[str, ...]:
    """Return the waiting recipients of a message if there are several, each of which may have orders of its own."""
    waiting = tuple(each.address for each in entry.recipients if each.status is Status.WAITING)
    return waiting if len(waiting) > 1 else ()


def confirmation(action: Action, count: int, examples: Sequence[Entry], recipient: str = "") -> Confirmation:
    """Return the question about an order on `count` messages, some of which are the examples."""
    return Confirmation(ORDERS[action], count, tuple(map(row, examples[:EXAMPLES])), recipient)


def _behind(action: Action) -> str:
    return {Action.BOUNCE: " to the sender", Action.RETRY: " now", Action.REROUTE: " another way"}.get(action, "")


def outcome(action: Action, wanted: int, result: OrderResult, recipient: str = "") -> str:
    """Return the line about an order that was carried out on `wanted` messages, or on one recipient of them."""
    done = len(result.ids)
    text = f"{counted(done, 'message')} {'was' if done == 1 else 'were'} {ORDERS[action].done}"
    text += f" for {recipient}" if recipient else ""
    gone = wanted - done - result.held
    if gone > 0:
        text += f"; {number(gone)} did not wait any more"
    if result.held:
        text += f"; {counted(result.held, 'held message')} left alone"
    if result.unreported:
        text += f"; {number(result.unreported)} had no sender to report to"
    if result.failure:
        text += f"; the others failed: {result.failure}"
    return f"{text}."
