"""The events that meet an operator's conditions, decided by the fields of each event and by earlier events.

An event has few facts about its message: `accepted` has the sender, `delivered` the recipient. The filter remembers
which messages have met the conditions on a message, so that their later events are found too.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from mta.admin.state import LoggedEvent
from mta.queue.ids import created
from mta.queue.interface import QueueId
from mta.queue.search.conditions import ANY, Conditions, State
from mta.queue.search.matching import NULL_SENDER, fits, unquoted

#: Messages that are remembered; of more, the oldest are forgotten.
MAX_KNOWN = 10_000
#: The events that are the end of a recipient, by the state that it has then.
ENDS: Mapping[str, State] = {"delivered": State.DELIVERED, "failed": State.FAILED, "discarded": State.REMOVED}
_CHANGES = {"hold": State.HELD, "remove": State.REMOVED, "bounce": State.FAILED}


class EventFilter:
    """Decides about the events of one follower, in their order."""

    def __init__(self, conditions: Conditions, known: Iterable[QueueId] = ()) -> None:
        """`known` are messages that meet the conditions, such as those that wait already."""
        self._conditions = conditions
        self._known: OrderedDict[str, None] = OrderedDict((id, None) for id in known)

    def passes(self, event: LoggedEvent) -> bool:
        """Return whether an event meets the conditions."""
        if self._conditions == ANY:
            return True
        return self._is_of_message(event) and of_recipient(self._conditions, event)

    def _is_of_message(self, event: LoggedEvent) -> bool:
        """Return whether the event is of a message that meets the conditions on messages, as far as is known."""
        ids = ids_of(event)
        if any(id in self._known for id in ids):
            return True
        if not of_message(self._conditions, event):
            return False
        for id in ids:
            self._known[id] = None
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return True


def ids_of(event: LoggedEvent) -> list[str]:
    """Return the messages that an event is about."""
    fields = event.fields
    several = str(fields.get("ids", "")).split(",")
    return [id for id in (_text(event, "id"), _text(event, "report"), *several) if id]


def of_message(wanted: Conditions, event: LoggedEvent) -> bool:
    """Return whether the message of an event meets the conditions on messages by the fields of this event alone.

    A condition on a fact that the event does not have is not met.
    """
    return all(_of_message(wanted, event))


def of_recipient(wanted: Conditions, event: LoggedEvent) -> bool:
    """Return whether the recipient of an event meets the conditions on recipients; an event without one meets none."""
    return all(_of_recipient(wanted, event))


def _of_message(wanted: Conditions, event: LoggedEvent) -> Iterator[bool]:
    ids, sender, size = ids_of(event), _address(event, "from"), event.fields.get("size")
    when = _created(ids, event)
    yield wanted.since is None or when >= wanted.since
    yield wanted.until is None or when < wanted.until
    yield wanted.larger is None or (isinstance(size, int) and size > wanted.larger)
    yield not wanted.ids or any(id.startswith(each.lower()) for id in ids for each in wanted.ids)
    yield not wanted.sender or _is_from(wanted.sender, sender)
    # No event has them.
    yield not wanted.subject and not wanted.message_id
    yield not wanted.client or fits(wanted.client, _text(event, "client"))
    yield not wanted.login or fits(wanted.login, _text(event, "user"))
    for word in wanted.words:
        texts = sender or "", _address(event, "to") or ""
        yield any(id.startswith(word.lower()) for id in ids) or any(fits(word, text, part=True) for text in texts)


def _of_recipient(wanted: Conditions, event: LoggedEvent) -> Iterator[bool]:
    # The recipient of a report is the sender of the message.
    to = "" if event.name == "reported" else _address(event, "to") or ""
    yield not wanted.states or (bool(ids_of(event)) and state_of(event) in wanted.states)
    yield not wanted.recipient or fits(wanted.recipient, to)
    yield not wanted.domain or fits(wanted.domain, to.rpartition("@")[2])
    yield not wanted.host or fits(wanted.host, _text(event, "host"), part=True)
    yield not wanted.reply or fits(wanted.reply, _text(event, "reply"), part=True)


def state_of(event: LoggedEvent) -> State:
    """Return the state of the recipients of an event after it."""
    if event.fields.get("held"):
        return State.HELD
    return ENDS.get(event.name) or _CHANGES.get(_text(event, "change"), State.WAITING)


def _is_from(pattern: str, sender: str | None) -> bool:
    if sender is None:
        return False
    return not sender if pattern == NULL_SENDER else fits(pattern, sender)


def _created(ids: list[str], event: LoggedEvent) -> float:
    try:
        return created(QueueId(ids[0]))
    except (IndexError, ValueError):
        return event.time


def _address(event: LoggedEvent, field: str) -> str | None:
    """Return an address without angle brackets and quotes, or None if the event has none."""
    value = event.fields.get(field)
    return unquoted(value.removeprefix("<").removesuffix(">")) if isinstance(value, str) else None


def _text(event: LoggedEvent, field: str) -> str:
    value = event.fields.get(field)
    return value if isinstance(value, str) else ""
