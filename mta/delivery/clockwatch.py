"""What to do when the wall clock is set while mail waits: due times are by the wall clock, and it is not ours."""

from collections.abc import Callable

from mta.ops.journal import Journal

#: Seconds between two looks.
ROUND = 5.0
# Seconds in one round that no drift explains, nor a busy machine.
_LEAST = 2.0


class ClockWatch:
    """Compares the wall clock with a steady one; `look` is to be called again and again.

    `hasten` is to make all that waits due now: what was to be tried in an hour would wait a day more where the clock
    was set back by a day. `wake` is to look for what became due. A clock set forward needs no more than that: the
    age of what waits grows with it, but nothing is given up before it was tried once more.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float],
        steady: Callable[[], float],
        hasten: Callable[[], object],
        wake: Callable[[], object],
        journal: Journal,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._hasten = hasten
        self._wake = wake
        self._journal = journal
        self._ahead = wall() - steady()

    def look(self) -> None:
        """Act if the clock was set since the last look."""
        before, self._ahead = self._ahead, self._wall() - self._steady()
        moved = self._ahead - before
        if moved <= -_LEAST:
            self._journal.notice(f"the clock was set back by {-moved:.0f} s: all mail that waits is tried now")
            self._hasten()
        elif moved >= _LEAST:
            self._journal.notice(f"the clock went forward by {moved:.0f} s: it was set, or this host slept")
            self._wake()
