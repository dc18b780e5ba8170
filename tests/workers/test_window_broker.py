"""The parent's side of shared limits."""

from collections.abc import Iterator

import pytest

from mta.delivery.destinations.window import WindowLimits
from mta.workers.window_broker import MAX_REMEMBERED, WindowBroker

LIMITS = WindowLimits(start=2, most=4, first_penalty=30.0, longest_penalty=900.0)
MX = "mx.test"
REFUSED = ("connection refused", "mx.test[192.0.2.1]:25", "4.4.1", "connect")


class Parent:
    """The shares, and what they told whom."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.shares = WindowBroker(
            LIMITS, lambda worker, verb, *arguments: self.told.append((worker, verb, *arguments))
        )

    def hears(self, *words: object) -> list[tuple[object, ...]]:
        """Return what is told in turn, without the name of the one destination."""
        worker, verb, now, *arguments = words
        self.told.clear()
        getattr(self.shares, str(verb))(worker, now, MX, *arguments)
        return list(self.heard())

    def heard(self) -> Iterator[tuple[object, ...]]:
        for worker, verb, name, *arguments in self.told:
            assert name == MX
            yield (worker, verb, *arguments)


@pytest.fixture
def parent() -> Parent:
    return Parent()


def test_leave_is_given_up_to_the_window_over_all_workers(parent: Parent) -> None:
    assert parent.hears(1, "want", 0.0, 0) == [(1, "grant", False)]
    assert parent.hears(2, "want", 0.0, 0) == [(2, "grant", False)]
    assert parent.hears(1, "want", 0.0, 0) == []


def test_a_freed_connection_goes_to_the_first_asker_with_the_fewest(parent: Parent) -> None:
    for worker in (1, 1, 1, 3, 2):
        parent.hears(worker, "want", 0.0, 0)
    assert parent.hears(1, "gone", 0.0, 1) == [(3, "grant", False)]


def test_successes_open_the_window_for_askers(parent: Parent) -> None:
    for worker in (1, 2, 1):
        parent.hears(worker, "want", 0.0, 0)
    assert parent.hears(2, "worked", 0.0, 2) == []
    assert parent.hears(2, "worked", 0.0, 1) == [(1, "grant", False)]


def test_a_failure_of_the_last_connection_is_sent_to_all_askers(parent: Parent) -> None:
    for worker in (1, 2, 1):
        parent.hears(worker, "want", 0.0, 0)
    assert parent.hears(1, "failed", 0.0, 1, *REFUSED) == [(2, "spare")]
    assert set(parent.hears(2, "failed", 0.0, 1, *REFUSED)) == {
        (1, "down", 30.0, *REFUSED),
        (2, "down", 30.0, *REFUSED),
    }


def test_an_asker_during_a_penalty_gets_its_end_and_reason(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(1, "failed", 0.0, 1, *REFUSED)
    assert parent.hears(2, "want", 10.0, 0) == [(2, "down", 30.0, *REFUSED)]


def test_one_worker_alone_probes_after_a_penalty(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(1, "failed", 0.0, 1, *REFUSED)
    assert parent.hears(2, "want", 31.0, 0) == [(2, "grant", True)]
    assert (1, "grant", True) not in parent.hears(1, "want", 31.0, 0)


def test_a_probe_that_fails_doubles_the_penalty_for_all(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(1, "failed", 0.0, 1, *REFUSED)
    parent.hears(2, "want", 31.0, 0)
    parent.hears(1, "want", 31.0, 0)
    assert set(parent.hears(2, "failed", 32.0, 1, *REFUSED)) == {
        (1, "down", 92.0, *REFUSED),
        (2, "down", 92.0, *REFUSED),
    }


def test_a_successful_probe_is_sent_to_all_workers_that_know_the_penalty(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(1, "failed", 0.0, 1, *REFUSED)
    parent.hears(2, "want", 31.0, 0)
    told = parent.hears(2, "worked", 31.0, 1)
    assert (1, "up") in told


def test_a_retry_that_an_operator_asks_for_lets_a_probe_go_at_once(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(1, "failed", 0.0, 1, *REFUSED)
    parent.hears(1, "retry", 1.0)
    assert parent.hears(2, "want", 1.0, 0) == [(2, "grant", True)]


def test_a_worker_that_has_clearly_more_is_asked_to_spare_one(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(1, "want", 0.0, 0)
    assert parent.hears(2, "want", 0.0, 0) == [(1, "spare")]


def test_a_worker_that_gets_the_connection_another_waits_for_is_asked_to_spare_it(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0, 1)
    assert parent.hears(2, "want", 0.0, 0, 1) == [(1, "spare")]
    # It has the only connection itself, which it is about to end.
    assert parent.hears(1, "want", 0.0, 0, 1) == []
    assert parent.hears(1, "gone", 0.0, 1) == [(2, "grant", False), (2, "spare")]
    # A worker is asked once.
    assert parent.hears(2, "worked", 0.0, 1) == []
    assert parent.hears(2, "gone", 0.0, 1) == [(1, "grant", False)]


def test_workers_with_equal_connections_do_not_ask_each_other(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(2, "want", 0.0, 0)
    assert parent.hears(2, "want", 0.0, 0) == []


def test_the_connections_of_an_ended_worker_go_to_the_others(parent: Parent) -> None:
    for worker in (1, 1, 2):
        parent.hears(worker, "want", 0.0, 0)
    parent.told.clear()
    parent.shares.left(1, 0.0)
    assert parent.told == [(2, "grant", MX, False)]


def test_more_than_was_given_cannot_be_given_back(parent: Parent) -> None:
    parent.hears(1, "want", 0.0, 0)
    parent.hears(1, "gone", 0.0, 5)
    assert [parent.hears(2, "want", 0.0, 0) for _ in range(3)] == [[(2, "grant", False)], [(2, "grant", False)], []]


def test_lines_about_an_unknown_destination_change_nothing(parent: Parent) -> None:
    assert parent.hears(1, "gone", 0.0, 1) == []
    assert parent.hears(1, "worked", 0.0, 1) == []
    assert parent.hears(1, "failed", 0.0, 1, *REFUSED) == []
    assert parent.hears(1, "retry", 0.0) == []


@pytest.mark.parametrize(("others", "probes"), [(MAX_REMEMBERED - 1, True), (MAX_REMEMBERED, False)])
def test_old_failures_are_forgotten_when_there_are_too_many(parent: Parent, others: int, probes: bool) -> None:
    for name in (MX, *(f"{number}.test" for number in range(others - 1))):
        parent.shares.want(1, 0.0, name, 0)
        parent.shares.failed(1, 0.0, name, 1, *REFUSED)
    parent.shares.want(1, 31.0, "one-more.test", 0)
    assert parent.hears(2, "want", 31.0, 0) == [(2, "grant", probes)]


def test_the_connections_of_a_rule_bound_all_workers_together_until_the_rule_is_gone(parent: Parent) -> None:
    assert parent.hears(1, "want", 0.0, 0, 1) == [(1, "grant", False)]
    assert parent.hears(2, "want", 0.0, 0, 1) == [(1, "spare")]
    assert parent.hears(1, "gone", 0.0, 1) == [(2, "grant", False)]
    # Without the rule the window grows again.
    assert parent.hears(1, "want", 0.0, 0) == [(2, "spare")]
    assert parent.hears(2, "worked", 0.0, 1) == [(1, "grant", False)]
