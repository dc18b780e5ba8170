"""The retry times of mail for a destination with a full backlog."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.delivery.destinations.admission import RequeuePacer

NOW = 1_000_000.0


def test_retry_times_follow_each_other_behind_the_backlog():
    pacer = RequeuePacer(longest=60.0)
    turns = [pacer.next_try(NOW, waiting=100, started=0) for _ in range(1000)]
    assert NOW + 0.05 <= turns[0] <= NOW + 0.07
    assert turns[-1] == pytest.approx(NOW + 0.55, abs=0.02)
    assert all(later >= earlier for earlier, later in itertools.pairwise(turns))


@pytest.mark.parametrize("rate", [0, 20, 1000])
def test_many_messages_share_a_retry_time_at_any_rate(rate):
    pacer = RequeuePacer(longest=60.0)
    for second in range(10):
        pacer.next_try(NOW + second, waiting=200, started=rate * second)
    turns = {pacer.next_try(NOW + 10 + each / 1000, waiting=200, started=rate * 10) for each in range(1000)}
    assert len(turns) <= 60


def test_mail_for_a_fast_destination_comes_back_sooner():
    fast, slow = RequeuePacer(longest=60.0), RequeuePacer(longest=60.0)
    for second in range(10):
        fast.next_try(NOW + second, waiting=100, started=2000 * second)
        slow.next_try(NOW + second, waiting=100, started=20 * second)
    assert fast.next_try(NOW + 10, 100, 20_000) - NOW - 10 < 0.1
    assert slow.next_try(NOW + 10, 100, 200) - NOW - 10 > 1


def test_retry_times_by_a_faster_rate_do_not_line_up_behind_the_earlier_ones():
    pacer = RequeuePacer(longest=60.0)
    for _ in range(5000):
        last = pacer.next_try(NOW, waiting=1000, started=0)
    assert last > NOW + 2
    assert pacer.next_try(NOW + 0.5, waiting=1000, started=1500) < NOW + 1.5


def test_without_progress_the_retry_times_grow_to_the_longest():
    pacer = RequeuePacer(longest=60.0)
    waits = [pacer.next_try(NOW + second, waiting=50, started=0) - NOW - second for second in range(0, 40, 2)]
    assert waits[0] < 1
    assert 45 <= waits[-1] <= 60


def test_a_clock_that_is_set_back_gives_no_distant_retry_time():
    pacer = RequeuePacer(longest=60.0)
    pacer.next_try(NOW, 50, 0)
    assert NOW - 5000 <= pacer.next_try(NOW - 5000, 50, 10) <= NOW - 5000 + 60


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(-10, 100), st.integers(0, 2000), st.integers(0, 5000)), max_size=30))
def test_a_retry_time_is_never_past_and_never_later_than_the_longest(steps):
    pacer, now, started = RequeuePacer(longest=60.0), NOW, 0
    for elapsed, waiting, more in steps:
        now, started = now + elapsed, started + more
        assert now <= pacer.next_try(now, waiting, started) <= now + 60.0
