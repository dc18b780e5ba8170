"""Looks now and then whether the queue keeps its two promises: nobody is lost, and nothing waits for ever.

Forgets the history: messages older than HISTORY_DAYS, and the oldest ones when mail needs the room.
"""

import math
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.message.dates import short_timestamp
from mta.queue.interface import Audit, Queue, QueueError, QueueId, Space

#: Seconds between two rounds, and for which a message may be due without anything taking it.
AUDIT_INTERVAL = 900.0


class Auditor:
    """Raises an `alarm`, with the message if there is one; `trouble` is told when the queue could not be read."""

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
        # What the round before found.
        self._missing = 0
        self._first: tuple[QueueId, float] | None = None

    def look(self) -> "Deferred[float | None]":
        """Look once. Never fails."""
        return self._queue.audit().addCallbacks(self._judge, self._failed)

    def _judge(self, audit: Audit) -> None:
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
        self._judge_first(audit.first)

    def _judge_first(self, first: tuple[QueueId, float] | None) -> None:
        """What is due first was due at the last round already, and nothing has taken it or put it off since then."""
        if first is not None and first == self._first and first[1] < self._wall_clock() - AUDIT_INTERVAL:
            self._alarm(f"has been due since {short_timestamp(first[1])} and nothing tries it", first[0])
        self._first = first

    def _failed(self, failure: Failure) -> None:
        self._trouble(f"the queue could not be audited: {failure.getErrorMessage()}")


#: Seconds between two rounds, and messages dropped by one transaction of a round.
HISTORY_INTERVAL = 300.0
BATCH = 2000
#: Seconds between two handfuls of a round: 5,000 messages a second are more than ever come in.
BATCH_PAUSE = 0.4
#: Seconds between two looks for room, and between two lines of one kind about it.
SPACE_INTERVAL = 5.0
NOTICE_INTERVAL = 3600.0
# Handfuls that one look forgets at most: room that is still short then is looked at again.
_MAX_BATCHES = 100


class HistoryKeeper:
    """Drops finished messages after `days`. `trouble` is told when the queue could not."""

    def __init__(
        self, queue: Queue, days: float, *, wall_clock: Callable[[], float], trouble: Callable[[str], object]
    ) -> None:
        self._queue = queue
        self._seconds = days * 86400
        self._wall_clock = wall_clock
        self._trouble = trouble

    def forget(self) -> "Deferred[float | None]":
        """Drop a handful; the result is after how many seconds to come again if not at the usual time. Never fails."""
        forgetting = self._queue.forget(self._wall_clock() - self._seconds, BATCH)
        return forgetting.addCallbacks(self._forgot, self._failed)

    def _forgot(self, count: int) -> float | None:
        # A full handful means that there may be more; the relay works in between.
        return BATCH_PAUSE if count >= BATCH else None

    def _failed(self, failure: Failure) -> None:
        self._trouble(f"old history could not be dropped: {failure.getErrorMessage()}")


class SpaceKeeper:
    """Drops the oldest finished messages while room for mail is short, and tells when mail is refused for it."""

    def __init__(
        self,
        queue: Queue,
        *,
        wall_clock: Callable[[], float],
        notice: Callable[[str], object],
        trouble: Callable[[str], object],
    ) -> None:
        """`notice` and `trouble` take a line for the operator, each seldom."""
        self._queue = queue
        self._wall_clock = wall_clock
        self._notice = notice
        self._trouble = trouble
        self._looking = False
        # Messages that were forgotten and not told of, and when they were told last.
        self._forgotten = 0
        self._told_forgotten = -math.inf
        # The line that an operator knows about the room, without its numbers, and since when.
        self._known = ""
        self._told = -math.inf

    def look(self) -> "Deferred[float | None]":
        """Look once, and make room. The result is None; never fails."""
        return Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        if self._looking:
            return
        self._looking = True
        try:
            self._judge(await self._make_room())
        except QueueError as error:
            self._trouble(f"the room in the queue could not be looked at: {error}")
        finally:
            self._looking = False

    async def _make_room(self) -> Space:
        space = await self._queue.space()
        for _ in range(_MAX_BATCHES):
            count = await self._queue.forget(math.inf, BATCH) if space.short else 0
            if not count:
                break
            self._forgotten += count
            space = await self._queue.space()
        return space

    def _judge(self, space: Space) -> None:
        now = self._wall_clock()
        if self._forgotten and not now < self._told_forgotten + NOTICE_INTERVAL:
            self._notice(
                f"the history makes room for mail: its {self._forgotten} oldest messages were forgotten before"
                " HISTORY_DAYS, because the queue's disk is short of room"
            )
            self._forgotten, self._told_forgotten = 0, now
        kind, line = _state(space)
        if kind and (kind != self._known or not now < self._told + NOTICE_INTERVAL):
            self._trouble(line)
            self._told = now
        elif self._known and not kind:
            self._notice("the queue's disk has room for mail again")
        self._known = kind


def _state(space: Space) -> tuple[str, str]:
    """Return the kind of want of room, "" for none, and the line about it."""
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
