"""Timers on the monotonic clock while the wall clock is set."""

import time

from twisted.internet.base import ReactorBase
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from mta.daemon.clocks import use_monotonic_timers


class _Reactor(SelectReactor):
    """One that never runs: its timers are looked at by hand."""

    def __init__(self) -> None:
        self.now = time.time()
        ReactorBase.__init__(self)

    def seconds(self) -> float:  # type: ignore[override]
        return self.now

    def installWaker(self) -> None:
        pass


class SteadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.monotonic = 1000.0
        self.patch(time, "monotonic", lambda: self.monotonic)
        self.reactor = _Reactor()
        self.fired: list[str] = []

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.reactor.runUntilCurrent()

    def test_a_clock_that_is_set_neither_stops_nor_hastens_a_timer(self) -> None:
        for jump in (-86400.0, -time.time(), 86400.0, 366 * 86400.0):
            use_monotonic_timers(self.reactor)
            self.reactor.callLater(10, self.fired.append, f"{jump}")
            self.reactor.now += jump
            self.pass_by(9.9)
            assert self.fired == []
            self.pass_by(0.2)
            assert self.fired == [f"{jump}"]
            self.fired.clear()

    def test_a_timer_that_was_set_before_keeps_its_time(self) -> None:
        call = self.reactor.callLater(10, self.fired.append, "before")
        use_monotonic_timers(self.reactor)
        call.reset(20)
        self.pass_by(19)
        assert self.fired == []
        self.pass_by(2)
        assert self.fired == ["before"]

    def test_the_reactor_sleeps_no_longer_than_its_next_timer_wants(self) -> None:
        use_monotonic_timers(self.reactor)
        self.reactor.callLater(10, self.fired.append, "")
        self.reactor.now -= 86400
        assert self.reactor.timeout() == 10
