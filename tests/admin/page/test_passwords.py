"""The check of passwords, and the delays after wrong ones."""

import pytest

from mta.admin.page import passwords
from mta.admin.page.passwords import PasswordGate, TooManyPasswords
from mta.users.failure_limits import DELAYED_FROM, MAX_DELAY

PASSWORD = "the-password"  # noqa: S105


def fail(gate: PasswordGate, address: str, now: float, times: int = 1) -> None:
    for _ in range(times):
        assert not gate.is_right("guess", address, now)


def test_only_the_whole_password_is_right():
    gate = PasswordGate(PASSWORD)
    assert gate.is_right(PASSWORD, "192.0.2.1", 0.0)
    for number, given in enumerate(("", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper(), "\udcff")):
        assert not gate.is_right(given, f"192.0.2.{number + 2}", 0.0)


def test_an_empty_password_is_never_right():
    assert not PasswordGate("").is_right("", "192.0.2.1", 0.0)


def test_delays_double_up_to_half_a_minute_and_end():
    gate, now, waits = PasswordGate(PASSWORD), 0.0, []
    fail(gate, "192.0.2.1", now, DELAYED_FROM)
    for _ in range(7):
        with pytest.raises(TooManyPasswords) as caught:
            gate.is_right(PASSWORD, "192.0.2.1", now)
        waits.append(caught.value.seconds)
        now += caught.value.seconds
        fail(gate, "192.0.2.1", now)
    assert waits == [1, 2, 4, 8, 16, MAX_DELAY, MAX_DELAY]
    assert gate.is_right(PASSWORD, "192.0.2.1", now + MAX_DELAY)


def test_addresses_of_one_ipv6_network_are_slowed_down_together():
    gate = PasswordGate(PASSWORD)
    fail(gate, "2001:db8::1", 0.0, DELAYED_FROM)
    with pytest.raises(TooManyPasswords):
        gate.is_right(PASSWORD, "2001:db8::2", 0.0)
    assert gate.is_right(PASSWORD, "2001:db8:0:1::1", 0.0)


def test_the_table_of_addresses_that_wait_is_bounded(monkeypatch):
    monkeypatch.setattr(passwords, "MAX_WAITING", 2)
    gate = PasswordGate(PASSWORD)
    for last in range(1, 4):
        fail(gate, f"192.0.2.{last}", 0.0, DELAYED_FROM)
    assert gate.is_right(PASSWORD, "192.0.2.1", 0.0)
    with pytest.raises(TooManyPasswords):
        gate.is_right(PASSWORD, "192.0.2.3", 0.0)
