"""Counts of mail: room that is kept, the bounds of memory, and the numbers that other processes are told."""

import pytest

from mta.rate import Rate
from mta.rate_counts import ENTRIES_EACH, MAX_COUNTS, MAX_ENTRIES, Counted, RateCounts

HOURLY = Rate(2, 3600)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def of(subject: str, rule: str = "r", rate: Rate = HOURLY) -> Counted:
    return Counted(rule, rate, subject)


def test_there_is_room_until_the_rate_is_used_up_and_again_later():
    clock = Clock()
    counts = RateCounts(clock)
    for _ in range(2):
        assert counts.has_room(of("a"))
        counts.count(of("a"))
    assert not counts.has_room(of("a"))
    clock.now = 3600.0
    assert counts.has_room(of("a"))


@pytest.mark.parametrize("other", [of("b"), of("a", rule="s"), of("a", rate=Rate(2, 60))])
def test_subjects_rules_and_rates_are_counted_apart(other: Counted):
    counts = RateCounts(Clock())
    counts.count(of("a"))
    counts.count(of("a"))
    assert counts.has_room(other)


def test_room_is_kept_for_mail_under_way():
    counts = RateCounts(Clock())
    counts.reserve(of("a"))
    counts.reserve(of("a"))
    assert not counts.has_room(of("a"))
    counts.release(of("a"))
    assert counts.has_room(of("a"))
    counts.release(of("a"))
    counts.count(of("a"))
    counts.reserve(of("a"))
    assert not counts.has_room(of("a"))


def test_a_question_is_no_use():
    counts = RateCounts(Clock())
    counts.has_room(of("a"))
    assert counts.kept == 0


def test_the_counts_that_were_used_the_longest_ago_are_forgotten():
    counts = RateCounts(Clock())
    counts.reserve(of("old"))
    counts.count(of("first"))
    for number in range(MAX_COUNTS - 1):
        counts.count(of(f"{number}"))
        counts.count(of("first"))
    assert counts.kept == MAX_COUNTS
    assert not counts.has_room(of("first"))
    assert counts.has_room(of("old"))
    # Its room is not kept any longer, and to give it back does no harm.
    counts.release(of("old"))
    counts.count(of("old"))
    assert counts.has_room(of("old"))


def test_the_entries_of_all_counts_are_bounded():
    clock = Clock()
    counts = RateCounts(clock)
    many = Rate(1_000_000, 86400)
    subjects = MAX_ENTRIES // ENTRIES_EACH + 20
    for number in range(subjects):
        for step in range(ENTRIES_EACH):
            clock.now = 86400 / ENTRIES_EACH * step
            counts.count(of(f"{number}", rate=many))
        clock.now = 0.0
    assert MAX_ENTRIES // (ENTRIES_EACH + 2) <= counts.kept <= MAX_ENTRIES // ENTRIES_EACH


def test_other_processes_are_told_and_count_too():
    told: list[tuple[Counted, int]] = []
    here, there = RateCounts(Clock(), lambda counted, number: told.append((counted, number))), RateCounts(Clock())
    here.count(of("a"))
    here.reserve(of("a"))
    here.add(of("b"), 2)
    assert told == [(of("a"), 1)]
    there.add(*told[0])
    there.count(of("a"))
    assert not there.has_room(of("a"))


def test_the_counts_of_another_process_are_added_with_their_ages():
    here, there = Clock(), Clock()
    there.now = 5_000_000.0
    first, second = RateCounts(here), RateCounts(there)
    first.count(of("a"))
    first.count(of("gone", rate=Rate(1, 60)))
    here.now = 600.0
    first.reserve(of("b"))
    second.count(of("a"))
    for counted, ages in first.dump():
        assert (counted, ages) == (of("a"), [(600.0, 1)])
        second.restore(counted, ages)
    assert not second.has_room(of("a"))
    there.now += 3000.0
    assert second.has_room(of("a"))
    second.count(of("a"))
    assert not second.has_room(of("a"))
