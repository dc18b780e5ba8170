"""Events of the log for the live view. Pure."""

from mta.admin.state import LoggedEvent
from mta.message.dates import timestamp

#: The names of events and those of their colours in a style sheet.
_KINDS = {
    "accepted": "sending",
    "delivered": "delivered",
    "deferred": "deferred",
    "failed": "failed",
    "refused": "failed",
    "discarded": "held",
    "amended": "held",
    "alarm": "failed",
    "trouble": "failed",
    "fault": "failed",
}
#: Characters of a field that are shown.
MAX_TEXT = 500


def event_object(event: LoggedEvent) -> dict[str, object]:
    """Return the JSON object of an event; texts of strangers are shown by a script as text only."""
    fields = {name: _shortened(value) for name, value in event.fields.items() if name not in ("level", "event")}
    return {
        "time": timestamp(event.time),
        "name": event.name,
        "kind": _KINDS.get(event.name, "plain"),
        "fields": fields,
    }


def _shortened(value: object) -> object:
    return value if isinstance(value, int | float | bool) else str(value)[:MAX_TEXT]
