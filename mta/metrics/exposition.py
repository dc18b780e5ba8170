"""Writes samples as Prometheus reads them. Imported for the first client, because prometheus-client is large."""

from collections.abc import Iterable, Iterator

from prometheus_client import exposition as text_format
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as open_metrics
from prometheus_client.registry import Collector, CollectorRegistry

from mta.metrics.metric import PREFIX, Histogram, HistogramValue, Kind, Metric, Samples, Value
from mta.metrics.table import METRICS

_OPEN_METRICS = "application/openmetrics-text"


def expose(samples: Samples, accept: str) -> tuple[bytes, str]:
    """Return the text of all metrics and its content type: OpenMetrics if `accept` asks for it.

    `accept` is the header of the request. A metric without a sample has its lines of help and type only.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(samples))
    if _OPEN_METRICS in accept:
        return open_metrics.generate_latest(registry), open_metrics.CONTENT_TYPE_LATEST
    return text_format.generate_latest(registry), text_format.CONTENT_TYPE_LATEST


class _Samples(Collector):
    """Gives samples to prometheus-client."""

    def __init__(self, samples: Samples) -> None:
        self._by_name: dict[str, list[tuple[tuple[str, ...], Value]]] = {name: [] for name in METRICS}
        for (name, labels), value in sorted(samples.items(), key=lambda item: item[0]):
            self._by_name[name].append((labels, value))

    def collect(self) -> Iterable[Family]:
        """Yield each metric of the table with its samples."""
        for name, samples in self._by_name.items():
            yield _family(METRICS[name], samples)


def _family(metric: Metric, samples: list[tuple[tuple[str, ...], Value]]) -> Family:
    name = PREFIX + metric.name
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for labels, value in samples or [((), _empty(metric))]:
            counts, total = value if isinstance(value, tuple) else _empty(metric)
            histogram.add_metric(labels, list(_cumulative(metric.buckets, counts)), total)
        return histogram
    family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(
        name, metric.help, labels=metric.labels
    )
    for labels, value in samples:
        assert not isinstance(value, tuple)
        family.add_metric(labels, value)
    return family


def _empty(metric: Metric) -> HistogramValue:
    empty = Histogram(metric.buckets)
    return tuple(empty.counts), 0.0


def _cumulative(bounds: tuple[float, ...], counts: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    """Yield the buckets as Prometheus counts them: all observations up to a bound."""
    total = 0
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        total += count
        yield ("+Inf" if bound == float("inf") else repr(bound)), total
