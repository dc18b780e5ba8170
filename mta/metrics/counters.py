"""The counters and histograms of one process: plain numbers, to which the events of each message are added."""

from collections import defaultdict
from collections.abc import Callable

from mta.metrics.metric import Histogram, Kind, Samples
from mta.metrics.table import METRICS

#: Counts by the values of the labels. Not `collections.Counter`, whose `__delitem__` in Python makes each `+=` slower.
Counts = defaultdict[tuple[str, ...], int]


def _histogram(name: str) -> Histogram:
    return Histogram(METRICS[name].buckets)


class Counters:
    """The counters since the start of the process. Those without labels are integers."""

    __slots__ = (
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

    def __init__(self) -> None:
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

    def samples(self) -> Samples:
        """Return the present figures; label values that are known have 0 before their first event."""
        samples = zeros()
        for name in self.__slots__:
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


class CommitTimer:
    """Observes the time of commits, as the Step of a queue."""

    def __init__(self, counters: Counters, seconds: Callable[[], float]) -> None:
        """`seconds` is a monotonic clock that any thread may ask."""
        self._histogram = counters.commit_seconds
        self._seconds = seconds
        self._began = 0.0

    def __call__(self, step: str) -> None:
        """Take the name of the step that begins."""
        if step == "commit":
            self._began = self._seconds()
        elif step == "answer":
            self._histogram.observe(self._seconds() - self._began)
