"""How many connections one destination may have now, and when a dead one is asked again. Pure: time is an argument."""

from dataclasses import dataclass


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


class Window:
    """The concurrency and the penalty of one destination.

    It starts small, grows by one connection for each windowful of successes, and halves with each failure that leaves
    other connections working. A failure that leaves none means the destination is dead: nothing is opened until the
    penalty ends, then one connection alone probes. A probe that succeeds opens the window at its start; one that fails
    doubles the penalty. So a dead destination costs one attempt a step, whatever waits for it.
    """

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

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened.

        `open_connections` includes those still being opened; `waiting` counts the parcels that none of them will take.
        """
        return waiting > 0 and open_connections < int(self._size) and self.blocked(now) is None

    def succeeded(self, now: float) -> None:
        """Note that the destination answered a transaction, if only to refuse it for good.

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

    def failed(self, now: float, others: int = 0) -> None:
        """Note that a connection could not be opened, was lost, or was told to try later as a whole (421, 4yz).

        `others` counts the connections to the destination that are still open or being opened.
        """
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
        """Let the next probe go at once, because an operator asked; the window opens when it succeeds."""
        if self._blocked_until is not None:
            self._blocked_until = 0.0
