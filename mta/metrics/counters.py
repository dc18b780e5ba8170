"""The counters and histograms of one process: plain numbers, to which the events of each message are added.

The values of an accepted message and of a delivery are gathered in a list, and counted hundreds at a time: that costs a
message a quarter of what it costs to count each value by itself (measured).
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from mta.event_log.counts import ACCEPTED_VALUES, DELIVERED_VALUES
from mta.metrics.labels import attempt, version_of
from mta.metrics.metric import Histogram, Kind, Samples
from mta.metrics.table import METRICS

#: Counts by the values of the labels. Not `collections.Counter`, whose `__delitem__` in Python makes each `+=` slower.
Counts = defaultdict[tuple[str, ...], int]


def _histogram(name: str) -> Histogram:
    return Histogram(METRICS[name].buckets)


_FIGURES = (
    "accepted_bytes",
    "accepted_messages",
    "accepted_recipients",
    "alarms",
    "attempts",
    "commit_seconds",
    "connection_seconds",
    "delivery_attempts",
    "delivery_seconds",
    "destinations_went_down",
    "dns_lookups",
    "dns_seconds",
    "faults",
    "leases_lost",
    "logins",
    "message_size_bytes",
    "possible_duplicates",
    "recipients",
    "refusals",
    "reports",
    "sessions_ended",
    "throttles",
    "tls_accepted",
    "tls_deliveries",
    "transaction_seconds",
    "troubles",
    "unreported",
)


class Counters:
    """The counters since the start of the process. Those without labels are integers."""

    __slots__ = (*_FIGURES, "accepted", "delivered")

    def __init__(self) -> None:
        #: Values that are not counted yet; see `mta.event_log.counts.MessageCounts`.
        self.accepted: list[Any] = []
        self.delivered: list[Any] = []
        self.accepted_messages = self.accepted_bytes = self.accepted_recipients = 0
        self.alarms = self.faults = self.troubles = 0
        self.destinations_went_down = self.throttles = 0
        self.leases_lost = self.possible_duplicates = self.unreported = 0
        #: By the values of the labels.
        self.attempts: Counts = defaultdict(int)
        self.dns_lookups: Counts = defaultdict(int)
        self.logins: Counts = defaultdict(int)
        self.recipients: Counts = defaultdict(int)
        self.refusals: Counts = defaultdict(int)
        self.reports: Counts = defaultdict(int)
        self.sessions_ended: Counts = defaultdict(int)
        self.tls_accepted: Counts = defaultdict(int)
        self.tls_deliveries: Counts = defaultdict(int)
        self.message_size_bytes = _histogram("message_size_bytes")
        self.delivery_seconds = _histogram("delivery_seconds")
        self.delivery_attempts = _histogram("delivery_attempts")
        self.commit_seconds = _histogram("commit_seconds")
        self.dns_seconds = _histogram("dns_seconds")
        self.connection_seconds = _histogram("stage_seconds")
        self.transaction_seconds = _histogram("stage_seconds")

    def count_accepted(self) -> None:
        """Count the messages whose values are gathered."""
        sizes, recipients, protections = (self.accepted[place::ACCEPTED_VALUES] for place in range(ACCEPTED_VALUES))
        self.accepted.clear()
        self.accepted_messages += len(sizes)
        self.accepted_bytes += sum(sizes)
        self.accepted_recipients += sum(recipients)
        self.message_size_bytes.observe_all(sizes)
        for security, number in Counter(protections).items():
            self.tls_accepted[version_of(security),] += number

    def count_delivered(self) -> None:
        """Count the deliveries whose values are gathered."""
        seconds, waited, transfers, attempts, statuses, protections = (
            self.delivered[place::DELIVERED_VALUES] for place in range(DELIVERED_VALUES)
        )
        self.delivered.clear()
        self.recipients["delivered",] += len(seconds)
        self.delivery_seconds.observe_all(seconds)
        self.connection_seconds.observe_all(waited)
        self.transaction_seconds.observe_all(transfers)
        self.delivery_attempts.observe_all(attempts)
        for status, number in Counter(statuses).items():
            self.attempts[attempt("delivered", status)] += number
        for security, number in Counter(protections).items():
            self.tls_deliveries[version_of(security),] += number

    def samples(self) -> Samples:
        """Return the present figures; label values that are known have 0 before their first event."""
        self.count_accepted()
        self.count_delivered()
        samples = zeros()
        for name in _FIGURES:
            figure = getattr(self, name)
            if isinstance(figure, defaultdict):
                samples.update({(name, labels): count for labels, count in figure.items()})
            elif isinstance(figure, Histogram):
                key = _STAGES.get(name, (name, ()))
                samples[key] = tuple(figure.counts), figure.sum
            else:
                samples[name, ()] = figure
        return samples


_STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "connection_seconds": ("stage_seconds", ("connection",)),
    "transaction_seconds": ("stage_seconds", ("transaction",)),
}


def zeros() -> Samples:
    """Return 0 for each counter, and for each of its label values that are known."""
    samples: Samples = {}
    for metric in METRICS.values():
        if metric.kind is not Kind.COUNTER:
            continue
        if not metric.labels:
            samples[metric.name, ()] = 0
        samples.update({(metric.name, (value,)): 0 for value in metric.values})
    return samples


def commit_timer(counters: Counters, seconds: Callable[[], float]) -> Callable[[str], None]:
    """Return the Step of a queue that observes the time of commits. `seconds` is a clock that any thread may ask.

    It is a function, because a queue has six steps for each message, and to call an object takes 750 instructions more
    (measured).
    """
    observe = counters.commit_seconds.observe
    began = 0.0

    def step(name: str) -> None:
        nonlocal began
        if name == "commit":
            began = seconds()
        elif name == "answer":
            observe(seconds() - began)

    return step
