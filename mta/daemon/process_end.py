"""How a process of the relay is stopped and ends: its signals, and its last lines and exit status.

SIGTERM and its like stop the relay, SIGHUP reloads files, others do nothing. Without a handler most signals would end
Python at once, without a log line and without the grace period of running deliveries.
"""

import atexit
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from mta.event_log.output import write_out

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
# The real-time signals follow; SIGPIPE and SIGXFSZ are ignored by Python, SIGCHLD is Twisted's.
_HARMLESS = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGPOLL,
    signal.SIGPWR,
)
# Seconds to wait for a reader of standard error that has stopped reading.
_PATIENCE = 1.0


def ignore_signals() -> None:
    """Ignore the signals that do not stop the relay until `Signals` handles them."""
    for number in (signal.SIGHUP, *_harmless()):
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """Handles each signal in the reactor thread. A signal that is repeated before it is handled counts once."""

    def __init__(
        self,
        reactor: Any,
        *,
        stop: Callable[[], object],
        reload: Callable[[], object],
        notice: Callable[[str], object],
    ) -> None:
        """`notice` takes a line for the operator about a signal that has no effect."""
        self._reactor = reactor
        self._stop = stop
        self._reload = reload
        self._notice = notice
        self._pending: set[int] = set()

    def install(self) -> None:
        """Install handlers for SIGHUP and the harmless signals now, and for all signals when the reactor runs."""
        for number in (signal.SIGHUP, *_harmless()):
            signal.signal(number, self._arrived)
        # The reactor installs its own handlers for these when it begins to run, and would end the process by the
        # signal, which looks like a crash.
        for number in _STOP:
            self._reactor.callWhenRunning(signal.signal, number, self._arrived)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if number not in self._pending:
            self._pending.add(number)
            self._reactor.callFromThread(self._handle, number)

    def _handle(self, number: int) -> None:
        self._pending.discard(number)
        if number in _STOP:
            self._stop()
        elif number == signal.SIGHUP:
            self._reload()
        else:
            self._notice(f"{_name(number)} has no effect: SIGHUP reads files again, SIGTERM stops the relay")


def _harmless() -> Iterator[int]:
    yield from _HARMLESS
    # The C library keeps some real-time signals for itself.
    yield from (number for number in range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if number in signal.valid_signals())


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def fail(*lines: str, status: int = 1) -> NoReturn:
    """End the process before the reactor runs. Each line says what the operator must do."""
    write_stderr("".join(f"smtprelay: {line}\n" for line in lines).encode())
    raise SystemExit(status)


def write_stderr(lines: bytes) -> None:
    """Write whole lines to standard error, before logging begins or where the log would hide them."""
    write_out(2, lines, _PATIENCE)


def exit_with(status: int) -> None:
    """Set the exit status for the end of the process, because twistd itself always exits with 0."""
    atexit.register(os._exit, status)
