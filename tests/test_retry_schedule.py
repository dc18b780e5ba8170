"""The schedule of attempts, and its end."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mta.retry_schedule import MAX_INTERVAL, RetrySchedule, RetryStep, Shape

HOUR = 3600.0
EXIM = RetrySchedule(
    (
        RetryStep(Shape.FIXED, 2 * HOUR, HOUR / 4),
        RetryStep(Shape.GROWING, 16 * HOUR, HOUR, 1.5),
        RetryStep(Shape.FIXED, 96 * HOUR, 6 * HOUR),
    )
)


def attempts(schedule: RetrySchedule, late: float = 0.0) -> list[float]:
    """Return the ages of all attempts of a message, each made `late` seconds after it was due."""
    ages = [0.0]
    while (due := schedule.next_due(0.0, len(ages), ages[-1])) is not None:
        ages.append(due + late)
    return ages


def rules() -> st.SearchStrategy[tuple[RetryStep, ...]]:
    seconds = st.floats(1, 1e5)
    fixed = st.builds(RetryStep, st.just(Shape.FIXED), st.floats(1, 1e6), seconds)
    growing = st.builds(RetryStep, st.just(Shape.GROWING), st.floats(1, 1e6), seconds, st.floats(1, 4))
    unordered = st.lists(fixed | growing, min_size=1, max_size=5, unique_by=lambda rule: rule.until)
    return unordered.map(lambda found: tuple(sorted(found, key=lambda rule: rule.until)))


def test_the_default_schedule_gives_the_attempts_that_exim_makes() -> None:
    hours = [round(age / HOUR, 1) for age in attempts(EXIM)]
    quarters = [0.0, 0.2, 0.5, 0.8, 1.0, 1.2, 1.5, 1.8, 2.0]
    growing = [3.0, 4.5, 6.8, 10.1, 15.2, 22.8]
    sixes = [28.8, 34.8, 40.8, 46.8, 52.8, 58.8, 64.8, 70.8, 76.8, 82.8, 88.8, 94.8, 100.8]
    assert hours == quarters + growing + sixes


def test_the_last_attempt_is_the_first_one_after_the_end() -> None:
    ages = attempts(EXIM)
    assert ages[-2] < 96 * HOUR <= ages[-1]


@given(rules(), st.floats(0, 1e4))
@settings(max_examples=150, deadline=None)
def test_every_schedule_moves_on_and_ends_however_late_the_attempts(found: tuple[RetryStep, ...], late: float) -> None:
    assume(found[-1].until / min(rule.interval for rule in found) < 5000)
    ages = attempts(RetrySchedule(found), late)
    assert all(earlier < later for earlier, later in itertools.pairwise(ages))
    shortest = min(MAX_INTERVAL, *(rule.interval for rule in found))
    assert len(ages) < found[-1].until / shortest + 3
    assert ages[-1] >= found[-1].until


@given(st.floats(1, 1e4), st.floats(1, 4), st.integers(0, 8))
@settings(max_examples=150)
def test_a_growing_rule_multiplies_each_wait_without_remembering_any(interval: float, factor: float, n: int) -> None:
    rule = RetryStep(Shape.GROWING, 1e12, interval, factor)
    age = sum(interval * factor**step for step in range(n))
    assert rule.wait(100.0, 100.0 + age) == pytest.approx(min(interval * factor**n, MAX_INTERVAL))


def test_a_growing_rule_waits_a_day_at_most() -> None:
    assert RetryStep(Shape.GROWING, 30 * 24 * HOUR, HOUR, 2).wait(0, 20 * 24 * HOUR) == 24 * HOUR


def test_a_message_older_than_the_schedule_gets_a_second_attempt() -> None:
    old = 30 * 24 * HOUR
    assert EXIM.next_due(0.0, 1, old) == old + HOUR / 4
    assert EXIM.next_due(0.0, 2, old + HOUR / 4) is None


def test_a_clock_that_was_set_back_does_not_stop_the_attempts() -> None:
    assert EXIM.next_due(5000.0, 3, 1000.0) == 1000.0 + HOUR / 4


def test_the_schedule_tells_when_it_ends() -> None:
    assert EXIM.ends(1000.0) == 1000.0 + 96 * HOUR


@pytest.mark.parametrize(
    ("shape", "until", "interval", "factor"),
    [
        (Shape.FIXED, 0, 60, 1),
        (Shape.FIXED, 60, 0, 1),
        (Shape.FIXED, 60, 60, 2),
        (Shape.GROWING, 60, 60, 0.5),
        (Shape.GROWING, 60, -1, 2),
    ],
)
def test_a_step_that_would_not_wait_or_not_end_is_refused(
    shape: Shape, until: float, interval: float, factor: float
) -> None:
    with pytest.raises(ValueError, match="of a retry schedule must"):
        RetryStep(shape, until, interval, factor)


def test_steps_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="end later than the one before"):
        RetrySchedule((EXIM.steps[1], EXIM.steps[0]))


def test_a_schedule_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        RetrySchedule(())
