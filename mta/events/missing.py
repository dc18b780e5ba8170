"""Finds the events that a killed process could not write, by the queue's messages and the events on disk.

The process wrote the events of a message in their order, so that those missing are the last ones.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from mta.event_log.repeats import Field
from mta.events.records import Event, record_time
from mta.message.dates import timestamp
from mta.queue.interface import Entry, QueueId, RecipientState, Status

#: Seconds before the last event on disk from which on events may be missing: the longest time from the decision on a
#: message until its event is on disk. If a disk hangs for longer than this, the relay has other troubles.
MARGIN = 120.0
# A record has its time in whole milliseconds.
_ROUNDED = 0.002
# The order of events of one message at the same time.
_RANK = {"accepted": 0, "reported": 2}

_FINAL = {Status.DELIVERED: "delivered", Status.FAILED: "failed"}


class WrittenEvents:
    """The events on disk that a start compares with the queue."""

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._accepted: set[str] = set()
        self._reports: set[str] = set()
        self._finals: dict[tuple[str, str], int] = defaultdict(int)
        self._deferrals: dict[tuple[str, str], list[float]] = defaultdict(list)
        for fields in records:
            event, place = fields.get("event"), (str(fields.get("id")), str(fields.get("to")))
            if event == "accepted":
                self._accepted.add(place[0])
            elif event == "reported":
                self._reports.add(str(fields.get("report")))
            elif event == "deferred":
                self._deferrals[place].append(record_time(fields))
            else:
                self._finals[place] += 1

    def has_accepted(self, id: QueueId) -> bool:
        """Whether the acceptance of a message was written."""
        return id in self._accepted

    def has_report(self, report: QueueId) -> bool:
        """Whether a report was written."""
        return report in self._reports

    def take_final(self, id: QueueId, to: str) -> bool:
        """Whether the final result of a recipient was written; each is found once, as an address may occur twice."""
        written = self._finals[id, to] > 0
        self._finals[id, to] -= written
        return written

    def has_deferral(self, id: QueueId, to: str, begin: float, end: float) -> bool:
        """Whether a deferral was written between this attempt and the next one."""
        return any(begin - _ROUNDED <= each < end for each in self._deferrals.get((id, to), ()))


def missing_events(
    entries: Iterable[Entry], submitted: Collection[QueueId], written: WrittenEvents, since: float
) -> list[Event]:
    """Return the events of messages since then that were not written, in the order of their times.

    `submitted` are the messages that clients submitted since then.
    """
    events = [event for entry in entries for event in _of_message(entry, submitted, written, since)]
    return sorted(events, key=lambda event: (event[0], _RANK.get(event[1], 1)))


def _of_message(entry: Entry, submitted: Collection[QueueId], written: WrittenEvents, since: float) -> Iterator[Event]:
    if entry.id in submitted and not written.has_accepted(entry.id):
        yield entry.created, "accepted", _accepted(entry)
    if entry.report_of is not None and entry.created >= since and not written.has_report(entry.id):
        to = f"<{entry.recipients[0].address}>"
        yield entry.created, "reported", {"id": entry.report_of, "report": entry.id, "to": to, "rebuilt": "yes"}
    for state in entry.recipients:
        yield from _of_recipient(entry.id, state, written, since)


def _accepted(entry: Entry) -> Mapping[str, Field]:
    return {
        "id": entry.id,
        "client": entry.client,
        "from": f"<{entry.sender}>",
        "recipients": len(entry.recipients),
        "size": entry.size,
        "user": entry.login or None,
        "rebuilt": "yes",
    }


def _of_recipient(id: QueueId, state: RecipientState, written: WrittenEvents, since: float) -> Iterator[Event]:
    to = f"<{state.address}>"
    times = [attempt.time for attempt in state.attempts_made]
    for attempt, end in zip(state.attempts_made, [*times[1:], float("inf")], strict=False):
        if attempt.time < since or (state.finished is not None and attempt.time >= state.finished):
            continue
        if not written.has_deferral(id, to, attempt.time, end):
            fields: dict[str, Field] = {"id": id, "to": to, "host": attempt.host or None, "status": attempt.status}
            due = timestamp(state.due) if state.due is not None and attempt is state.attempts_made[-1] else None
            yield attempt.time, "deferred", {**fields, "next": due, "reply": attempt.reply, "rebuilt": "yes"}
    event = _FINAL.get(state.status)
    if event and state.finished is not None and state.finished >= since and not written.take_final(id, to):
        fields = {"id": id, "to": to, "host": state.host or None, "reply": state.reply, "rebuilt": "yes"}
        yield state.finished, event, fields
