"""When to try a message again and when to give it up: Exim's retry rules as values, with time as an argument."""

import enum
import itertools
from dataclasses import dataclass

#: The longest wait in seconds, also by a growing step. Exim's retry_interval_max has the same bound.
MAX_INTERVAL = 86400.0
#: The age in seconds at which the sender of a message that waits is told, unless a rule says otherwise.
WARN_AFTER = 86400.0
# After an outage of the relay a message may be past its schedule before it was tried. One refusal is then not enough to
# give up, because a greylisting host refuses every first attempt.
_LEAST_ATTEMPTS = 2


class Shape(enum.Enum):
    """How the waits of a step change. The values are Exim's letters."""

    FIXED = "F"
    GROWING = "G"


@dataclass(frozen=True, slots=True)
class RetryStep:
    """One step: until the message is `until` seconds old, wait `interval` seconds, growing by `factor` if GROWING."""

    shape: Shape
    until: float
    interval: float
    factor: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError for a step that would never end or never wait."""
        if self.until <= 0:
            raise ValueError("a step of a retry schedule must last longer than 0 seconds")
        if self.interval <= 0:
            raise ValueError("a step of a retry schedule must wait longer than 0 seconds between attempts")
        if self.factor < 1 or (self.shape is Shape.FIXED and self.factor != 1):
            raise ValueError("the factor of a retry schedule must be 1 or more, and with F 1")

    def wait(self, since: float, age: float) -> float:
        """Return the seconds from an attempt at this age to the next, for a step that took over at age `since`.

        A growing step needs no record of earlier waits. After n waits of i, i*f, i*f*f... the age has grown by
        i*(f**n - 1)/(f - 1), so the next wait, i*f**n, is i plus that growth times (f - 1). The formula holds between
        those points too, so an attempt that came late shifts the series and does not break it.
        """
        return min(self.interval + max(0.0, age - since) * (self.factor - 1), MAX_INTERVAL)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Steps in their order. The first one with an `until` above the age of the message applies."""

    steps: tuple[RetryStep, ...]

    def __post_init__(self) -> None:
        """Raise ValueError if there is no step, or if a step could never apply."""
        if not self.steps:
            raise ValueError("a retry schedule needs at least one step, F,4d,1h")
        if any(later.until <= step.until for step, later in itertools.pairwise(self.steps)):
            raise ValueError("each step of a retry schedule must end later than the one before it")

    def next_due(self, created: float, attempts: int, now: float) -> float | None:
        """Return when to try again after an attempt that ended now; None means give up.

        `attempts` includes the one that ended now. The last attempt is the first one at or after the end of the last
        step, so that a schedule ends with an attempt and not with a wait.
        """
        age = max(0.0, now - created)
        since = 0.0
        for step in self.steps:
            if age < step.until:
                return now + step.wait(since, age)
            since = step.until
        return now + self.steps[0].wait(0.0, 0.0) if attempts < _LEAST_ATTEMPTS else None

    def ends(self, created: float) -> float:
        """Return the time from which on a failed attempt is the last one."""
        return created + self.steps[-1].until


@dataclass(frozen=True, slots=True)
class RetryTerms:
    """The terms for one recipient after an attempt that failed for now."""

    schedule: RetrySchedule
    #: The age of the message in seconds at which its sender is told, once, that it is late; None means never.
    warn_after: float | None = WARN_AFTER
