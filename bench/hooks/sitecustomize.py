"""A relay that hurries, for measurements of time-outs and long limits. Python imports this from its folder on the path.

BENCH_TIMEOUT sets all time-outs of outgoing sessions, in seconds. BENCH_SPEED makes the relay's clocks run that many
times faster than the true ones; its timers fire by them. BENCH_VALGRIND lets the relay run under valgrind, which keeps
a signal to itself.
"""

import os
import time

if os.environ.get("BENCH_VALGRIND"):
    import signal
    import sys
    from contextlib import suppress
    from typing import Any

    _signal = signal.signal

    def _signal_if_free(number: int, handler: Any) -> Any:
        with suppress(OSError):
            return _signal(number, handler)

    signal.signal = _signal_if_free  # type: ignore[assignment]
    # Threads take turns after as many instructions as without valgrind, which makes them some fifty times slower.
    sys.setswitchinterval(50 * sys.getswitchinterval())

if os.environ.get("BENCH_TIMEOUT"):
    from mta.delivery.remote.timeouts import Timeouts

    _seconds = float(os.environ["BENCH_TIMEOUT"])
    _initial = Timeouts.__init__
    _initial.__defaults__ = tuple(_seconds for _ in _initial.__defaults__ or ())

if os.environ.get("BENCH_SPEED"):
    from twisted.internet import base

    _speed = float(os.environ["BENCH_SPEED"])
    _true_time, _true_monotonic = time.time, time.monotonic
    _begun, _begun_monotonic = _true_time(), _true_monotonic()

    def _fast_time() -> float:
        return _begun + (_true_time() - _begun) * _speed

    def _fast_monotonic() -> float:
        return _begun_monotonic + (_true_monotonic() - _begun_monotonic) * _speed

    time.time, time.monotonic = _fast_time, _fast_monotonic
    _true_timeout = base.ReactorBase.timeout

    def _short_timeout(self: base.ReactorBase) -> float | None:
        """Return the true seconds until the next timer is due."""
        seconds = _true_timeout(self)
        return seconds and seconds / _speed

    base.ReactorBase.timeout = _short_timeout  # type: ignore[method-assign]
