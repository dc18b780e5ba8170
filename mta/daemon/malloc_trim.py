"""Gives memory that nobody uses back to the system.

What was freed lies between what is still in use, and glibc's malloc keeps all of it: after each peak of work more of
the heap stays resident, most of it empty. After five minutes of load it had 71 MiB, 56 of them free.
"""

import ctypes
import time
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

#: Seconds between two rounds while there is work.
ROUND = 10.0
#: Seconds between two rounds without, so that an idle relay is not woken for nothing.
QUIET_ROUND = 60.0
# CPU seconds between two rounds that count as work.
_WORK = 0.5


def _find_trim() -> Callable[[int], object] | None:
    # musl's and other systems' malloc have none, and give back by themselves.
    found: Callable[[int], object] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


_TRIM = _find_trim()


class Heap:
    """The heap of this process. `trim` is malloc_trim(3), None where there is none; `spent` tells CPU seconds."""

    def __init__(
        self, trim: Callable[[int], object] | None = _TRIM, spent: Callable[[], float] = time.process_time
    ) -> None:
        self._trim = trim
        self._spent = spent
        self._before = spent()

    def give_back(self) -> "Deferred[float | None]":
        """Give back what is free, which takes a millisecond. The result is the seconds until the next round."""
        if self._trim is not None:
            self._trim(0)
        before, self._before = self._before, self._spent()
        return succeed(ROUND if self._before - before >= _WORK else QUIET_ROUND)
