"""The most connections, or transactions, that one destination takes at a time, learned from its refusals.

Pure: time is an argument, wall-clock seconds.
"""

#: Seconds without a refusal after which one connection more is tried: at first, and at most.
FIRST_TRIAL, LONGEST_TRIAL = 60.0, 3600.0
#: Seconds after the last refusal at which a ceiling is forgotten.
FORGET = 4 * 3600.0


class Ceiling:
    """The bound of a window whose destination said that there were too many connections.

    It rises by one connection after a minute without a refusal, and each rise that is refused doubles the time to the
    next one, so that a limit that stands costs ever fewer refusals and one that is lifted is found.
    """

    def __init__(self) -> None:
        self._height = 0.0
        self._wait = FIRST_TRIAL
        self._refused_at = 0.0
        # When the height was last changed, and whether by a trial.
        self._changed_at = 0.0
        self._trial = False

    def refused(self, now: float, height: float) -> float:
        """Take this height, 1 or more, after a refusal beside so many connections that work; return it."""
        if self._trial:
            self._wait = min(self._wait * 2, LONGEST_TRIAL)
        self._trial = False
        self._height = max(1.0, height)
        self._refused_at = self._changed_at = now
        return self._height

    def height(self, now: float) -> float:
        """Return the most connections now."""
        # A wall clock that was set back begins the wait anew.
        self._changed_at = min(self._changed_at, now)
        if now - self._changed_at >= self._wait:
            self._height += 1.0
            self._changed_at = now
            self._trial = True
        return self._height

    def over(self, now: float) -> bool:
        """Whether the destination is taken to have no ceiling any more."""
        return now - self._refused_at >= FORGET or now < self._refused_at - FORGET
