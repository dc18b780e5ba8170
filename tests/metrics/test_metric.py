"""Metrics as values: histograms, the sum of several processes, and the bound of labels."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.metrics.counters import Counters, zeros
from mta.metrics.metric import Histogram, Kind, Samples, from_words, largest, merged, to_words
from mta.metrics.table import METRICS


def test_an_observation_counts_in_the_bucket_of_the_smallest_bound_that_is_not_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 7.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 12.0


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 7.0])))
def test_observations_count_the_same_together(values: list[float]) -> None:
    one_by_one, together = Histogram((1.0, 2.0)), Histogram((1.0, 2.0))
    for value in values:
        one_by_one.observe(value)
    together.observe_all(values)
    assert (together.counts, together.sum) == (one_by_one.counts, one_by_one.sum)


def test_figures_of_processes_are_added_and_extremes_are_kept() -> None:
    first: Samples = {
        ("queue_messages", ()): 2,
        ("queue_oldest_seconds", ()): 5.0,
        ("queue_free_bytes", ()): 100,
        ("message_size_bytes", ()): ((1, 0), 3.0),
    }
    second: Samples = {
        ("queue_messages", ()): 3,
        ("queue_oldest_seconds", ()): 9.0,
        ("queue_free_bytes", ()): 70,
        ("message_size_bytes", ()): ((0, 4), 8.0),
    }
    assert merged((first, second), METRICS) == {
        ("queue_messages", ()): 5,
        ("queue_oldest_seconds", ()): 9.0,
        ("queue_free_bytes", ()): 70,
        ("message_size_bytes", ()): ((1, 4), 11.0),
    }


def test_figures_survive_the_channel_between_processes() -> None:
    counters = Counters()
    counters.accepted_messages = 3
    counters.attempts["deferred", "4.7"] += 2
    counters.message_size_bytes.observe(5000)
    samples = counters.samples()
    assert from_words(json.loads(json.dumps(to_words(samples))), METRICS) == samples


@pytest.mark.parametrize("word", [["unknown", [], 1], ["alarms", "x", 1], ["alarms", [], "1"], ["alarms", [], [1]]])
def test_words_that_are_no_samples_are_an_error(word: list[object]) -> None:
    with pytest.raises(ValueError, match="sample"):
        from_words([word], METRICS)


@given(st.dictionaries(st.text(max_size=5), st.integers(1, 100), max_size=20), st.integers(1, 10))
def test_the_largest_figures_have_names_and_the_sum_stays_the_same(figures: dict[str, float], most: int) -> None:
    kept = largest(figures, most)
    assert sum(kept.values()) == sum(figures.values())
    assert len(kept) <= most + 1


def test_every_counter_and_histogram_of_the_table_but_those_of_other_parts_is_counted() -> None:
    names = {name for name, _ in Counters().samples()}
    counted = {name for name, metric in METRICS.items() if metric.kind is not Kind.GAUGE and not metric.labels}
    assert counted <= names
    assert {name for name, _ in zeros()} <= set(METRICS)


def test_names_follow_the_rules_of_prometheus() -> None:
    for metric in METRICS.values():
        assert metric.help.endswith(".")
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert len(metric.values) == 0 or len(metric.labels) == 1
        assert list(metric.buckets) == sorted(set(metric.buckets))
