"""Metrics as values: their names and help, how the figures of several processes become one, and how samples travel."""

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: Begins the name of every metric.
PREFIX = "smtprelay_"


class Kind(enum.Enum):
    """The types of Prometheus that the relay uses."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(enum.Enum):
    """How one figure is made of the figures of several processes."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` lacks the prefix; the name of a counter also lacks the `_total` that Prometheus adds."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    #: The values of the only label if they are known; they are exposed with 0 from the start.
    values: tuple[str, ...] = ()
    merge: Merge = Merge.SUM
    #: The upper bounds of the buckets of a histogram, without infinity.
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as an operator asks for it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


class Histogram:
    """Counts observations in buckets; `counts` has one more entry than `bounds`, for larger observations."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value in the bucket of the smallest bound that is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_all(self, values: Iterable[float]) -> None:
        """Count values as `observe` does, at less cost if they are many."""
        ordered = sorted(values)
        counted = 0
        for place, bound in enumerate(self.bounds):
            end = bisect_right(ordered, bound, counted)
            self.counts[place] += end - counted
            counted = end
        self.counts[-1] += len(ordered) - counted
        self.sum += sum(ordered)


#: The count of each bucket, and the sum of all observations.
HistogramValue = tuple[tuple[int, ...], float]
Value = float | HistogramValue
#: By the name of the metric and the values of its labels.
Samples = dict[tuple[str, tuple[str, ...]], Value]


def to_words(samples: Samples) -> list[list[object]]:
    """Return samples as JSON values, for the channel between processes."""
    return [[name, list(labels), value] for (name, labels), value in samples.items()]


def from_words(words: Iterable[Sequence[object]], table: Mapping[str, Metric]) -> Samples:
    """Return the samples of `to_words`. Raises ValueError for anything else."""
    samples: Samples = {}
    for name, labels, value in words:
        if not isinstance(name, str) or name not in table or not isinstance(labels, list):
            raise ValueError("not a sample")
        samples[name, tuple(map(str, labels))] = _value(value)
    return samples


def _value(value: object) -> Value:
    if isinstance(value, int | float):
        return value
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], list):  # noqa: PLR2004
        return tuple(map(int, value[0])), float(value[1])
    raise ValueError("not the value of a sample")


def merged(parts: Iterable[Samples], table: Mapping[str, Metric]) -> Samples:
    """Return the samples of several processes as those of one relay."""
    result: Samples = {}
    for part in parts:
        for key, value in part.items():
            known = result.get(key)
            result[key] = value if known is None else _joined(known, value, table[key[0]].merge)
    return result


def _joined(first: Value, second: Value, how: Merge) -> Value:
    if isinstance(first, tuple) and isinstance(second, tuple):
        counts = tuple(a + b for a, b in zip(first[0], second[0], strict=True))
        return counts, first[1] + second[1]
    assert not isinstance(first, tuple)
    assert not isinstance(second, tuple)
    if how is Merge.SUM:
        return first + second
    return max(first, second) if how is Merge.MAX else min(first, second)


def largest(samples: Mapping[str, float], most: int) -> dict[str, float]:
    """Return the `most` largest figures by name, and the sum of the rest under `other`, if there are more."""
    ordered = sorted(samples, key=lambda name: (-samples[name], name))
    kept = {name: samples[name] for name in ordered[:most]}
    if ordered[most:]:
        kept["other"] = kept.get("other", 0) + sum(samples[name] for name in ordered[most:])
    return kept
