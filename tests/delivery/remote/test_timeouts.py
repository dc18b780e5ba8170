"""Tests the time limits of the steps, and the timer behind them."""

from twisted.internet.task import Clock

from mta.delivery.remote.timeouts import Deadline, Timeouts
from mta.smtp.client.dialogue import Awaited


def deadline() -> tuple[Clock, list[float], Deadline]:
    clock, expired = Clock(), list[float]()
    return clock, expired, Deadline(clock, lambda: expired.append(clock.seconds()))


def test_a_deadline_expires_at_the_time_it_was_last_set_to() -> None:
    clock, expired, limit = deadline()
    limit.set(10)
    clock.pump([9])
    limit.set(20)
    clock.pump([1] * 25)
    assert expired == [29]


def test_an_earlier_time_replaces_a_later_one() -> None:
    clock, expired, limit = deadline()
    limit.set(600)
    limit.set(5)
    clock.pump([1] * 10)
    assert expired == [5]


def test_a_cleared_deadline_does_not_expire_and_can_be_set_again() -> None:
    clock, expired, limit = deadline()
    limit.set(5)
    limit.clear()
    clock.pump([10])
    limit.set(5)
    clock.pump([5])
    assert expired == [15]


def test_setting_it_many_times_keeps_one_call_in_the_reactor() -> None:
    clock, _, limit = deadline()
    for _ in range(100):
        limit.set(300)
        limit.set(600)
        limit.clear()
    assert len(clock.getDelayedCalls()) == 1
    limit.cancel()
    assert clock.getDelayedCalls() == []


def test_each_step_has_the_time_that_rfc_5321_gives_it() -> None:
    times = Timeouts()
    assert {step.name: times.of(step) for step in Awaited} == {
        "GREETING": 300,
        "EHLO": 300,
        "HELO": 300,
        "LHLO": 300,
        "STARTTLS": 300,
        "AUTH": 300,
        "RSET": 300,
        "MAIL": 300,
        "RCPT": 300,
        "DATA": 120,
        "END": 600,
    }
