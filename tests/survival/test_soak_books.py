"""The books of a soak find duplicates, losses and other faults."""

import pytest

from tests.survival.soak import compare
from tests.survival.soak_books import Books, Sent, audit


@pytest.fixture
def books(tmp_path):
    return Books(tmp_path, 200_000)


def row(books, number, sent=Sent.ACCEPTED, **columns):
    books.sent[number] = sent
    for name, count in columns.items():
        getattr(books, name)[number] = count


def test_mail_that_arrived_failed_with_a_report_was_removed_or_waits_is_no_fault(books):
    row(books, 0, arrived=1)
    row(books, 70_000, failed=1, reported=1)
    row(books, 140_000, removed=1)
    row(books, 199_999)
    row(books, 5, sent=Sent.DOUBT, arrived=1)
    row(books, 6, sent=Sent.DOUBT)
    result = audit(books, {199_999})
    assert result.faults is None
    assert (result.accepted, result.unheard) == (4, 1)
    assert (result.delivered, result.failed, result.removed, result.waiting) == (2, 1, 1, 1)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "was accepted and is lost"),
        ({"arrived": 2}, "arrived 2 times, and the log explains 0"),
        ({"arrived": 3, "excused": 1}, "arrived 3 times, and the log explains 1"),
        ({"failed": 1}, "failed, and its sender was not told"),
        ({"failed": 1, "reported": 1, "arrived": 1}, "arrived and failed"),
        ({"sent": Sent.NEVER, "arrived": 1}, "was never accepted"),
    ],
)
def test_an_impossible_outcome_is_a_fault(books, columns, words):
    row(books, 7, **columns)
    faults = audit(books, set()).faults
    assert faults is not None
    assert words in faults[0]


def test_a_duplicate_that_the_log_explains_is_no_fault(books):
    row(books, 7, arrived=2, excused=1)
    result = audit(books, set())
    assert result.faults is None
    assert (result.duplicates, result.unexplained) == (1, 0)


def test_a_copy_that_its_host_took_without_a_yes_may_be_missing_in_the_log_of_a_killed_daemon(books):
    row(books, 7, arrived=3, excused=1, unanswered=2)
    result = audit(books, set())
    assert result.faults is None
    assert (result.duplicates, result.unlogged, result.unexplained) == (2, 1, 0)


def test_two_processes_see_the_same_counts(tmp_path, books):
    other = Books(tmp_path, 200_000)
    other.add(other.arrived, 9)
    other.counts[0] = 5
    assert books.arrived[9] == 1
    assert books.counts[0] == 5


def test_a_ledger_that_differs_by_one_is_a_fault(books):
    row(books, 0, arrived=1)
    row(books, 1, failed=1, reported=1)
    result = audit(books, set())
    right = {"accepted": 3, "delivered": 2, "failed": 1, "removed": 0, "waiting": 0}
    assert compare(result, right, reports=1) == []
    for name, count in right.items():
        assert len(compare(result, {**right, name: count + 1}, reports=1)) == 1
