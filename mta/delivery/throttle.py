"""How many connections one destination may have now, and when a dead one is asked again. Pure: time is an argument."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mta.delivery.backoff import RetrySchedule
from mta.message.outcome import TryLater


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """The bounds of a window: connections, and seconds of penalty."""

    #: Connections to a destination that has not answered yet.
    start: int = 5
    #: Connections to one that answers well. Large hosts refuse more than 20 to 50 from one address.
    most: int = 20
    #: The wait after a destination was found dead; it doubles with each probe that fails.
    first_penalty: float = 30.0
    #: No wait is longer: a host that comes back is found within a quarter of an hour.
    longest_penalty: float = 900.0

    def __post_init__(self) -> None:
        """Refuse bounds that would let nothing through. Raises ValueError."""
        if not 1 <= self.start <= self.most:
            raise ValueError("a window must start at 1 connection or more, and not above its most")
        if not 0 < self.first_penalty <= self.longest_penalty:
            raise ValueError("the first penalty must be above 0 seconds, and not above the longest")


def window_limits(schedule: RetrySchedule) -> WindowLimits:
    """Return window limits whose penalties are no longer than the waits of the schedule."""
    standard = WindowLimits()
    longest = min(standard.longest_penalty, max(rule.interval for rule in schedule.rules))
    return WindowLimits(first_penalty=min(standard.first_penalty, schedule.rules[0].interval), longest_penalty=longest)


class Allowance(Protocol):
    """What a destination is allowed: by its own Window, or by the one that all workers of a relay share.

    Times are wall-clock seconds.
    """

    @property
    def asked(self) -> bool:
        """Whether leave for a connection was asked for and the answer is on its way."""

    @property
    def trouble(self) -> TryLater | None:
        """What another worker saw of a destination that is down."""

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened.

        `open_connections` includes those still being opened; `waiting` counts the parcels that none of them will take.
        """

    def holds(self, open_connections: int) -> None:
        """Learn how many connections there are, those being opened included, so that others can have the rest."""

    def gives_up(self, used: int) -> bool:
        """Whether a connection that has carried `used` parcels is to be ended now, because another worker needs it."""

    def succeeded(self, now: float) -> None:
        """Note that the destination answered a transaction, if only to refuse it for good."""

    def failed(self, now: float, others: int, trouble: TryLater) -> None:
        """Note that a connection could not be opened, was lost, or was told to try later as a whole (421, 4yz).

        `others` counts the connections that are still open or being opened.
        """

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""

    def unblock(self) -> None:
        """Let the next probe go at once, because an operator asked."""


#: Makes the Allowance of a destination, by name; the callable is called when what is allowed has changed by itself.
NewAllowance = Callable[[str, Callable[[], object]], Allowance]


class Window:
    """The concurrency and the penalty of one destination: the Allowance of a relay that is one process.

    It starts small, grows by one connection for each windowful of successes, and halves with each failure that leaves
    other connections working. A failure that leaves none means the destination is dead: nothing is opened until the
    penalty ends, then one connection alone probes. A probe that succeeds opens the window at its start; one that fails
    doubles the penalty. So a dead destination costs one attempt a step, whatever waits for it.
    """

    #: Leave is given at once, and nobody else sees or needs anything.
    asked = False
    trouble = None

    def __init__(self, limits: WindowLimits) -> None:
        self._limits = limits
        self._size = float(limits.start)
        self._penalty = 0.0
        self._blocked_until: float | None = None

    @property
    def size(self) -> int:
        """How many connections are allowed while nothing is wrong; 1 while the destination is being probed."""
        return int(self._size)

    @property
    def forgettable(self) -> bool:
        """Whether a new window would serve as well: nothing is held against the destination."""
        return self._blocked_until is None and self._size >= self._limits.start

    @property
    def down(self) -> bool:
        """Whether it was found dead and has not answered since."""
        return self._blocked_until is not None

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened."""
        return waiting > 0 and open_connections < int(self._size) and self.blocked(now) is None

    def succeeded(self, now: float) -> None:
        """Note that the destination answered a transaction.

        The answer of a connection older than the penalty does not end it: what was asked of the host after it failed
        has not been answered yet.
        """
        if self.blocked(now) is not None:
            return
        if self._blocked_until is not None:
            self._blocked_until = None
            self._penalty = 0.0
            self._size = float(self._limits.start)
        self._size = min(self._size + 1 / self._size, float(self._limits.most))

    def holds(self, open_connections: int) -> None:
        """Need not know."""

    def gives_up(self, used: int) -> bool:  # noqa: ARG002
        """Give nothing up: nobody else is there."""
        return False

    def failed(self, now: float, others: int = 0, trouble: TryLater | None = None) -> None:  # noqa: ARG002
        """Note a failure; one that leaves no connection makes the destination a dead one."""
        if self.blocked(now) is not None:
            return
        if others > 0:
            self._size = max(1.0, min(self._size, others + 1.0) / 2)
            return
        limits = self._limits
        self._penalty = min(max(self._penalty * 2, limits.first_penalty), limits.longest_penalty)
        self._blocked_until = now + self._penalty
        self._size = 1.0

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""
        until = self._blocked_until
        # A wall clock that was set back must not turn a penalty into days.
        if until is None or now >= until or until - now > self._limits.longest_penalty:
            return None
        return until

    def unblock(self) -> None:
        """Let the next probe go at once; the window opens when it succeeds."""
        if self._blocked_until is not None:
            self._blocked_until = 0.0


def own_windows(limits: WindowLimits) -> NewAllowance:
    """Return what makes a Window for each destination."""
    return lambda _name, _changed: Window(limits)
