"""The limits of failed logins: delays, times out, addresses that succeeded, and the bounds of the memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.users import failure_limits
from mta.users.failure_limits import MAX_ADDRESSES, FailureLimits

A, B = "192.0.2.1", "192.0.2.2"
HOUR, DAY = 3600.0, 86400.0


def after(count, address=A, at=0.0, **options):
    limits = FailureLimits(**options)
    for _ in range(count):
        limits.failed(address, at)
    return limits


def test_delays_begin_at_the_fifth_failure_and_double_up_to_30_seconds():
    assert [after(count).delay(A, "u", 0.0) for count in range(12)] == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert after(19).delay(A, "u", 0.0) == 30


def test_only_failures_of_the_last_ten_minutes_delay():
    limits = after(4)
    limits.failed(A, 300.0)
    assert limits.delay(A, "u", 599.0) == 1
    assert limits.delay(A, "u", 600.0) == 0


def test_other_addresses_are_not_delayed():
    limits = after(19)
    assert limits.delay(B, "u", 0.0) == 0
    assert not limits.shut_out(B, 0.0)


def test_a_user_who_succeeded_from_an_address_within_a_day_has_no_delay_there():
    limits = FailureLimits()
    limits.succeeded(A, "u", 0.0)
    now = DAY - 1
    for _ in range(6):
        limits.failed(A, now)
        limits.failed(B, now)
    assert limits.delay(A, "u", now) == 0
    assert limits.delay(A, "other", now) == 2
    assert limits.delay(B, "u", now) == 2
    assert limits.delay(A, "u", DAY) == 2


def test_a_success_does_not_erase_failures():
    limits = after(5)
    limits.succeeded(A, "u", 0.0)
    assert limits.delay(A, "other", 0.0) == 1


def test_twenty_failures_in_an_hour_shut_an_address_out_for_an_hour():
    assert not after(19).shut_out(A, 0.0)
    limits = after(20, at=5.0)
    assert limits.shut_out(A, 5.0)
    assert limits.shut_out(A, 5.0 + HOUR - 1)
    assert not limits.shut_out(A, 5.0 + HOUR)
    assert not limits.shut_out(A, 5.0)


def test_twenty_failures_in_more_than_an_hour_do_not():
    limits = FailureLimits()
    for number in range(100):
        limits.failed(A, number * HOUR / 18.9)
        assert not limits.shut_out(A, number * HOUR / 18.9)


def test_after_the_time_out_the_count_begins_anew():
    limits = after(20)
    limits.failed(A, HOUR)
    assert not limits.shut_out(A, HOUR)
    assert limits.delay(A, "u", HOUR) == 0


def test_a_trusted_address_is_delayed_but_not_shut_out():
    limits = after(50, is_trusted=lambda address: address == A)
    assert limits.delay(A, "u", 0.0) == 30
    assert not limits.shut_out(A, 0.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("no:address", "no:address", True),
    ],
)
def test_ipv6_is_counted_by_its_64(one, other, same):
    limits = after(20, address=one)
    assert limits.shut_out(other, 0.0) is same
    assert (limits.delay(other, "u", 0.0) > 0) is same


def test_the_memory_is_bounded(monkeypatch):
    limits = FailureLimits()
    for number in range(MAX_ADDRESSES + 10):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        limits.failed(address, 0.0)
        limits.succeeded(address, "u", 0.0)
    assert len(limits) == 2 * MAX_ADDRESSES


def test_many_addresses_do_not_erase_the_records_of_those_that_are_delayed_or_shut_out(monkeypatch):
    monkeypatch.setattr(failure_limits, "MAX_ADDRESSES", 10)
    limits = FailureLimits()
    limits.succeeded(B, "u", 0.0)
    for _ in range(20):
        limits.failed(A, 0.0)
    for _ in range(6):
        limits.failed(B, 0.0)
    for number in range(1000):
        for _ in range(4):
            limits.failed(f"198.51.{number >> 8}.{number & 255}", 1.0)
    assert limits.shut_out(A, 1.0)
    assert limits.delay(B, "other", 1.0) == 2
    assert limits.delay(B, "u", 1.0) == 0


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.floats(0, 500))))
def test_the_delay_follows_the_failures_of_the_window(steps):
    limits, times, now = FailureLimits(), {A: [], B: []}, 0.0
    for address, wait in steps:
        now += wait
        limits.failed(address, now)
        times[address].append(now)
        for each in (A, B):
            count = min(20, sum(now - time < 600 for time in times[each]))
            assert limits.delay(each, "u", now) == (min(30, 2 ** (count - 5)) if count >= 5 else 0)
