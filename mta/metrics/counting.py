"""An event log that counts its events, in place of the plain one if metrics are on."""

from collections.abc import Callable
from typing import Any

from mta.event_log.emitting import Later
from mta.event_log.lines import Render, render_text
from mta.event_log.log import EventLog
from mta.message.outcome import Failed, TryLater
from mta.metrics.counters import Counters
from mta.metrics.labels import attempt, end_of, mechanism_of
from mta.queue.interface import QueueId
from mta.smtp.address import Address
from mta.smtp.replies import Reply

_FAILED, _DISCARDED = ("failed",), ("discarded",)


class CountingEventLog(EventLog):
    """Counts events that it logs, those included that are left out of the log because they repeat."""

    def __init__(
        self,
        write: Callable[[str], object],
        wall_clock: Callable[[], float],
        render: Render = render_text,
        *,
        counters: Counters,
        flush: Callable[[], object] = lambda: None,
        later: Later | None = None,
    ) -> None:
        super().__init__(write, wall_clock, render, flush=flush, later=later)
        self._counters = self._counts = counters

    # The daemon

    def trouble(self, text: str, id: QueueId | None = None) -> None:
        """Count and log that something does not work."""
        self._counters.troubles += 1
        super().trouble(text, id)

    def fault(self, text: str, traceback: str) -> None:
        """Count and log a bug of the relay."""
        self._counters.faults += 1
        super().fault(text, traceback)

    def alarm(self, text: str, id: QueueId | None = None) -> None:
        """Count and log that the relay has broken a promise."""
        self._counters.alarms += 1
        super().alarm(text, id)

    # Coming in

    def refused(self, client: str, helo: str, sender: str, recipient: str | None, reply: Reply, **fields: Any) -> None:
        """Count and log a refusal by the policy or a rule."""
        self._counters.refusals["policy" if fields.get("rule") is None else "rule", str(reply.code)] += 1
        super().refused(client, helo, sender, recipient, reply, **fields)

    def refused_command(self, client: str, helo: str, command: str, reply: Reply) -> None:
        """Count and log a command that got a negative reply."""
        self._counters.refusals["protocol", str(reply.code)] += 1
        super().refused_command(client, helo, command, reply)

    def session_ended(self, client: str, helo: str, text: str) -> None:
        """Count and log the end of a session."""
        self._counters.sessions_ended[end_of(text),] += 1
        super().session_ended(client, helo, text)

    def login(self, client: str, user: str, mechanism: str, tls: str) -> None:
        """Count and log a login."""
        self._counters.logins["ok", mechanism_of(mechanism)] += 1
        super().login(client, user, mechanism, tls)

    def login_failed(self, client: str, user: str, mechanism: str, tls: str, reply: Reply) -> None:
        """Count and log a login that failed."""
        self._counters.logins["failed", mechanism_of(mechanism)] += 1
        super().login_failed(client, user, mechanism, tls, reply)

    # Going out

    def deferred(self, id: QueueId, to: Address, outcome: TryLater, next_attempt: float, **fields: Any) -> None:
        """Count and log an attempt that failed for now."""
        self._counters.attempts[attempt("deferred", outcome.status)] += 1
        super().deferred(id, to, outcome, next_attempt, **fields)

    def failed(self, id: QueueId, to: Address, outcome: Failed, **fields: Any) -> None:
        """Count and log that a recipient will not get the message."""
        self._counters.recipients[_FAILED] += 1
        self._counters.attempts[attempt("failed", outcome.status)] += 1
        super().failed(id, to, outcome, **fields)

    def discarded(self, id: QueueId, to: Address, rule: str) -> None:
        """Count and log a recipient that a rule had discarded."""
        self._counters.recipients[_DISCARDED] += 1
        super().discarded(id, to, rule)

    def reported(self, id: QueueId, report: QueueId, kind: str, to: Address) -> None:
        """Count and log a report."""
        self._counters.reports[kind,] += 1
        super().reported(id, report, kind, to)

    def unreported(self, id: QueueId, text: str) -> None:
        """Count and log that a sender gets no report."""
        self._counters.unreported += 1
        super().unreported(id, text)

    def possible_duplicate(self, id: QueueId, to: Address) -> None:
        """Count and log a copy that may arrive twice."""
        self._counters.possible_duplicates += 1
        super().possible_duplicate(id, to)

    def lease_lost(self, id: QueueId) -> None:
        """Count and log a result that came too late."""
        self._counters.leases_lost += 1
        super().lease_lost(id)

    def destination_down(self, destination: str, trouble: TryLater, until: float) -> None:
        """Count and log that a destination takes no connection."""
        self._counters.destinations_went_down += 1
        super().destination_down(destination, trouble, until)

    def destination_throttled(self, destination: str, text: str, *limits: Any, **more: Any) -> None:
        """Count and log that a destination wants a slower pace."""
        self._counters.throttles += 1
        super().destination_throttled(destination, text, *limits, **more)
