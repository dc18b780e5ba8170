"""Looks now and then whether the queue keeps its two promises: nobody is lost, and nothing waits for ever."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.message.dates import short_timestamp
from mta.queue.interface import Audit, Queue, QueueId

#: Seconds between two rounds, and for which a message may be due without anything taking it.
ROUND = 900.0


class Auditor:
    """Raises an `alarm`, with the message if there is one; `trouble` is told when the queue could not be read."""

    def __init__(
        self,
        queue: Queue,
        *,
        wall: Callable[[], float],
        alarm: Callable[[str, QueueId | None], object],
        trouble: Callable[[str], object],
    ) -> None:
        self._queue = queue
        self._wall = wall
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
        if audit.stranded is not None:
            self._alarm("a recipient waits, but the message is never tried again: smtprelay queue show", audit.stranded)
        self._judge_first(audit.first)

    def _judge_first(self, first: tuple[QueueId, float] | None) -> None:
        """What is due first was due at the last round already, and nothing has taken it or put it off since then."""
        if first is not None and first == self._first and first[1] < self._wall() - ROUND:
            self._alarm(f"has been due since {short_timestamp(first[1])} and nothing tries it", first[0])
        self._first = first

    def _failed(self, failure: Failure) -> None:
        self._trouble(f"the queue could not be audited: {failure.getErrorMessage()}")
