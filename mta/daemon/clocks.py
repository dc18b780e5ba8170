"""The two clocks of the relay: timers go by the monotonic clock, due times and ages of mail by the wall clock.

Twisted's timers go by the wall clock. If that were set back, all timers would stop for the same span; if it were set
forward, all would end at once, so that deadlines were not kept or every session was cut short.
"""

import time
from collections.abc import Callable
from typing import Any

from mta.event_log.log import EventLog

#: Seconds between two looks.
ROUND = 5.0
# Seconds in one round that no drift explains, nor a busy machine.
_LEAST = 2.0


class ClockWatch:
    """Compares the wall clock with a steady one; `look` is to be called again and again.

    `make_all_due` is called when the clock was set back, because a message due in an hour would otherwise wait a day
    more if the clock went back by a day. `wake` is called when it was set forward, to look for messages that became
    due; their age grows with the clock, but each is tried once more before it is given up.
    """

    def __init__(
        self,
        *,
        wall_clock: Callable[[], float],
        steady: Callable[[], float],
        make_all_due: Callable[[], object],
        wake: Callable[[], object],
        event_log: EventLog,
    ) -> None:
        self._wall_clock = wall_clock
        self._steady = steady
        self._make_all_due = make_all_due
        self._wake = wake
        self._event_log = event_log
        self._ahead = wall_clock() - steady()

    def look(self) -> None:
        """Act if the clock was set since the last look."""
        before, self._ahead = self._ahead, self._wall_clock() - self._steady()
        moved = self._ahead - before
        if moved <= -_LEAST:
            self._event_log.notice(f"the clock was set back by {-moved:.0f} s: all mail that waits is tried now")
            self._make_all_due()
        elif moved >= _LEAST:
            self._event_log.notice(f"the clock went forward by {moved:.0f} s: it was set, or this host slept")
            self._wake()


def use_monotonic_timers(reactor: Any) -> None:
    """Have all timers of a reactor that has not begun to run go by the monotonic clock, those set already included."""
    difference = time.monotonic() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        call.time += difference
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic
