"""The number of connections grows with success, and a dead destination is probed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.delivery.destinations.window import ConcurrencyWindow, WindowLimits

LIMITS = WindowLimits(start=5, most=20, first_penalty=30.0, longest_penalty=900.0)


def opened(window: ConcurrencyWindow, now: float, waiting: int = 1000) -> int:
    """Return how many connections can be opened beside each other."""
    count = 0
    while window.may_open(now, count, waiting):
        count += 1
    return count


def dead(now: float = 0.0) -> ConcurrencyWindow:
    window = ConcurrencyWindow(LIMITS)
    window.failed(now)
    return window


def test_a_new_destination_gets_the_start_and_no_more() -> None:
    assert opened(ConcurrencyWindow(LIMITS), 0.0) == 5


def test_no_connection_is_opened_when_no_group_waits() -> None:
    assert not ConcurrencyWindow(LIMITS).may_open(0.0, 0, 0)


def test_a_windowful_of_successes_adds_one_connection() -> None:
    window = ConcurrencyWindow(LIMITS)
    for _ in range(6):
        window.succeeded(1.0)
    assert window.size == 6


def test_success_grows_the_window_to_the_most() -> None:
    window = ConcurrencyWindow(LIMITS)
    for _ in range(1000):
        window.succeeded(1.0)
    assert opened(window, 1.0) == 20


def test_a_failure_beside_working_connections_halves_their_number() -> None:
    window = ConcurrencyWindow(LIMITS)
    for _ in range(1000):
        window.succeeded(1.0)
    window.failed(2.0, others=11)
    assert window.size == 6
    assert window.blocked(2.0) is None


def test_trouble_never_takes_the_last_connection() -> None:
    window = ConcurrencyWindow(LIMITS)
    for _ in range(10):
        window.failed(2.0, others=1)
    assert window.size == 1
    assert not window.is_default


def test_a_destination_with_nothing_open_is_blocked_for_the_first_penalty() -> None:
    window = dead(100.0)
    assert window.blocked(100.0) == 130.0
    assert opened(window, 129.9) == 0


def test_one_connection_alone_probes_when_the_penalty_ends() -> None:
    window = dead(100.0)
    assert window.blocked(130.0) is None
    assert opened(window, 130.0) == 1


def test_a_probe_that_succeeds_opens_the_window() -> None:
    window = dead(100.0)
    window.succeeded(131.0)
    assert opened(window, 131.0) == 5
    assert window.is_default


def test_each_probe_that_fails_doubles_the_penalty_up_to_the_longest() -> None:
    window, now = dead(0.0), 0.0
    waits: list[float] = []
    while len(waits) < 8:
        until = window.blocked(now)
        assert until is not None
        waits.append(until - now)
        now = until
        window.failed(now)
    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0, 900.0]


def test_connections_that_die_together_cost_one_step() -> None:
    window = ConcurrencyWindow(LIMITS)
    for others in (4, 3, 2, 1, 0):
        window.failed(10.0, others)
    window.failed(11.0)
    assert window.blocked(11.0) == 40.0


def test_a_late_answer_from_before_the_penalty_does_not_end_it() -> None:
    window = dead(0.0)
    window.succeeded(5.0)
    assert window.blocked(5.0) == 30.0


def test_a_recovered_destination_starts_again_at_the_first_penalty() -> None:
    window = dead(0.0)
    window.failed(30.0)
    window.succeeded(90.0)
    window.failed(100.0)
    assert window.blocked(100.0) == 130.0


def test_an_operator_can_send_the_probe_at_once() -> None:
    window = dead(1000.0)
    window.unblock()
    assert opened(window, 1001.0) == 1
    window.failed(1001.0)
    assert window.blocked(1001.0) == 1061.0


def test_unblocking_a_healthy_destination_changes_nothing() -> None:
    window = ConcurrencyWindow(LIMITS)
    window.unblock()
    assert opened(window, 0.0) == 5


def test_a_clock_set_back_by_days_does_not_keep_a_destination_blocked() -> None:
    assert opened(dead(1e9), 1e9 - 86400) == 1


@pytest.mark.parametrize(
    "changes",
    [{"start": 0}, {"start": 21}, {"first_penalty": 0.0}, {"first_penalty": 901.0}],
)
def test_limits_that_let_no_mail_through_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"window must start|first penalty must"):
        WindowLimits(**changes)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from(["succeeded", "failed"]), st.floats(0, 1000), st.integers(0, 25))))
@settings(max_examples=200)
def test_after_any_events_the_window_is_within_its_bounds_and_opens_again(events: list[tuple[str, float, int]]) -> None:
    window, now = ConcurrencyWindow(LIMITS), 0.0
    for name, passed, others in events:
        now += passed
        if name == "failed":
            window.failed(now, others)
        else:
            window.succeeded(now)
        assert 0 <= opened(window, now) <= LIMITS.most
    assert opened(window, now + LIMITS.longest_penalty) >= 1


@given(st.integers(1, 2000))
@settings(max_examples=30)
def test_a_dead_destination_costs_one_attempt_a_step_however_much_mail_waits(waiting: int) -> None:
    window, now, probes = dead(), 0.0, 0
    while now < 86400:
        now = window.blocked(now) or now
        assert window.may_open(now, 0, waiting)
        assert not window.may_open(now, 1, waiting - 1)
        window.failed(now)
        probes += 1
    assert probes <= 86400 / LIMITS.longest_penalty + 6
