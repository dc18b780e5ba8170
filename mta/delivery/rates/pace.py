"""The pace that one destination allows, learned from its answers. Time is an argument, in wall-clock seconds.

A destination has a pace once it has refused a message because of a rate. After a refusal the destination is probed with
single messages until it accepts one. The pace then is that of the messages accepted since the first one before the
refusal, or a little less than the pace that was refused. From there it rises: by a small part with each
message that the pace allows, and faster the longer no refusal comes. No step depends on a unit of time, so that the
rules fit 50 messages a second as well as 20 an hour, however the server counts (`bench/pacing.py` shows both).
"""

import math

#: The factor by which a refused pace is lowered.
DECREASE = 0.85
#: Seconds after the last refusal at which a pace is forgotten, at the soonest and at the latest.
FORGET, FORGET_AT_LAST = 4 * 3600.0, 24 * 3600.0
#: A pace is forgotten once this many messages could have been sent at the pace set after the last refusal.
FORGET_AFTER = 2000
#: Seconds until a quota is tried again if the server names no time.
QUOTA_WAIT = 3600.0
# Seconds after the first refusal at which the destination is probed. Servers count by the second, the minute or the
# hour, so that the steps end just behind these.
_PROBES = (
    *(0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.5, 15.0, 22.0, 31.0, 45.0, 61.0, 90.0),
    *(122.0, 183.0, 305.0, 450.0, 615.0, 910.0, 1350.0, 1830.0, 2700.0, 3650.0, 5400.0, 7300.0, 10900.0, 14600.0),
    *(21900.0, 29000.0, 43500.0, 65000.0, 87000.0),
)
# The messages between two refusals that show a nearly right pace, and the fewest that show anything.
_MANY, _SOME = 10, 3
# With fewer messages before the first refusal than this the pace doubles with each two that are accepted.
_TOO_FEW = 5
# The rise of a pace by the messages that it allowed: a linear part for each, and a cubic part beyond so many.
_LINEAR, _CUBIC = 0.0025, 200.0
# A pace that was lowered this many times in a row without effect is not the reason for the refusals.
_IN_VAIN = 8
# Seconds after which a probe without an answer counts as lost.
_PROBE_LOST = 900.0
# Messages a second. A faster pace than the fastest limits no relay.
_SLOWEST, _FASTEST = 1 / 86400.0, 10_000.0


def _bounded(rate: float) -> float:
    return min(max(rate, _SLOWEST), _FASTEST)


class Pace:
    """The rate of messages that the destination's answers allow. It exists from the first refusal on."""

    def __init__(self, now: float, started: float, accepted: int, seconds: float) -> None:
        """Begin when a transaction that `started` then was refused, after `accepted` messages in so many `seconds`."""
        self._seen = now
        # The pace after the last refusal, in messages a second, and the time of that refusal.
        self._base = _bounded(max(accepted, 1) / max(seconds, 1.0))
        self._since = now
        # The pace that was refused.
        self._peak = self._base
        # The time from which the messages are counted, and the number accepted since.
        self._counted_from = started - seconds
        self._accepted = accepted
        # Whether this is the first pace, not yet confirmed, and whether it rises fast until the next refusal.
        self._first = True
        self._searching = False
        # When the first of the refusals in a row began; None while messages are accepted.
        self._refused: float | None = None
        # How long the last such row took.
        self._last_row = 0.0
        self._probe: float | None = None
        # Transactions that begin from here on are probes.
        self._probe_from = now
        self._next = now
        self._only_quota = False
        # How often in a row the pace was lowered soon after the last time, and the pace before.
        self._in_vain = 0
        self._before = self._base

    def rate(self, now: float) -> float:
        """Return the messages a second that are allowed now."""
        if self._refused is not None:
            return self._base
        if self._searching:
            return _bounded(self._base * 2.0 ** min(self._accepted // 2, 60))
        allowed = min(self._base * max(0.0, now - self._since), 10.0 * FORGET_AFTER)
        return _bounded(self._base * (1 + _LINEAR * allowed + (allowed / _CUBIC) ** 3))

    def over(self, now: float) -> bool:
        """Whether the last refusal is so long ago that the destination is assumed to have no limit any more."""
        if self._refused is not None:
            return False
        since = now - self._since
        allowed = self._base * since
        forgotten = since >= FORGET and (allowed >= FORGET_AFTER / 5 or since >= FORGET_AT_LAST)
        return self._only_quota or forgotten or allowed >= FORGET_AFTER

    def next_start(self, now: float) -> float:
        """Return when a transaction may begin: now or before, later, or never (infinity) while a probe is out."""
        self._follow_clock(now)
        if self._probe is not None and now - self._probe < _PROBE_LOST:
            return math.inf
        return self._next

    def started(self, now: float) -> None:
        """Note that a transaction begins: now, or at the time of `next_start` if that is later."""
        self._follow_clock(now)
        if self._refused is not None:
            self._probe = max(now, self._next)
        rate = self.rate(now)
        # A start that came late because no connection was free is made up for, in small part.
        self._next = max(self._next, now - min(1.0, 2 / rate)) + 1 / rate

    def answered(self, now: float, started: float) -> None:
        """Note that a transaction that `started` then was answered, and not by a refusal because of a limit."""
        self._follow_clock(now)
        self._accepted += 1
        if self._refused is not None and self._is_probe(started):
            self._resume(now, started)

    def refused(self, now: float, started: float, wait: float | None = None, *, quota: bool = False) -> None:
        """Note a refusal because of a limit; `wait` is how long the server wants to be left alone, if it says so.

        The refusal of a transaction that began before the pace was last changed brings no news. The refusal for a used
        up `quota` does not tell of a pace.
        """
        self._follow_clock(now)
        if self._refused is None:
            if started < self._since and not self._first:
                return
            self._peak = self._base = self.rate(now)
            self._refused = started
            self._next = max(now, started + self._first_pause())
            if wait is not None and (self._first or quota or self._accepted < _MANY):
                self._next = max(self._next, now + wait)
            self._only_quota = quota and self._first
        elif self._is_probe(started):
            self._next = max(now + (wait or 0.0), self._refused + self._next_probe(started - self._refused))
        else:
            return
        if quota:
            self._next = max(self._next, now + (wait or QUOTA_WAIT))
        self._since = now
        self._probe, self._probe_from = None, self._next

    def unused(self, at: float) -> None:
        """Take back the time of a transaction that was `started` for then, and will not begin."""
        if self._probe == at:
            self._probe = None
        if self._next - 1.001 / self._base <= at:
            self._next = min(self._next, at)
            if self._refused is not None:
                self._next = max(self._next, self._probe_from)

    def ended(self, now: float, started: float) -> None:
        """Note that a transaction ended without an answer, so that a probe has to be repeated."""
        self._follow_clock(now)
        if self._refused is not None and self._is_probe(started):
            self._probe = None
            self._probe_from = self._next = max(now + 1.0, self._refused + self._next_probe(now - self._refused))

    def try_now(self) -> None:
        """Let the next transaction begin at once, because an operator wants it."""
        self._probe_from = self._next = self._seen

    def starts_at(self, now: float, place: int) -> float:
        """Return the approximate time at which a message begins that has so many others before it."""
        self._follow_clock(now)
        return max(now, self._next) + place / self.rate(now)

    def _is_probe(self, started: float) -> bool:
        return started >= self._probe_from - 0.001

    def _resume(self, now: float, started: float) -> None:
        """Set the pace anew after the refusals in a row, by the messages that were accepted before."""
        assert self._refused is not None, "a probe is sent after a refusal"
        # If no other message is known, the probe itself counts.
        accepted = max(self._accepted - 1, 1)
        seen = accepted / max(started - self._counted_from, 0.001)
        if self._first:
            rate = min(seen, self._peak)
        elif self._searching:
            rate = 0.6 * self._peak
        elif accepted >= _MANY:
            rate = DECREASE * self._peak
        else:
            rate = min(max(seen, 0.7 * self._peak), DECREASE * self._peak)
            rate = self._unless_in_vain(rate, seen)
        if accepted >= _MANY:
            self._in_vain = 0
        self._searching = self._first and accepted < _TOO_FEW
        self._base = _bounded(rate)
        self._first = False
        self._last_row = started - self._refused
        self._counted_from, self._accepted = started, 1
        self._refused = self._probe = None
        self._since = now
        self._next = max(now, started + 1 / self._base)

    def _unless_in_vain(self, rate: float, seen: float) -> float:
        """Return the slower rate, or a faster one if slower rates did not make the refusals rarer."""
        if seen < 0.2 * self._peak:
            # The pace is far too high, and the refusals took most of the time.
            self._in_vain = 0
            return rate
        if not self._in_vain:
            self._before = self._peak
        self._in_vain += 1
        if self._in_vain < _IN_VAIN:
            return rate
        self._in_vain = 0
        return 2 * self._before

    def _first_pause(self) -> float:
        """Return the seconds from the start of a refused transaction to the first probe."""
        interval = 1 / self._base
        if self._first:
            return 1.0
        if self._accepted >= _MANY:
            return max(interval, min(self._last_row / 2, 4 * interval))
        return 2 * interval if self._accepted >= _SOME else max(1.0, interval)

    def _next_probe(self, elapsed: float) -> float:
        """Return when to probe next, in seconds since the first of the refusals in a row."""
        least = max(1.02 * elapsed, elapsed + 0.5 * min(1 / self._base, elapsed))
        return next((step for step in _PROBES if step > least), elapsed + _PROBES[-1])

    def _follow_clock(self, now: float) -> None:
        """Move all times back with the wall clock if it was set back."""
        if now < self._seen - 1.0:
            back = now - self._seen
            self._since += back
            self._counted_from += back
            self._probe_from += back
            self._next += back
            self._refused = None if self._refused is None else self._refused + back
            self._probe = None if self._probe is None else self._probe + back
        self._seen = now
