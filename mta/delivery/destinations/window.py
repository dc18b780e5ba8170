"""How many connections one destination may have, at which pace it gets messages, and when a dead one is asked again.

Pure: time is an argument.

The most connections, or transactions, that one destination takes at a time, learned from its refusals.

Pure: time is an argument, wall-clock seconds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mta.delivery.destinations.pace import Pace
from mta.delivery.replies.throttle_table import LimitKind
from mta.delivery.retry import RetrySchedule
from mta.message.outcome import TryLater

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


@dataclass(frozen=True, slots=True)
class LimitRefusal:
    """A refusal because of a limit. Times are wall-clock seconds."""

    kind: LimitKind
    #: Seconds to wait, if the server or its documentation names them.
    wait: float | None
    #: When the transaction, or the opening of the connection, began.
    began: float
    #: How many other transactions were under way, or connections were there for a refused connection.
    others: int
    #: How many connections there are beside the one that was refused, or that the refused transaction had.
    left: int
    #: How many messages the connections of this moment had carried before, in how many seconds.
    accepted: int
    seconds: float


class SendWindow(Protocol):
    """The connections and the pace that a destination has: by its Window, or by the one that all workers share.

    Times are wall-clock seconds.
    """

    @property
    def request_pending(self) -> bool:
        """Whether leave for a connection was asked for and the answer is on its way."""

    @property
    def trouble(self) -> TryLater | None:
        """What another worker saw of a destination that is down."""

    @property
    def paced(self) -> bool:
        """Whether transactions begin by a pace: when `next_start` says so, and `started` is to be called."""

    @property
    def limited(self) -> bool:
        """Whether connections were refused because there were too many: `excess` then tells which are to be ended."""

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened.

        `open_connections` includes those still being opened; `waiting` counts the parcels that none of them will take.
        """

    def set_open(self, open_connections: int) -> None:
        """Learn how many connections there are, those being opened included, so that others can have the rest."""

    def should_release(self, used: int) -> bool:
        """Whether a connection that has carried `used` parcels is to be ended now, because another worker needs it."""

    def succeeded(self, now: float, began: float = 0.0) -> None:
        """Note that the destination answered a transaction, if only to refuse it for good; `began`: when, if paced."""

    def refused(self, now: float, refusal: LimitRefusal) -> None:
        """Note a refusal because of a limit."""

    def ended(self, now: float, began: float) -> None:
        """Note that a transaction by the pace, or the opening of a connection for it, ended without an answer."""

    def next_start(self, now: float) -> float:
        """Return when the next transaction may begin: now or before, later, or (infinity) after some change."""

    def starts_at(self, now: float, place: int) -> float:
        """Return when about a message will be begun that has so many others before it."""

    def rate(self, now: float) -> float:
        """Return the messages a second that the pace allows now."""

    def started(self, now: float) -> None:
        """Note that a transaction begins, by the pace: now, or at the time of `next_start` if that is later."""

    def needs_no_start(self) -> None:
        """Learn that no transaction waits for the time that `next_start` gave."""

    def excess(self, open_connections: int) -> bool:
        """Whether there are too many connections, those that idle included."""

    def failed(self, now: float, others: int, trouble: TryLater) -> None:
        """Note that a connection could not be opened, was lost, or was told to try later as a whole (421, 4yz).

        `others` counts the connections that are still open or being opened.
        """

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""

    def unblock(self) -> None:
        """Let the next probe go at once, because an operator asked."""


#: Makes the Allowance of a destination, by name; the callable is called when what is allowed has changed by itself.
NewWindow = Callable[[str, Callable[[], object]], SendWindow]


class ConcurrencyWindow:
    """The concurrency, the pace and the penalty of one destination: the Allowance of a relay that is one process.

    The concurrency starts small, grows by one connection for each windowful of successes, and halves with each failure
    that leaves other connections working. A failure that leaves none means the destination is dead: nothing is opened
    until the penalty ends, then one connection alone probes. A probe that succeeds opens the window at its start; one
    that fails doubles the penalty. So a dead destination costs one attempt a step, however much mail waits for it.

    A destination that refuses a number of connections has a ceiling, and one that refuses a rate has a pace, until they
    are forgotten.
    """

    #: Leave is given at once, and no other process shares the destination.
    request_pending = False
    trouble = None

    def __init__(self, limits: WindowLimits) -> None:
        self._limits = limits
        self._size = float(limits.start)
        self._penalty = 0.0
        self._blocked_until: float | None = None
        self._ceiling: Ceiling | None = None
        self._pace: Pace | None = None
        self.paced = False
        self.limited = False

    @property
    def size(self) -> int:
        """How many connections are allowed while nothing is wrong; 1 while the destination is being probed."""
        return int(self._size)

    @property
    def is_default(self) -> bool:
        """Whether a new window would serve as well: nothing is held against the destination."""
        return self._blocked_until is None and self._size >= self._limits.start and not (self.paced or self.limited)

    @property
    def down(self) -> bool:
        """Whether it was found dead and has not answered since."""
        return self._blocked_until is not None

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened."""
        return waiting > 0 and open_connections < int(self._size) and self.blocked(now) is None

    def succeeded(self, now: float, began: float = 0.0) -> None:
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
        if self._ceiling is not None:
            self._size = min(self._size, self._ceiling.height(now))
            if self._ceiling.over(now):
                self._ceiling, self.limited = None, False
        if self._pace is not None:
            self._pace.answered(now, began)
            if self._pace.over(now):
                self._pace, self.paced = None, False

    def refused(self, now: float, refusal: LimitRefusal) -> None:
        """Note a refusal because of a limit; one of connections is a matter of time where there is no other."""
        if refusal.kind is LimitKind.CONNECTIONS and refusal.others > 0:
            if self._ceiling is None:
                self._ceiling, self.limited = Ceiling(), True
            self._size = self._ceiling.refused(now, min(self._size, float(refusal.others)))
            if self._pace is not None:
                self._pace.ended(now, refusal.began)
            return
        if self._pace is None:
            self._pace = Pace(now, refusal.began, refusal.accepted, refusal.seconds)
            self.paced = True
        self._pace.refused(now, refusal.began, refusal.wait, quota=refusal.kind is LimitKind.QUOTA)

    def ended(self, now: float, began: float) -> None:
        """Note that a transaction by the pace, or the opening of a connection for it, ended without an answer."""
        if self._pace is not None:
            self._pace.ended(now, began)

    def next_start(self, now: float) -> float:
        """Return when the next transaction may begin."""
        return now if self._pace is None else self._pace.next_start(now)

    def starts_at(self, now: float, place: int) -> float:
        """Return when about a message will be begun that has so many others before it."""
        return now if self._pace is None else self._pace.starts_at(now, place)

    def rate(self, now: float) -> float:
        """Return the messages a second that the pace allows now; infinity without one."""
        return math.inf if self._pace is None else self._pace.rate(now)

    def started(self, now: float) -> None:
        """Note that a transaction begins, by the pace."""
        if self._pace is not None:
            self._pace.started(now)

    def needs_no_start(self) -> None:
        """Keep no time back: a single process asks when it has a transaction."""

    def unused(self, at: float) -> None:
        """Take back the time of a transaction that was `started` for then, and will not begin."""
        if self._pace is not None:
            self._pace.unused(at)

    def excess(self, open_connections: int) -> bool:
        """Whether there are more connections than a destination with a ceiling takes."""
        return self._ceiling is not None and open_connections > int(self._size)

    def set_open(self, open_connections: int) -> None:
        """Do nothing: a single process shares its connections with no other."""

    def should_release(self, used: int) -> bool:  # noqa: ARG002
        """Give no connection up, because no other process needs it."""
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
        if self._pace is not None:
            self._pace.try_now()


def own_windows(limits: WindowLimits) -> NewWindow:
    """Return a function that makes a Window for each destination."""
    return lambda _name, _changed: ConcurrencyWindow(limits)
