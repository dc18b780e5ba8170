import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.delivery.destinations.admission import RequeuePacer

NOW = 1_000_000.0


def test_turns_come_one_after_the_other_behind_what_waits():
    crowd = RequeuePacer(longest=60.0)
    turns = [crowd.turn(NOW, waiting=100, begun=0) for _ in range(1000)]
    assert NOW + 0.05 <= turns[0] <= NOW + 0.07
    assert turns[-1] == pytest.approx(NOW + 0.55, abs=0.02)
    assert all(later >= earlier for earlier, later in itertools.pairwise(turns))


@pytest.mark.parametrize("rate", [0, 20, 1000])
def test_many_share_a_turn_at_any_pace(rate):
    crowd = RequeuePacer(longest=60.0)
    for second in range(10):
        crowd.turn(NOW + second, waiting=200, begun=rate * second)
    turns = {crowd.turn(NOW + 10 + each / 1000, waiting=200, begun=rate * 10) for each in range(1000)}
    assert len(turns) <= 60


def test_a_fast_line_has_its_mail_back_sooner():
    fast, slow = RequeuePacer(longest=60.0), RequeuePacer(longest=60.0)
    for second in range(10):
        fast.turn(NOW + second, waiting=100, begun=2000 * second)
        slow.turn(NOW + second, waiting=100, begun=20 * second)
    assert fast.turn(NOW + 10, 100, 20_000) - NOW - 10 < 0.1
    assert slow.turn(NOW + 10, 100, 200) - NOW - 10 > 1


def test_mail_that_comes_once_the_line_is_known_to_be_fast_does_not_queue_behind_earlier_turns():
    crowd = RequeuePacer(longest=60.0)
    for _ in range(5000):
        last = crowd.turn(NOW, waiting=1000, begun=0)
    assert last > NOW + 2
    assert crowd.turn(NOW + 0.5, waiting=1000, begun=1500) < NOW + 1.5


def test_where_nothing_moves_the_turns_grow_to_the_longest():
    crowd = RequeuePacer(longest=60.0)
    waits = [crowd.turn(NOW + second, waiting=50, begun=0) - NOW - second for second in range(0, 40, 2)]
    assert waits[0] < 1
    assert 45 <= waits[-1] <= 60


def test_a_clock_that_is_set_back_gives_no_turn_far_off():
    crowd = RequeuePacer(longest=60.0)
    crowd.turn(NOW, 50, 0)
    assert NOW - 5000 <= crowd.turn(NOW - 5000, 50, 10) <= NOW - 5000 + 60


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(-10, 100), st.integers(0, 2000), st.integers(0, 5000)), max_size=30))
def test_a_turn_is_never_past_and_never_further_off_than_the_longest(steps):
    crowd, now, begun = RequeuePacer(longest=60.0), NOW, 0
    for elapsed, waiting, more in steps:
        now, begun = now + elapsed, begun + more
        assert now <= crowd.turn(now, waiting, begun) <= now + 60.0
