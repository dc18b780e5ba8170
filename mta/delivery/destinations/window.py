"""How many connections a destination may have, at which pace it gets messages, and when it is probed after a failure.

The limits are learned from the answers of its hosts. Time is an argument, in wall-clock seconds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from mta.delivery.rates.pace import Pace
from mta.delivery.replies.throttle_table import LimitKind
from mta.message.outcome import TryLater
from mta.retry_schedule import RetrySchedule

#: Seconds without a refusal after which one more connection is tried: at first, and at most.
FIRST_TRIAL, LONGEST_TRIAL = 60.0, 3600.0
#: Seconds after the last refusal at which a ceiling is forgotten.
FORGET = 4 * 3600.0


class Ceiling:
    """The upper bound of the window of a destination that said that there were too many connections.

    It rises by one connection after a minute without a refusal, and each rise that is refused doubles the time to the
    next one. So a limit that stays costs fewer and fewer refusals, and the end of a limit is found.
    """

    def __init__(self) -> None:
        self._height = 0.0
        self._wait = FIRST_TRIAL
        self._refused_at = 0.0
        # When the height was last changed, and whether by a trial.
        self._changed_at = 0.0
        self._trial = False

    def refused(self, now: float, height: float) -> float:
        """Set and return the height, 1 or more, after a refusal beside so many working connections."""
        if self._trial:
            self._wait = min(self._wait * 2, LONGEST_TRIAL)
        self._trial = False
        self._height = max(1.0, height)
        self._refused_at = self._changed_at = now
        return self._height

    def height(self, now: float) -> float:
        """Return the highest number of connections that is allowed now."""
        # If the wall clock was set back, the wait begins anew.
        self._changed_at = min(self._changed_at, now)
        if now - self._changed_at >= self._wait:
            self._height += 1.0
            self._changed_at = now
            self._trial = True
        return self._height

    def over(self, now: float) -> bool:
        """Whether the last refusal is so old that the destination is assumed to have no ceiling any more."""
        return now - self._refused_at >= FORGET or now < self._refused_at - FORGET


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """The bounds of a window: numbers of connections, and seconds of penalty."""

    #: Connections to a destination that has not answered a transaction yet.
    start: int = 5
    #: Connections to a destination that answers. Large hosts refuse more than 20 to 50 from one address.
    most: int = 20
    #: The wait after a destination was found dead; each probe that fails doubles it.
    first_penalty: float = 30.0
    #: The longest wait, so that a host that comes back is found within a quarter of an hour.
    longest_penalty: float = 900.0

    def __post_init__(self) -> None:
        """Raise ValueError for bounds that would let no mail through."""
        if not 1 <= self.start <= self.most:
            raise ValueError("a window must start at 1 connection or more, and not above its most")
        if not 0 < self.first_penalty <= self.longest_penalty:
            raise ValueError("the first penalty must be above 0 seconds, and not above the longest")


def window_limits(schedule: RetrySchedule) -> WindowLimits:
    """Return window limits whose penalties are no longer than the waits of the schedule."""
    standard = WindowLimits()
    longest = min(standard.longest_penalty, max(step.interval for step in schedule.steps))
    return WindowLimits(first_penalty=min(standard.first_penalty, schedule.steps[0].interval), longest_penalty=longest)


@dataclass(frozen=True, slots=True)
class LimitRefusal:
    """A refusal because of a limit of the destination. Times are wall-clock seconds."""

    kind: LimitKind
    #: Seconds to wait, if the host or its documentation names them.
    wait: float | None
    #: When the transaction, or the opening of the connection, began.
    began: float
    #: The number of other transactions, or, for a refused connection, of other connections.
    others: int
    #: The number of connections, without the one that was refused or that the refused transaction had.
    left: int
    #: The number of messages that the present connections have carried before, and the seconds that this took.
    accepted: int
    seconds: float


class SendWindow(Protocol):
    """The connections and the pace that a destination is allowed, by this process alone or by all workers together.

    Times are wall-clock seconds.
    """

    @property
    def size(self) -> int:
        """How many connections this process may have now; a probe of a destination that failed is one."""

    @property
    def request_pending(self) -> bool:
        """Whether a connection, or the time of a transaction, was requested and the answer is yet to come."""

    @property
    def trouble(self) -> TryLater | None:
        """The failure that another worker saw, while the destination is down."""

    @property
    def paced(self) -> bool:
        """Whether transactions begin by a pace: at the time of `next_start`, and with a call of `started`."""

    @property
    def limited(self) -> bool:
        """Whether connections were refused because there were too many; `excess` then says if one has to be ended."""

    @property
    def throttled(self) -> bool:
        """Whether the destination itself refused because of a limit, of a rate or of connections."""

    def limit(self, connections: int | None) -> None:
        """Allow at most so many connections, because a rule of the operator says so; None: as many as without rules."""

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened.

        `open_connections` includes those being opened; `waiting` counts the groups that none of these will take.
        """

    def set_open(self, open_connections: int) -> None:
        """Take the number of connections, including those being opened, so that other workers can have the rest."""

    def should_release(self, used: int) -> bool:
        """Whether a connection after `used` transactions has to be ended, because another worker needs it."""

    def succeeded(self, now: float, began: float = 0.0) -> None:
        """Note that a transaction was answered, even if by a permanent refusal; `began` is its time, if paced."""

    def refused(self, now: float, refusal: LimitRefusal) -> None:
        """Note a refusal because of a limit."""

    def ended(self, now: float, began: float) -> None:
        """Note that a transaction by the pace, or the opening of its connection, ended without an answer."""

    def next_start(self, now: float) -> float:
        """Return when the next transaction may begin: now or before, later, or (infinity) after a change."""

    def starts_at(self, now: float, place: int) -> float:
        """Return the approximate time at which a message begins that has so many others before it."""

    def rate(self, now: float) -> float:
        """Return the messages a second that the pace allows now."""

    def started(self, now: float) -> None:
        """Note that a transaction begins, by the pace: now, or at the time of `next_start` if that is later."""

    def needs_no_start(self) -> None:
        """Give up the time that `next_start` gave, because no transaction waits for it."""

    def excess(self, open_connections: int) -> bool:
        """Whether there are too many connections, including idle ones."""

    def failed(self, now: float, others: int, trouble: TryLater) -> None:
        """Note that a connection could not be opened, was lost, or was refused as a whole for now (421, 4yz).

        `others` counts the connections that are still open or being opened.
        """

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""

    def elsewhere(self, now: float) -> float | None:
        """Return when to look again, while only other relays may open a connection; None if this one may."""

    def unblock(self) -> None:
        """Allow the next probe at once, because an operator wants it."""


#: Makes the window of a destination, by its name; the callable is called when the allowance changes by itself.
NewWindow = Callable[[str, Callable[[], object]], SendWindow]


class ConcurrencyWindow:
    """The concurrency, the pace and the penalty of one destination, in a relay that is one process.

    The concurrency starts small, grows by one connection for each windowful of successes, and halves with each failure
    that leaves other connections working. After a failure that leaves none, the destination counts as dead: until the
    penalty ends no connection is opened, and then one connection alone probes. A successful probe opens the window at
    its start, a failed one doubles the penalty. So a dead destination costs one attempt a step, however much mail
    waits.

    A destination that refuses a number of connections has a ceiling, and one that refuses a rate has a pace, until they
    are forgotten.
    """

    #: A connection is granted at once, and no other process shares the destination.
    request_pending = False
    trouble = None

    def __init__(self, limits: WindowLimits) -> None:
        self._limits = self._own_limits = limits
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
    def throttled(self) -> bool:
        """Whether the destination itself refused because of a limit."""
        return self.paced or self.limited

    @property
    def is_default(self) -> bool:
        """Whether a new window would serve as well, because no failure or limit is remembered."""
        return self._blocked_until is None and self._size >= self._limits.start and not (self.paced or self.limited)

    @property
    def down(self) -> bool:
        """Whether it was found dead and has not answered since."""
        return self._blocked_until is not None

    def limit(self, connections: int | None) -> None:
        """Allow at most so many connections, even if those are more than the relay allows by itself; None: as many."""
        own, most = self._own_limits, self._own_limits.most if connections is None else connections
        if most != self._limits.most:
            self._limits = own if most == own.most else replace(own, start=min(own.start, most), most=most)
            self._size = min(self._size, float(most))

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened."""
        return waiting > 0 and open_connections < int(self._size) and self.blocked(now) is None

    def succeeded(self, now: float, began: float = 0.0) -> None:
        """Note that the destination answered a transaction.

        An answer on a connection that is older than the penalty does not end the penalty, because the host has not
        answered anything that was sent after it failed.
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
        """Note a refusal because of a limit. A refused connection beside no other one counts as a limit of the rate."""
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
        """Note that a transaction by the pace, or the opening of its connection, ended without an answer."""
        if self._pace is not None:
            self._pace.ended(now, began)

    def next_start(self, now: float) -> float:
        """Return when the next transaction may begin."""
        return now if self._pace is None else self._pace.next_start(now)

    def starts_at(self, now: float, place: int) -> float:
        """Return the approximate time at which a message begins that has so many others before it."""
        return now if self._pace is None else self._pace.starts_at(now, place)

    def rate(self, now: float) -> float:
        """Return the messages a second that the pace allows now; infinity without one."""
        return math.inf if self._pace is None else self._pace.rate(now)

    def started(self, now: float) -> None:
        """Note that a transaction begins, by the pace."""
        if self._pace is not None:
            self._pace.started(now)

    def needs_no_start(self) -> None:
        """Do nothing, because a single process asks only when it has a transaction."""

    def unused(self, at: float) -> None:
        """Take back the time of a transaction that was `started` for then but will not begin."""
        if self._pace is not None:
            self._pace.unused(at)

    def excess(self, open_connections: int) -> bool:
        """Whether there are more connections than a destination with a ceiling takes."""
        return self._ceiling is not None and open_connections > int(self._size)

    def set_open(self, open_connections: int) -> None:
        """Do nothing, because a single process shares its connections with no other process."""

    def should_release(self, used: int) -> bool:  # noqa: ARG002
        """Return False, because no other process needs a connection."""
        return False

    def failed(self, now: float, others: int = 0, trouble: TryLater | None = None) -> None:  # noqa: ARG002
        """Note a failure; if it leaves no connection, the destination counts as dead."""
        if self.blocked(now) is not None:
            return
        if others > 0:
            self._size = max(1.0, min(self._size, others + 1.0) / 2)
            return
        limits = self._limits
        self._penalty = min(max(self._penalty * 2, limits.first_penalty), limits.longest_penalty)
        self._blocked_until = now + self._penalty
        self._size = 1.0

    def block(self, until: float, penalty: float) -> None:
        """Take over the penalty that another relay has found, with the seconds of its step."""
        self._blocked_until, self._penalty, self._size = until, penalty, 1.0

    def open_again(self) -> None:
        """Forget the penalty, because another relay got an answer."""
        if self._blocked_until is not None:
            self._blocked_until, self._penalty, self._size = None, 0.0, float(self._limits.start)

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""
        until = self._blocked_until
        # If the wall clock was set back, a penalty must not last for days.
        if until is None or now >= until or until - now > self._limits.longest_penalty:
            return None
        return until

    def elsewhere(self, now: float) -> float | None:  # noqa: ARG002
        """Return None, because no other relay shares the destination."""
        return None

    def unblock(self) -> None:
        """Allow the next probe at once; the window opens when it succeeds."""
        if self._blocked_until is not None:
            self._blocked_until = 0.0
        if self._pace is not None:
            self._pace.try_now()


def own_windows(limits: WindowLimits) -> NewWindow:
    """Return a function that makes a ConcurrencyWindow for each destination."""
    return lambda _name, _changed: ConcurrencyWindow(limits)
