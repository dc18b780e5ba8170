"""When a worker that ended starts again. Pure: time is an argument."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits in seconds between the end of a worker and its next start."""

    #: After the second end in a row; the first start again is at once.
    first: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    #: Whoever lived so long has started well: its end is the first in a row.
    settled: float = 60.0


class Restarts:
    """Counts the ends of one worker."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._next = 0.0

    def wait(self, lived: float) -> float:
        """Return the seconds until the next start of a worker that ended now, after it `lived` so many."""
        pace = self._pace
        wait = 0.0 if lived >= pace.settled else self._next
        self._next = min(max(pace.first, wait * pace.factor), pace.longest)
        return wait
