"""The records of events: lines of JSON with a number, a time, an event, and the fields of the event in the log."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mta.event_log.repeats import Field

#: The events that are sent.
SENT = ("accepted", "delivered", "deferred", "failed", "reported")
# The fields of a record that do not come from the fields of its event.
_OWN_FIELDS = frozenset({"seq", "time", "event"})
# The last digits of a number, and what is between it and the next member of a record.
_THOUSAND = 1000
_ENDINGS = [f"{digits:03}, " for digits in range(_THOUSAND)]
_SMALL = [f"{number}, " for number in range(_THOUSAND)]

#: The time of an event in wall-clock seconds, its name, and its fields.
Event = tuple[float, str, Mapping[str, Field]]


def numbered(first: int, records: Sequence[str]) -> bytes:
    """Return records as lines, numbered from `first` on. A record is what `json_members` returns for an event."""
    pieces: list[str] = []
    done = 0
    while done < len(records):
        thousands, place = divmod(first + done, _THOUSAND)
        part = records[done : done + _THOUSAND - place]
        # Pieces that exist already: with a text for each number, a spool costs more than twice as much (measured).
        numbers = [f'{{"seq": {thousands or ""}'] * (3 * len(part))
        numbers[1::3] = (_ENDINGS if thousands else _SMALL)[place : place + len(part)]
        numbers[2::3] = part
        pieces += numbers
        done += len(part)
    return "".join(pieces).encode("ascii")


def record_time(fields: Mapping[str, object]) -> float:
    """Return the wall-clock seconds of a record that was read back. Raises ValueError if it has no time."""
    return datetime.fromisoformat(str(fields.get("time"))).timestamp()


def read_record(line: bytes) -> Event:
    """Return the event of a record, for a spool in which it gets another number. Raises ValueError."""
    try:
        fields: dict[str, Any] = json.loads(line)
        return record_time(fields), str(fields["event"]), {k: v for k, v in fields.items() if k not in _OWN_FIELDS}
    except (KeyError, AttributeError, TypeError):
        raise ValueError("not a record") from None
