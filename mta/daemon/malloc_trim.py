"""Returns freed memory to the system by malloc_trim(3).

Freed blocks lie between blocks still in use, and glibc's malloc keeps them: after each peak of load more of the heap
stays resident, although most of it is free (measured after five minutes of load: 71 MiB, of which 56 MiB were free).
"""

import ctypes
import time
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

#: Seconds between two trims under load.
BUSY_INTERVAL = 10.0
#: Seconds between two trims without load, so that an idle relay is rarely woken.
IDLE_INTERVAL = 60.0
# CPU seconds between two trims from which the relay counts as loaded.
_WORK = 0.5


def _find_trim() -> Callable[[int], object] | None:
    # musl and other systems do not have it; their malloc returns memory by itself.
    found: Callable[[int], object] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


_TRIM = _find_trim()


class HeapTrimmer:
    """Trims the heap of this process. `trim` is malloc_trim(3), or None; `spent` returns the CPU seconds used."""

    def __init__(
        self, trim: Callable[[int], object] | None = _TRIM, spent: Callable[[], float] = time.process_time
    ) -> None:
        self._trim = trim
        self._spent = spent
        self._before = spent()

    def trim(self) -> "Deferred[float | None]":
        """Return free memory, which takes a millisecond. The result is the seconds until the next trim."""
        if self._trim is not None:
            self._trim(0)
        before, self._before = self._before, self._spent()
        return succeed(BUSY_INTERVAL if self._before - before >= _WORK else IDLE_INTERVAL)
