"""The records of events, the batches in which they are sent, and the signature of a batch.

A record is a line of JSON with a number, a time, an event, and the fields that the event has in the log.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from mta.event_log.repeats import Field
from mta.message.dates import timestamp

#: The events that are sent.
SENT = frozenset({"accepted", "delivered", "deferred", "failed", "reported"})
#: The header of a batch with its signature.
SIGNATURE = "Smtprelay-Signature"
# The fields of a record that do not come from the fields of its event.
_OWN_FIELDS = frozenset({"seq", "time", "event"})

#: The time of an event in wall-clock seconds, its name, and its fields.
Event = tuple[float, str, Mapping[str, Field]]


def records(first: int, events: Sequence[Event]) -> bytes:
    """Return the records of events, of which there is at least one, numbered from `first` on, with their line ends."""
    # One call for all of them costs half as much as one for each. Nothing in a value looks like the beginning of the
    # next record, because quotes in a string are escaped, and no value has values inside.
    objects = json.dumps([_known(number, event) for number, event in enumerate(events, first)])
    return objects[1:-1].replace('}, {"seq": ', '}\n{"seq": ').encode("ascii") + b"\n"


def _known(number: int, event: Event) -> Mapping[str, Field]:
    now, name, fields = event
    known = {key: value for key, value in fields.items() if value is not None}
    return {"seq": number, "time": timestamp(now), "event": name, **known}


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


def batch_body(relay: str, worker: int, dropped: int, records: Sequence[bytes]) -> bytes:
    """Return the body of a request with these records, which have no line ends.

    `dropped` is the number of events that were dropped so far, because the spool was full.
    """
    head = json.dumps({"relay": relay, "worker": worker, "dropped": dropped}).encode("ascii")
    return b'%s, "events": [%s]}' % (head[:-1], b", ".join(records))


def signature(secret: str, now: int, body: bytes) -> str:
    """Return the value of the header SIGNATURE: the time, and HMAC-SHA-256 (RFC 2104) of time, a dot, and the body."""
    digest = hmac.new(secret.encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"
