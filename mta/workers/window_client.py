"""The worker's side of the limits that workers share: asks the parent for connections, and gives back unused grants.

`mta.workers.window_broker` is the other side. A request and its answer are one short line each, so a worker waits
microseconds for it, and only before it opens a connection or, under a pace, before a transaction.
"""

import math
from collections.abc import Callable
from weakref import WeakValueDictionary

from mta.delivery.destinations.window import LimitRefusal, WindowLimits
from mta.delivery.rates.leave import Send
from mta.delivery.replies.throttle_table import LimitKind
from mta.message.outcome import TryLater

#: Transactions after which a worker gives even its only connection to another worker that waits.
FEW_TRANSACTIONS = 20
#: Seconds between two reports of successes, by which a window grows; one at its most would get a report for each ten
#: messages, and the two processes take half as long for it as for a message (measured).
REPORT_SECONDS = 0.1
#: Seconds after which a request for the time of a transaction is repeated.
ASK_AGAIN_SECONDS = 60.0
# Characters of a remote's reply that are sent to the other workers.
_MAX_TEXT = 1000


class SharedWindow:
    """The SendWindow of one destination in a relay of several workers."""

    def __init__(self, name: str, send: Send, changed: Callable[[], object], longest_penalty: float) -> None:
        """`changed` is called after a line of the parent that may permit or end a connection."""
        self.trouble: TryLater | None = None
        # Whether a request for a connection, or for the time of a transaction, is pending.
        self._grant_pending = False
        self._turn_pending = False
        self.paced = False
        self.limited = False
        # The granted time of the next transaction, and the pace of all workers together in messages a second.
        self._turn: float | None = None
        self._ask_again = 0.0
        # Whether an operator wants the next transaction before its granted time.
        self._at_once = False
        self._rate = math.inf
        self._name = name
        self._send = send
        self._changed = changed
        self._longest_penalty = longest_penalty
        # The connections that a rule allows all workers together.
        self._most: int | None = None
        # Connections that the parent has granted.
        self._granted = 0
        # Connections that other workers wait for.
        self._spare = 0
        # Successes that are not reported yet, and whether the parent waits for the first one.
        self._successes = 0
        self._reported_at = -math.inf
        self._probing = False
        self._blocked_until: float | None = None

    @property
    def size(self) -> int:
        """How many connections the parent has granted."""
        return self._granted

    @property
    def request_pending(self) -> bool:
        """Whether a request to the parent is pending."""
        return self._grant_pending or self._turn_pending

    @property
    def throttled(self) -> bool:
        """Whether the destination refused because of a limit."""
        return self.paced or self.limited

    def limit(self, connections: int | None) -> None:
        """Have the parent allow at most so many connections of all workers together."""
        self._most = connections

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection is granted. If not, request it."""
        if waiting <= 0 or self.blocked(now) is not None:
            return False
        if open_connections < self._granted:
            return True
        if not self._grant_pending:
            self._grant_pending = True
            self._send("want", self._name, self._successes, *([] if self._most is None else [self._most]))
            self._successes = 0
        return False

    def set_open(self, open_connections: int) -> None:
        """Give the grants that exceed the open connections back to the parent."""
        unused = self._granted - open_connections
        if unused > 0:
            self._granted = open_connections
            self._spare = max(0, self._spare - unused)
            self._send("gone", self._name, unused)

    def should_release(self, used: int) -> bool:
        """Whether a connection after `used` transactions must be closed for another worker."""
        return self._spare > 0 and (self._granted > 1 or used >= FEW_TRANSACTIONS)

    def succeeded(self, now: float, began: float = 0.0) -> None:
        """Count a success. Report the one that ends a penalty.

        While a request is pending, report a windowful or more, REPORT_SECONDS after the last time. Under a pace, report
        each success with the time when its transaction began.
        """
        if self.paced:
            self._send("answered", self._name, began)
        else:
            self._successes += 1
        if self._probing or (self._grant_pending and self._successes >= self._granted and self._may_report(now)):
            self._probing = False
            self._reported_at = now
            self._send("worked", self._name, self._successes)
            self._successes = 0

    def _may_report(self, now: float) -> bool:
        # If the wall clock was set back, the time is over too.
        return not 0.0 <= now - self._reported_at < REPORT_SECONDS

    def failed(self, now: float, others: int, trouble: TryLater) -> None:  # noqa: ARG002
        """Report a failure; `others` are the worker's remaining connections."""
        ended = max(0, self._granted - others)
        self._granted -= ended
        self._spare = max(0, self._spare - ended)
        text, *rest = trouble.words
        self._send("failed", self._name, ended, text[:_MAX_TEXT], *rest)

    def refused(self, now: float, refusal: LimitRefusal) -> None:  # noqa: ARG002
        """Report a refusal because of a limit. If it limits connections, give back the grants of ended ones."""
        ended = 0
        if refusal.kind is LimitKind.CONNECTIONS:
            self.limited = True
            ended = max(0, self._granted - refusal.left)
            self._granted -= ended
            self._spare = max(0, self._spare - ended)
        elif not self.paced:
            self.paced = True
            # An estimate until the parent sends the pace of all workers.
            self._rate = max(refusal.accepted, 1) / max(refusal.seconds, 1.0)
        counted = (refusal.accepted, refusal.seconds)
        self._send("refused", self._name, ended, refusal.kind.name, refusal.wait, refusal.began, *counted)

    def ended(self, now: float, began: float) -> None:  # noqa: ARG002
        """Report a transaction under a pace that ended without a reply."""
        if self.paced:
            self._send("lost", self._name, began)

    def next_start(self, now: float) -> float:
        """Return when the next transaction may begin or, until the parent has answered, when to ask again."""
        if not self.paced:
            return now
        if (until := self.blocked(now)) is not None:
            return until
        if self._turn is None:
            # The request is repeated in case another worker's probe never ended.
            if not self._turn_pending or now >= self._ask_again:
                self._turn_pending = True
                self._ask_again = now + ASK_AGAIN_SECONDS
                self._send("turn", self._name)
            return self._ask_again
        return now if self._at_once else self._turn

    def starts_at(self, now: float, place: int) -> float:
        """Return the estimated start of a message that has `place` others before it in this worker."""
        return now if not self.paced else max(now, self._turn or now) + place / self._rate

    def rate(self, now: float) -> float:  # noqa: ARG002
        """Return the pace of all workers together, in messages a second; infinity without a pace."""
        return self._rate

    def started(self, now: float) -> None:  # noqa: ARG002
        """Use the granted time."""
        self._turn = None
        self._at_once = False

    def needs_no_start(self) -> None:
        """Give the granted time back to the parent, because no transaction needs it."""
        if self._turn is not None:
            self._send("unused", self._name, self._turn)
            self._turn = None

    def excess(self, open_connections: int) -> bool:
        """Whether there are more connections than grants."""
        return open_connections > self._granted

    def blocked(self, now: float) -> float | None:
        """Return the end of the penalty, or None if there is no penalty now."""
        until = self._blocked_until
        # A wall clock that was set back must not turn a penalty into days.
        if until is None or now >= until or until - now > self._longest_penalty:
            return None
        return until

    def elsewhere(self, now: float) -> float | None:  # noqa: ARG002
        """Return None, because no other relay shares the destination."""
        return None

    def unblock(self) -> None:
        """Permit the next probe at once, from any worker."""
        if self._blocked_until is not None or self.paced:
            self._blocked_until = None
            self._at_once = True
            self._send("retry", self._name)

    def on_grant(self, probing: bool) -> None:
        """Handle a grant of one connection. With `probing` the parent waits for its result."""
        self._grant_pending = False
        self._granted += 1
        self._probing = probing
        self._changed()

    def on_down(self, until: float, trouble: TryLater) -> None:
        """Handle that the destination is down, which also answers pending requests."""
        self._grant_pending = self._turn_pending = False
        self._blocked_until = until
        self.trouble = trouble
        self._changed()

    def on_up(self) -> None:
        """Handle that the destination is no longer down."""
        self._blocked_until = self.trouble = None
        self._changed()

    def on_turn(self, at: float, rate: float) -> None:
        """Handle the granted time of the next transaction, and the pace."""
        self._turn_pending = False
        self._turn, self._rate = at, rate
        self._changed()

    def on_pace(self, rate: float | None) -> None:
        """Handle the start, a change or, with None, the end of a pace."""
        self.paced = rate is not None
        if rate is None:
            self._turn_pending, self._turn = False, None
        self._rate = math.inf if rate is None else rate
        self._changed()

    def on_spare(self) -> None:
        """Handle that another worker waits for a connection."""
        self._spare += 1
        self._changed()


class SharedWindows:
    """The SharedWindows of a worker by the name of their destination, and the handlers of its channel."""

    def __init__(self, limits: WindowLimits, send: Send) -> None:
        self._limits = limits
        self._send = send
        # The destinations own their windows, so a deleted destination has no entry.
        self._windows: WeakValueDictionary[str, SharedWindow] = WeakValueDictionary()

    def new(self, name: str, changed: Callable[[], object]) -> SharedWindow:
        """Create the window of a destination."""
        window = self._windows[name] = SharedWindow(name, self._send, changed, self._limits.longest_penalty)
        return window

    def handlers(self) -> dict[str, Callable[..., object]]:
        """Return the handlers for the channel, by verb."""
        return {
            "grant": self._grant,
            "down": self._down,
            "up": self._up,
            "spare": self._spare,
            "turn": self._turn,
            "pace": self._pace,
        }

    def _grant(self, name: str, probing: bool) -> None:  # noqa: FBT001  an argument of the channel
        window = self._windows.get(name)
        if window is None:
            self._send("gone", name, 1)
        else:
            window.on_grant(probing)

    def _down(self, name: str, until: float, *words: str) -> None:
        if (window := self._windows.get(name)) is not None:
            window.on_down(until, TryLater.of_words(*words))

    def _up(self, name: str) -> None:
        if (window := self._windows.get(name)) is not None:
            window.on_up()

    def _turn(self, name: str, at: float, rate: float) -> None:
        window = self._windows.get(name)
        if window is None:
            self._send("unused", name, at)
        else:
            window.on_turn(at, rate)

    def _pace(self, name: str, rate: float | None) -> None:
        if (window := self._windows.get(name)) is not None:
            window.on_pace(rate)

    def _spare(self, name: str) -> None:
        if (window := self._windows.get(name)) is not None:
            window.on_spare()
