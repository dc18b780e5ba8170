"""Signals are handled in the reactor, and none but those that stop the relay ends it."""

import signal

import pytest
from twisted.internet.testing import MemoryReactor

from mta.daemon.process_end import Signals, ignore_signals


class Reactor(MemoryReactor):
    """Keeps what is called from a thread, or from a signal handler, until `turn`."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def callFromThread(self, call, *arguments):  # noqa: N802  Twisted names it
        self.calls.append((call, arguments))

    def turn(self):
        calls, self.calls = self.calls, []
        for call, arguments in calls:
            call(*arguments)


@pytest.fixture(autouse=True)
def handlers():
    """Have the test's process react to signals as before when the test is over."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.fixture
def events():
    return []


@pytest.fixture
def reactor(events):
    reactor = Reactor()
    signals = Signals(
        reactor, stop=lambda: events.append("stop"), reload=lambda: events.append("reload"), notice=events.append
    )
    ignore_signals()
    signals.install()
    for call, arguments, keywords in reactor.whenRunningHooks:
        call(*arguments, **keywords)
    return reactor


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_a_signal_that_stops_the_relay_does_so_in_the_reactor(reactor, events, name):
    signal.raise_signal(signal.Signals[name])
    assert events == []
    reactor.turn()
    assert events == ["stop"]


def test_sighup_has_files_read_again_each_time_but_not_for_each_of_a_burst(reactor, events):
    for _ in range(3):
        signal.raise_signal(signal.SIGHUP)
    reactor.turn()
    assert events == ["reload"]
    signal.raise_signal(signal.SIGHUP)
    reactor.turn()
    assert events == ["reload"] * 2


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPOLL", "SIGPWR"])
def test_a_signal_without_effect_gives_a_notice(reactor, events, name):
    signal.raise_signal(signal.Signals[name])
    reactor.turn()
    assert events == [f"{signal.Signals[name].name} has no effect: SIGHUP reads files again, SIGTERM stops the relay"]


@pytest.mark.parametrize("number", [signal.SIGRTMIN, signal.SIGRTMIN + 5, signal.SIGRTMAX])
def test_real_time_signals_have_no_effect(reactor, events, number):
    signal.raise_signal(number)
    reactor.turn()
    (line,) = events
    assert "has no effect" in line


def test_signals_are_ignored_before_the_handlers_are_installed():
    ignore_signals()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN):
        signal.raise_signal(number)
