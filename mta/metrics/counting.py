"""An event log that counts its events, in place of the plain one if metrics are on."""

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mta.event_log.lines import Render, render_text
from mta.event_log.log import EventLog, Stages
from mta.message.envelope import Envelope
from mta.message.outcome import Delivered, Failed, TryLater
from mta.metrics.counters import Counters
from mta.metrics.table import MECHANISMS, TLS_VERSIONS
from mta.queue.interface import QueueId
from mta.smtp.address import Address
from mta.smtp.replies import Reply

_DELIVERED, _FAILED, _DISCARDED = ("delivered",), ("failed",), ("discarded",)
_DONE = {result: f"{number}.0" for result, number in (("delivered", 2), ("deferred", 4), ("failed", 5))}
# The labels of attempts by the result and the first digits of the enhanced status: its class and subject.
_ATTEMPTS = {
    (result, f"{text[0]}.{subject}"): (result, f"{text[0]}.{subject}")
    for result, text in _DONE.items()
    for subject in range(8)
}
# The reasons for which the relay ends sessions, by the beginning of their text; a reply begins with its codes.
_ENDS = {
    "421 4.4.2": "timeout",
    "421 4.3.2": "stopping",
    "it does not read": "unread",
    "the TLS handshake": "tls",
    "TLS": "tls",
}


def end_of(reason: str) -> str:
    """Return the label for the reason of a session's end."""
    for beginning, end in _ENDS.items():
        if reason.startswith(beginning):
            return end
    return "error" if reason[:3].isdigit() else "lost"


def version_of(security: str) -> str:
    """Return the label for the protection of a connection, `TLSv1.3 ...`, or `none` in clear."""
    version = security.partition(" ")[0]
    if not version.startswith("TLS"):
        return "none"
    return version if version in TLS_VERSIONS else "other"


@lru_cache(maxsize=64)
def _version(security: str) -> tuple[str]:
    return (version_of(security),)


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
    ) -> None:
        super().__init__(write, wall_clock, render, flush=flush)
        self._counters = counters

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
        self._counters.logins["ok", _mechanism(mechanism)] += 1
        super().login(client, user, mechanism, tls)

    def login_failed(self, client: str, user: str, mechanism: str, tls: str, reply: Reply) -> None:
        """Count and log a login that failed."""
        self._counters.logins["failed", _mechanism(mechanism)] += 1
        super().login_failed(client, user, mechanism, tls, reply)

    def accepted(
        self,
        id: QueueId,
        envelope: Envelope,
        size: int,
        user: str = "",
        rules: str | None = None,
        *,
        held: bool = False,
        was_from: Address | None = None,
        tls: str = "",
    ) -> None:
        """Count and log a message that is on disk."""
        counters = self._counters
        counters.accepted_messages += 1
        counters.accepted_bytes += size
        counters.accepted_recipients += len(envelope.recipients)
        # Here and in `delivered`, each message would pay for calls of `observe`, for `super`, and for fields that are
        # passed on as a mapping.
        sizes = counters.message_size_bytes
        sizes.counts[bisect_left(sizes.bounds, size)] += 1
        sizes.sum += size
        counters.tls_accepted[_version(tls)] += 1
        EventLog.accepted(self, id, envelope, size, user, rules, held=held, was_from=was_from)

    # Going out

    def delivered(
        self,
        id: QueueId,
        to: Address,
        outcome: Delivered,
        stages: Stages,
        security: str,
        *,
        signed_by: str = "",
        earlier: TryLater | None = None,
        rule: str | None = None,
        attempts: int = 1,
    ) -> None:
        """Count and log a delivery."""
        counters = self._counters
        counters.recipients[_DELIVERED] += 1
        counters.attempts[_delivery(outcome.status)] += 1
        counters.tls_deliveries[_version(security)] += 1
        for histogram, value in (
            (counters.delivery_seconds, stages.total),
            (counters.delivery_attempts, attempts),
            (counters.connection_seconds, stages.waited),
            (counters.transaction_seconds, stages.transfer),
        ):
            histogram.counts[bisect_left(histogram.bounds, value)] += 1
            histogram.sum += value
        EventLog.delivered(self, id, to, outcome, stages, security, signed_by=signed_by, earlier=earlier, rule=rule)

    def deferred(self, id: QueueId, to: Address, outcome: TryLater, next_attempt: float, **fields: Any) -> None:
        """Count and log an attempt that failed for now."""
        self._counters.attempts[_attempt("deferred", outcome.status)] += 1
        super().deferred(id, to, outcome, next_attempt, **fields)

    def failed(self, id: QueueId, to: Address, outcome: Failed, **fields: Any) -> None:
        """Count and log that a recipient will not get the message."""
        self._counters.recipients[_FAILED] += 1
        self._counters.attempts[_attempt("failed", outcome.status)] += 1
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


@lru_cache(maxsize=64)
def _delivery(status: str) -> tuple[str, str]:
    # With one argument, a call of the cache costs half.
    return _attempt("delivered", status)


@lru_cache(maxsize=64)
def _attempt(result: str, status: str) -> tuple[str, str]:
    """Return the labels of an attempt; a status that does not fit the result counts as its class without a subject."""
    return _ATTEMPTS.get((result, status[:3])) or (result, _DONE[result])


def _mechanism(name: str) -> str:
    return name if name in MECHANISMS else "other"
