"""The records of events: lines of JSON with a number, a time, an event, and the fields of the event in the log."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from mta.event_log.lines import seconds_text
from mta.event_log.repeats import Field
from mta.message.dates import timestamp

#: The events that are sent.
SENT = frozenset({"accepted", "delivered", "deferred", "failed", "reported"})
# The fields of a record that do not come from the fields of its event.
_OWN_FIELDS = frozenset({"seq", "time", "event"})
# The fields that the log always gives to these events, which come first; `reply` is the last one of a delivery.
_ACCEPTED_FIELDS, _DELIVERED_FIELDS = 6, 8

#: The time of an event in wall-clock seconds, its name, and its fields.
Event = tuple[float, str, Mapping[str, Field]]

_quote = json.encoder.encode_basestring_ascii
# For values that many events have in common.
_quote_often = lru_cache(maxsize=4096)(_quote)


def record(now: float, name: str, fields: Mapping[str, Field]) -> str:
    """Return the record of an event without its number, which the spool puts before it, and without its line end.

    `now` is wall-clock seconds.
    """
    return f'"time": "{timestamp(now)}", "event": {_quote(name)}{_further(fields.items())}}}'


def record_of_log(now: float, name: str, fields: Mapping[str, Any]) -> str:
    """Return the same for an event that comes from the log."""
    # Each message pays for two records, which cost half as much in this way as by `record`, and a quarter of what they
    # cost by `json.dumps` (measured). An event becomes a record at once, because later its values have left the caches
    # of the processor.
    if name == "accepted":
        return _accepted(now, fields)
    return _delivered(now, fields) if name == "delivered" else record(now, name, fields)


def _accepted(now: float, fields: Mapping[str, Any]) -> str:
    more = "" if len(fields) == _ACCEPTED_FIELDS else _further(islice(fields.items(), _ACCEPTED_FIELDS, None))
    return (
        f'"time": "{timestamp(now)}", "event": "accepted", "id": "{fields["id"]}", '
        f'"client": {_quote_often(fields["client"])}, "helo": {_quote_often(fields["helo"])}, '
        f'"from": {_quote_often(fields["from"])}, '
        f'"recipients": {fields["recipients"]}, "size": {fields["size"]}{more}}}'
    )


def _delivered(now: float, fields: Mapping[str, Any]) -> str:
    number = len(fields)
    more = "" if number == _DELIVERED_FIELDS else _further(islice(fields.items(), _DELIVERED_FIELDS - 1, number - 1))
    return (
        f'"time": "{timestamp(now)}", "event": "delivered", "id": "{fields["id"]}", "to": {_quote(fields["to"])}, '
        f'"host": {_quote_often(fields["host"])}, "total": {seconds_text(fields["total"])}, '
        f'"queued": {seconds_text(fields["queued"])}, "waited": {seconds_text(fields["waited"])}, '
        f'"transfer": {seconds_text(fields["transfer"])}{more}, "reply": {_quote(fields["reply"])}}}'
    )


def _further(fields: Iterable[tuple[str, Field]]) -> str:
    return "".join([f", {_quote_often(name)}: {_json(value)}" for name, value in fields if value is not None])


def _json(value: str | float) -> object:
    if type(value) is str:
        return _quote(value)
    return seconds_text(value) if type(value) is float else value


def numbered(first: int, records: Sequence[str]) -> bytes:
    """Return records, numbered from `first` on, with their line ends."""
    lines = [f'{{"seq": {number}, {each}\n' for number, each in enumerate(records, first)]
    return "".join(lines).encode("ascii")


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
