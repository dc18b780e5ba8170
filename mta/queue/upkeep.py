"""Periodic tasks on the queue: the audit, the history's age limit, and the room for mail.

The audit raises an alarm if recipients are lost or a due message is not tried. Finished messages are dropped after
HISTORY_DAYS, and earlier, the oldest first, while the disk is short of room.
"""

import math
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.message.dates import short_timestamp
from mta.queue.interface import Audit, Queue, QueueError, QueueId, Space

#: Seconds between two audits, which is also how long a message may be due before it must have been claimed.
AUDIT_INTERVAL = 900.0
#: Seconds between two drops of old history.
HISTORY_INTERVAL = 300.0
#: Messages dropped by one transaction, and seconds until the next one if there may be more to drop. 5,000 messages a
#: second are more than are ever added.
BATCH = 2000
BATCH_PAUSE = 0.4
#: Seconds between two checks of the room for mail, and between two notices of the same kind.
SPACE_INTERVAL = 5.0
NOTICE_INTERVAL = 3600.0
# Transactions that one check of the room spends on the history. If room is still short, the next check goes on.
_MAX_BATCHES = 100


class Auditor:
    """Audits the queue. `alarm` gets a text and the message it is about, if any; `trouble` a failure to audit."""

    def __init__(
        self,
        queue: Queue,
        *,
        wall_clock: Callable[[], float],
        alarm: Callable[[str, QueueId | None], object],
        trouble: Callable[[str], object],
    ) -> None:
        self._queue = queue
        self._wall_clock = wall_clock
        self._alarm = alarm
        self._trouble = trouble
        # Results of the audit before.
        self._missing = 0
        self._first: tuple[QueueId, float] | None = None

    def look(self) -> "Deferred[float | None]":
        """Audit the queue once. The result is None; never fails."""
        return self._queue.audit().addCallbacks(self._evaluate, self._failed)

    def _evaluate(self, audit: Audit) -> None:
        missing, ledger = audit.ledger.missing, audit.ledger
        if missing and missing != self._missing:
            text = (
                f"the ledger does not add up: of {ledger.accepted} accepted recipients {ledger.delivered} were"
                f" delivered, {ledger.failed} failed, {ledger.removed} were removed and {ledger.waiting} wait"
            )
            self._alarm(text, None)
        self._missing = missing
        if audit.never_due is not None:
            self._alarm(
                "a recipient waits, but the message is never tried again: smtprelay queue show", audit.never_due
            )
        self._evaluate_first(audit.first)

    def _evaluate_first(self, first: tuple[QueueId, float] | None) -> None:
        """Raise an alarm if the audit before found the same message at the same due time, long past by now."""
        if first is not None and first == self._first and first[1] < self._wall_clock() - AUDIT_INTERVAL:
            self._alarm(f"has been due since {short_timestamp(first[1])} but is not tried", first[0])
        self._first = first

    def _failed(self, failure: Failure) -> None:
        self._trouble(f"the queue could not be audited: {failure.getErrorMessage()}")


class HistoryKeeper:
    """Drops messages from the history `days` after they were finished. `trouble` gets a line if the queue fails."""

    def __init__(
        self, queue: Queue, days: float, *, wall_clock: Callable[[], float], trouble: Callable[[str], object]
    ) -> None:
        self._queue = queue
        self._seconds = days * 86400
        self._wall_clock = wall_clock
        self._trouble = trouble

    def forget(self) -> "Deferred[float | None]":
        """Drop a batch. The result is the seconds until the next call, None for the usual interval; never fails."""
        dropping = self._queue.forget(self._wall_clock() - self._seconds, BATCH)
        return dropping.addCallbacks(self._dropped, self._failed)

    def _dropped(self, count: int) -> float | None:
        # After a full batch there may be more to drop. The pause lets mail through.
        return BATCH_PAUSE if count >= BATCH else None

    def _failed(self, failure: Failure) -> None:
        self._trouble(f"old history could not be dropped: {failure.getErrorMessage()}")


class SpaceKeeper:
    """Drops the oldest finished messages while room is short, and reports that mail is refused for lack of room."""

    def __init__(
        self,
        queue: Queue,
        *,
        wall_clock: Callable[[], float],
        notice: Callable[[str], object],
        trouble: Callable[[str], object],
    ) -> None:
        """`notice` and `trouble` get a line for the operator, each kind at most once in NOTICE_INTERVAL."""
        self._queue = queue
        self._wall_clock = wall_clock
        self._notice = notice
        self._trouble = trouble
        self._looking = False
        # Messages that were dropped since the last notice of that, and the time of that notice.
        self._dropped = 0
        self._dropped_noticed = -math.inf
        # The kind of shortage that was reported last, and when.
        self._reported = ""
        self._reported_at = -math.inf

    def look(self) -> "Deferred[float | None]":
        """Check the room once, and make room if it is short. The result is None; never fails."""
        return Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        if self._looking:
            return
        self._looking = True
        try:
            self._report(await self._make_room())
        except QueueError as error:
            self._trouble(f"the free space of the queue could not be determined: {error}")
        finally:
            self._looking = False

    async def _make_room(self) -> Space:
        space = await self._queue.space()
        for _ in range(_MAX_BATCHES):
            count = await self._queue.forget(math.inf, BATCH) if space.short else 0
            if not count:
                break
            self._dropped += count
            space = await self._queue.space()
        return space

    def _report(self, space: Space) -> None:
        now = self._wall_clock()
        if self._dropped and not now < self._dropped_noticed + NOTICE_INTERVAL:
            self._notice(
                f"the history makes room for mail: its {self._dropped} oldest messages were forgotten before"
                " HISTORY_DAYS, because the queue's disk is short of room"
            )
            self._dropped, self._dropped_noticed = 0, now
        kind, line = _shortage(space)
        if kind and (kind != self._reported or not now < self._reported_at + NOTICE_INTERVAL):
            self._trouble(line)
            self._reported_at = now
        elif self._reported and not kind:
            self._notice("the queue's disk has room for mail again")
        self._reported = kind


def _shortage(space: Space) -> tuple[str, str]:
    """Return the kind of shortage and the line about it; both are "" if mail has room."""
    if space.full:
        return "full", (
            f"mail is answered 452: only {space.total >> 20} MiB free on the queue's disk: free space under QUEUE_DIR"
        )
    if space.no_files:
        return "no files", (
            f"messages over 256 KiB are answered 452: only {space.free >> 10} KiB free on the queue's disk; smaller"
            f" ones are taken into {space.reusable >> 20} MiB of free pages in its file. Free space under QUEUE_DIR"
        )
    return "", ""
