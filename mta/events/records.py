"""The records of events: lines of JSON with a number, a time, an event, and the fields of the event in the log."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from mta.event_log.lines import ACCEPTED_FIELDS, DELIVERED_FIELDS, SECONDS_TEXT
from mta.event_log.repeats import Field
from mta.message.dates import timestamp
from mta.remembered import Remembered

# The fields of a record that do not come from the fields of its event.
_OWN_FIELDS = frozenset({"seq", "time", "event"})

#: The time of an event in wall-clock seconds, its name, and its fields.
Event = tuple[float, str, Mapping[str, Field]]

_quote = json.encoder.encode_basestring_ascii
# For values that many events have in common.
_QUOTED: Remembered[str, str] = Remembered(_quote, 4096)


def record(now: float, name: str, fields: Mapping[str, Field]) -> str:
    """Return the record of an event with its line end, and without its number, which the spool puts before it.

    `now` is wall-clock seconds.
    """
    return f'"time": "{timestamp(now)}", "event": {_quote(name)}{_further(fields.items())}}}\n'


def _accepted(now: float, fields: Mapping[str, Any]) -> str:
    more = "" if len(fields) == ACCEPTED_FIELDS else _further(islice(fields.items(), ACCEPTED_FIELDS, None))
    return (
        f'"time": "{timestamp(now)}", "event": "accepted", "id": "{fields["id"]}", '
        f'"client": {_QUOTED[fields["client"]]}, "helo": {_QUOTED[fields["helo"]]}, '
        f'"from": {_QUOTED[fields["from"]]}, '
        f'"recipients": {fields["recipients"]}, "size": {fields["size"]}{more}}}\n'
    )


def _delivered(now: float, fields: Mapping[str, Any]) -> str:
    number = len(fields)
    more = "" if number == DELIVERED_FIELDS else _further(islice(fields.items(), DELIVERED_FIELDS - 1, number - 1))
    return (
        f'"time": "{timestamp(now)}", "event": "delivered", "id": "{fields["id"]}", "to": {_quote(fields["to"])}, '
        f'"host": {_QUOTED[fields["host"]]}, "total": {SECONDS_TEXT[fields["total"]]}, '
        f'"queued": {SECONDS_TEXT[fields["queued"]]}, "waited": {SECONDS_TEXT[fields["waited"]]}, '
        f'"transfer": {SECONDS_TEXT[fields["transfer"]]}{more}, "reply": {_quote(fields["reply"])}}}\n'
    )


def _of_log(name: str, now: float, fields: Mapping[str, Any]) -> str:
    return record(now, name, fields)


def _further(fields: Iterable[tuple[str, Field]]) -> str:
    return "".join([f", {_QUOTED[name]}: {_json(value)}" for name, value in fields if value is not None])


def _json(value: str | float) -> object:
    if type(value) is str:
        return _quote(value)
    return SECONDS_TEXT[value] if type(value) is float else value


#: The events that are sent. Each has the callable that returns its record, as `record` does, by the time and the fields
#: that the log gives.
#
# Each message pays for two records, which cost half as much in this way as by `record`, and a quarter of what they cost
# by `json.dumps` (measured). An event becomes a record at once, because later its values have left the caches of the
# processor.
RECORD_OF: Mapping[str, Callable[[float, Mapping[str, Any]], str]] = {
    "accepted": _accepted,
    "delivered": _delivered,
    **{name: partial(_of_log, name) for name in ("deferred", "failed", "reported")},
}


def numbered(first: int, records: Sequence[str]) -> bytes:
    """Return records as lines, numbered from `first` on."""
    # Joined from pieces, because a line for each record would copy it once more.
    pieces = [""] * (2 * len(records))
    pieces[0::2] = [f'{{"seq": {number}, ' for number in range(first, first + len(records))]
    pieces[1::2] = records
    return "".join(pieces).encode("ascii")


def record_time(fields: Mapping[str, object]) -> float:
    """Return the wall-clock seconds of a record that was read back. Raises ValueError if it has no time."""
    return datetime.fromisoformat(str(fields.get("time"))).timestamp()


def read_record(line: bytes) -> Event:
    """Return the event of a record, for a spool in which it gets another number. Raises ValueError."""
    try:
        fields = json.loads(line)
        return record_time(fields), str(fields["event"]), {k: v for k, v in fields.items() if k not in _OWN_FIELDS}
    except (KeyError, AttributeError, TypeError):
        raise ValueError("not a record") from None
