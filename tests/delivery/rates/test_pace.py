"""The pace of a destination follows its answers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.delivery.destinations.window import FIRST_TRIAL, FORGET, LONGEST_TRIAL, Ceiling
from mta.delivery.rates.pace import FORGET as FORGET_PACE
from mta.delivery.rates.pace import Pace

NOW = 1000.0


def refused(accepted: int = 5, seconds: float = 1.0, wait: float | None = None, *, quota: bool = False) -> Pace:
    """Return a pace after its first refusal."""
    pace = Pace(NOW, NOW, accepted, seconds)
    pace.refused(NOW, NOW, wait, quota=quota)
    return pace


def resumed(accepted: int = 5) -> Pace:
    """Return a pace whose first probe, after a second, was accepted."""
    pace = refused(accepted)
    pace.started(NOW + 1)
    pace.answered(NOW + 1, NOW + 1)
    return pace


def test_after_a_refusal_one_message_alone_probes() -> None:
    pace = refused()
    assert pace.next_start(NOW) == NOW + 1
    pace.started(NOW + 1)
    assert pace.next_start(NOW + 1) == math.inf


def test_the_pace_begins_with_the_rate_that_was_seen_accepted() -> None:
    assert resumed(accepted=5).rate(NOW + 1) == pytest.approx(2.5)


def test_a_wait_that_the_server_names_is_kept_to() -> None:
    assert refused(wait=60.0).next_start(NOW) == NOW + 60


def test_probes_follow_at_longer_and_longer_waits() -> None:
    pace, now, waits = refused(), NOW, []
    for _ in range(20):
        at = pace.next_start(now)
        waits.append(at - now)
        now = at
        pace.started(now)
        pace.refused(now, now)
    assert waits[1:] == sorted(waits[1:])
    assert 600 < now - NOW < 3600


def test_transactions_that_began_before_a_refusal_say_nothing_new() -> None:
    pace = resumed()
    rate = pace.rate(NOW + 1)
    pace.refused(NOW + 1.1, NOW + 0.5)
    assert pace.rate(NOW + 1.1) == pytest.approx(rate, rel=0.01)
    assert pace.next_start(NOW + 1.1) < NOW + 2


def test_the_pace_rises_with_time_and_falls_by_a_part_with_a_refusal() -> None:
    pace = resumed()
    for number in range(40):
        now = NOW + 1 + (number + 1) / 2.5
        pace.started(now)
        pace.answered(now, now)
    peak = pace.rate(now)
    assert peak > 2.5
    pace.started(now)
    pace.refused(now + 0.1, now)
    probe = pace.next_start(now + 0.1)
    pace.started(probe)
    pace.answered(probe, probe)
    assert pace.rate(probe) == pytest.approx(0.85 * peak, rel=0.02)


def test_a_probe_that_got_no_answer_is_repeated() -> None:
    pace = refused()
    pace.started(NOW + 1)
    pace.ended(NOW + 2, NOW + 1)
    assert NOW + 2 < pace.next_start(NOW + 2) < NOW + 10


def test_a_probe_without_an_end_does_not_stop_the_destination_for_ever() -> None:
    pace = refused()
    pace.started(NOW + 1)
    assert pace.next_start(NOW + 1000) <= NOW + 1000


def test_a_pace_is_forgotten_after_hours_without_a_refusal() -> None:
    pace = resumed()
    assert not pace.over(NOW + 60)
    assert pace.over(NOW + FORGET_PACE + 1)


def test_a_slow_pace_is_kept_for_a_day() -> None:
    pace = Pace(NOW, NOW, 1, 3600.0)
    pace.refused(NOW, NOW)
    pace.started(NOW + 3600)
    pace.answered(NOW + 3600, NOW + 3600)
    assert not pace.over(NOW + 3600 + FORGET_PACE + 1)
    assert pace.over(NOW + 3600 + 86400)


def test_a_quota_leaves_no_pace_behind() -> None:
    pace = refused(quota=True)
    assert pace.next_start(NOW) == NOW + 3600
    pace.started(NOW + 3600)
    pace.answered(NOW + 3600, NOW + 3600)
    assert pace.over(NOW + 3600)


def test_a_clock_that_is_set_back_holds_no_transaction() -> None:
    pace = refused()
    assert pace.next_start(NOW - 86400) <= NOW - 86400 + 1


def test_an_operator_can_have_a_destination_tried_at_once() -> None:
    pace = refused(wait=3600.0)
    pace.next_start(NOW + 5)
    pace.try_now()
    assert pace.next_start(NOW + 5) <= NOW + 5


def test_refusals_that_do_not_follow_the_pace_do_not_make_it_ever_slower() -> None:
    pace, now = resumed(), NOW + 1
    for number in range(300):
        now = max(now, pace.next_start(now))
        pace.started(now)
        if number % 4:
            pace.answered(now, now)
        else:
            pace.refused(now, now)
    assert pace.rate(now) > 0.1


def test_a_time_that_was_not_used_is_given_again() -> None:
    pace = refused()
    pace.started(NOW)
    assert pace.next_start(NOW) == math.inf
    pace.unused(NOW + 1)
    assert pace.next_start(NOW) == NOW + 1


def test_a_pace_that_doubles_with_each_answer_stays_finite_enough_for_a_clock() -> None:
    pace = Pace(NOW, NOW, 1, 1.0)
    pace.refused(NOW, NOW)
    pace.started(NOW + 1)
    for _ in range(200):
        pace.answered(NOW + 1, NOW + 1)
    assert pace.rate(NOW + 1) == 10_000
    assert pace.starts_at(NOW + 1, 10) > NOW + 1


names = st.sampled_from(["start", "answered", "refused", "ended"])
events = st.lists(st.tuples(names, st.floats(0, 5000)), max_size=60)


@given(events, st.integers(0, 1000), st.floats(0, 1e6))
@settings(max_examples=300, deadline=None)
def test_after_any_events_a_transaction_may_begin_some_day(
    happens: list[tuple[str, float]], accepted: int, seconds: float
) -> None:
    pace, now, began = Pace(NOW, NOW, accepted, seconds), NOW, NOW
    pace.refused(NOW, NOW)
    for name, passed in happens:
        now += passed
        if name == "start" and pace.next_start(now) <= now:
            began = now
            pace.started(now)
        elif name == "answered":
            pace.answered(now, began)
        elif name == "refused":
            pace.refused(now, began)
        else:
            pace.ended(now, began)
        assert 0 < pace.rate(now) < math.inf
        assert pace.starts_at(now, 10) > now
    assert pace.next_start(now + 3 * 86400) <= now + 3 * 86400


def test_a_ceiling_rises_by_one_after_a_minute_and_ever_later_after_trials_that_fail() -> None:
    ceiling = Ceiling()
    assert ceiling.refused(NOW, 3.0) == 3
    assert ceiling.height(NOW + FIRST_TRIAL - 1) == 3
    assert ceiling.height(NOW + FIRST_TRIAL) == 4
    now, wait = NOW + FIRST_TRIAL, FIRST_TRIAL
    for _ in range(10):
        ceiling.refused(now, 3.0)
        wait = min(2 * wait, LONGEST_TRIAL)
        assert ceiling.height(now + wait - 1) == 3
        assert ceiling.height(now + wait) == 4
        now += wait


def test_a_ceiling_is_forgotten_after_hours_and_is_never_below_one() -> None:
    ceiling = Ceiling()
    assert ceiling.refused(NOW, 0.0) == 1
    assert not ceiling.over(NOW + FORGET - 1)
    assert ceiling.over(NOW + FORGET)
