"""The limits that the answers of hosts teach."""

from mta.delivery.destinations.host_limits import LIMIT_SECONDS, PASSED_OVER_SECONDS, UNLIMITED, HostLimits

NOW = 1000.0


def test_a_limit_of_recipients_is_kept_for_some_hours() -> None:
    limits = HostLimits()
    assert limits.recipients == UNLIMITED
    limits.recipients_refused(2, NOW)
    assert limits.recipients_now(NOW + LIMIT_SECONDS - 1) == 2
    assert limits.recipients_now(NOW + LIMIT_SECONDS) == UNLIMITED


def test_a_limit_of_messages_is_never_above_the_relays_own() -> None:
    limits = HostLimits()
    limits.messages_refused(900, NOW)
    assert limits.messages == 500
    limits.messages_refused(10, NOW)
    assert limits.messages_now(NOW + LIMIT_SECONDS - 1) == 10
    assert limits.messages_now(NOW + LIMIT_SECONDS) == 500


def test_a_host_that_closes_after_the_same_number_of_messages_again_and_again_has_such_a_limit() -> None:
    limits = HostLimits()
    for carried in (7, 7, 9, 7, 7):
        limits.closed(carried, NOW)
    assert limits.messages == 500
    limits.closed(7, NOW)
    assert limits.messages == 7


def test_announced_limits_hold_unless_lower_ones_are_known() -> None:
    limits = HostLimits()
    limits.offered(None, None, NOW)
    assert limits.learned(NOW) == (None, None)
    limits.offered(100, 700, NOW)
    assert limits.learned(NOW) == (100, None)
    limits.recipients_refused(50, NOW)
    limits.offered(100, 20, NOW + 1)
    assert limits.learned(NOW + 1) == (50, 20)


def test_a_higher_announced_limit_does_not_prolong_a_lower_one() -> None:
    limits = HostLimits()
    limits.offered(10, 5, NOW)
    limits.offered(20, 6, NOW + LIMIT_SECONDS - 1)
    assert limits.learned(NOW + LIMIT_SECONDS) == (None, None)
    limits.offered(20, 6, NOW + LIMIT_SECONDS)
    assert limits.learned(NOW + LIMIT_SECONDS) == (20, 6)


def test_a_host_is_passed_over_for_a_minute() -> None:
    limits = HostLimits()
    limits.pass_over(["a", "b"], NOW)
    limits.pass_over(["b"], NOW + 30)
    assert limits.passed_over(NOW + PASSED_OVER_SECONDS - 1) == {"a", "b"}
    assert limits.passed_over(NOW + PASSED_OVER_SECONDS) == {"b"}
    assert limits.passed_over(NOW + PASSED_OVER_SECONDS + 30) == frozenset()
