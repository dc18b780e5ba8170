"""Rates such as 30 messages a minute: their text, and windows that count mail that was sent or accepted.

Rules limit by a rate how much is accepted and how fast it is sent. In no span of a rate's length, wherever it begins,
may there be more messages or recipients than the rate says: a window slides, so that 30 messages at the end of one
minute leave no room at the beginning of the next. Time is an argument, in seconds of one clock.
"""

import enum
import math
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

#: The largest number in a rate, and the longest span in seconds.
MAX_COUNT, MAX_SECONDS = 1_000_000, 31 * 86400
#: The entries that a window keeps if it is not told otherwise. A rate of a larger number is counted in steps.
MOST_ENTRIES = 500
# A clock that goes back by less than this, in seconds, is taken to stand still until it has caught up.
_SET_BACK = 1.0
_SPANS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(
    r"(?P<count>[0-9]{1,9}) *(?P<unit>[a-z]*) */ *(?P<number>[0-9]{1,9})? *(?P<span>[a-z]+)", re.IGNORECASE
)
_FORM = "a rate is a number of messages or recipients in a time: 30 messages/minute, 1 message / 5 seconds"


class RateUnit(enum.Enum):
    """The things that a rate counts."""

    MESSAGES = "messages"
    RECIPIENTS = "recipients"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` messages or recipients in any span of `seconds`."""

    count: int
    seconds: int
    unit: RateUnit = RateUnit.MESSAGES

    def __str__(self) -> str:
        """Return the rate as `read_rate` reads it: `30 messages/minute`, `1 message / 5 seconds`."""
        unit = self.unit.value if self.count > 1 else self.unit.value.removesuffix("s")
        span, length = next(item for item in reversed(_SPANS.items()) if self.seconds % item[1] == 0)
        if self.seconds == length:
            return f"{self.count} {unit}/{span}"
        return f"{self.count} {unit} / {self.seconds // length} {span}s"


def read_rate(text: str) -> Rate:
    """Read a rate such as `30 messages/minute` or `2000 recipients / 2 days`.

    Raises ValueError with words for its author.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(_FORM)
    count, number = int(match["count"]), int(match["number"] or 1)
    unit, span = (match[part].lower().removesuffix("s") for part in ("unit", "span"))
    units = {kind.value.removesuffix("s"): kind for kind in RateUnit}
    if unit not in units:
        raise ValueError(f"{_FORM}; {match['unit'] or 'a number alone'} is neither")
    if span not in _SPANS:
        raise ValueError(f"{match['span']} is no unit of time; a rate has second, minute, hour or day")
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"the number of a rate is 1 to {MAX_COUNT}")
    if not 1 <= number * _SPANS[span] <= MAX_SECONDS:
        raise ValueError(f"the time of a rate is 1 second to {MAX_SECONDS // 86400} days")
    return Rate(count, number * _SPANS[span], units[unit])


class RateWindow:
    """Counts mail that was sent or accepted in the last `rate.seconds`, and tells when there is room for more.

    `now` is in seconds of a clock that goes on by itself; it must not come from another process. If that clock was set
    back, all that was counted keeps its age, so that the rate holds in real time. A clock that is set forward ends the
    span early.

    The memory is bounded: if the number of the rate is larger than `most_entries`, mail counted within a part of
    the span is forgotten together with the last of it, so that the window is never too generous, and at most
    `rate.seconds / most_entries` too strict.
    """

    __slots__ = ("_entries", "_first", "_seen", "_step", "_total", "rate")

    def __init__(self, rate: Rate, most_entries: int = MOST_ENTRIES) -> None:
        self.rate = rate
        self._step = rate.seconds / most_entries if rate.count > most_entries else 0.0
        # The times of the last thing in each entry, with the number of things.
        self._entries: deque[tuple[float, int]] = deque()
        # The time of the first thing in the last entry.
        self._first = -math.inf
        self._seen = -math.inf
        self._total = 0

    def room(self, now: float) -> int:
        """Return how many things may be counted now, at least 0."""
        self._expire(self._follow_clock(now))
        return max(0, self.rate.count - self._total)

    def next_start(self, now: float, number: int = 1) -> float:
        """Return the earliest time at which so many things may be counted together: `now`, or later.

        `number` is 1 to `rate.count`. As long as nothing is counted, there is room at any later time too.
        """
        if number <= self.room(now):
            return now
        excess = self._total + number - self.rate.count
        for at, counted in self._entries:
            excess -= counted
            if excess <= 0:
                return at + self.rate.seconds
        raise ValueError(f"{number} at once are never within {self.rate}")

    def count(self, now: float, number: int = 1) -> None:
        """Count things that are sent or accepted now, whether there is room for them or not."""
        time = self._follow_clock(now)
        self._expire(time)
        self._add(time, number)

    def dump(self) -> list[tuple[float, int]]:
        """Return the state as plain values: times by the clock of `now`, each with a number of things, oldest first."""
        return list(self._entries)

    def load(self, state: Iterable[tuple[float, int]], now: float) -> None:
        """Take over a state that `dump` returned, in place of the counts so far.

        A state by another clock must be converted. If its last time lies after `now`, the clock was set back, and all
        times are taken to be earlier by that span. Things that are older than the rate's time do no harm.
        """
        self._entries.clear()
        self._total, self._first, self._seen = 0, -math.inf, -math.inf
        entries = sorted(state)
        ahead = max(0.0, entries[-1][0] - now) if entries else 0.0
        for at, number in entries:
            self._add(at - ahead, number)
        self._seen = now

    @property
    def entries(self) -> int:
        """The number of entries in memory."""
        return len(self._entries)

    def _add(self, time: float, number: int) -> None:
        self._total += number
        if self._entries and (time - self._first < self._step or time <= self._entries[-1][0]):
            number += self._entries.pop()[1]
        else:
            self._first = time
        self._entries.append((time, number))

    def _expire(self, time: float) -> None:
        entries, seconds = self._entries, self.rate.seconds
        while entries and entries[0][0] + seconds <= time:
            self._total -= entries.popleft()[1]

    def _follow_clock(self, now: float) -> float:
        """Return the time by which things are counted, which never goes back beside the things counted before."""
        seen = self._seen
        if now >= seen:
            self._seen = now
            return now
        if seen - now < _SET_BACK:
            return seen
        back = seen - now
        self._entries = deque((at - back, number) for at, number in self._entries)
        self._first -= back
        self._seen = now
        return now
