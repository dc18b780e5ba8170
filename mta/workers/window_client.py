"""The worker's side of a destination's limits: asks the parent for leave, and gives back what is not used.

`mta.workers.window_broker` answers. Each question and each answer is one short line, so a worker waits microseconds
for it, and only before it opens a connection or, for a destination with a pace, before a transaction.
"""

import math
from collections.abc import Callable
from typing import Protocol
from weakref import WeakValueDictionary

from mta.delivery.destinations.window import LimitRefusal, WindowLimits
from mta.delivery.replies.throttle_table import LimitKind
from mta.message.outcome import TryLater

#: Transactions after which a worker gives up even its only connection to another one that waits for it.
FEW_TRANSACTIONS = 20
#: Seconds after which the time for a transaction is asked for again.
ASK_AGAIN_SECONDS = 60.0
# Characters of a remote's words that go to the other workers.
_MAX_TEXT = 1000


class Send(Protocol):
    """Says something to the parent."""

    def __call__(self, verb: str, /, *arguments: object) -> None:
        """Send the verb and its arguments."""


class SharedWindow:
    """The Allowance of one destination in a relay of several workers."""

    def __init__(self, name: str, send: Send, changed: Callable[[], object], longest_penalty: float) -> None:
        """`changed` is called when the parent has said something that may let a connection be opened, or end."""
        self.trouble: TryLater | None = None
        # Whether leave for a connection was asked for, and whether the time for a transaction.
        self._grant_pending = False
        self._turn_pending = False
        self.paced = False
        self.limited = False
        # When the next transaction may begin, once the parent has said so, and the pace of all workers together.
        self._turn: float | None = None
        self._ask_again = 0.0
        # Whether an operator wants the next one to begin before the time that the parent has said.
        self._at_once = False
        self._rate = math.inf
        self._name = name
        self._send = send
        self._changed = changed
        self._longest_penalty = longest_penalty
        # Connections that we have leave for.
        self._granted = 0
        # Connections that others wait for.
        self._spare = 0
        # Successes that the parent has not heard of, and whether it waits for the first.
        self._successes = 0
        self._probing = False
        self._blocked_until: float | None = None

    @property
    def request_pending(self) -> bool:
        """Whether the parent was asked and has not answered."""
        return self._grant_pending or self._turn_pending

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether there is leave for one more connection; if not, it is asked for."""
        if waiting <= 0 or self.blocked(now) is not None:
            return False
        if open_connections < self._granted:
            return True
        if not self._grant_pending:
            self._grant_pending = True
            self._send("want", self._name, self._successes)
            self._successes = 0
        return False

    def set_open(self, open_connections: int) -> None:
        """Give back the leave for connections that are not there."""
        unused = self._granted - open_connections
        if unused > 0:
            self._granted = open_connections
            self._spare = max(0, self._spare - unused)
            self._send("gone", self._name, unused)

    def should_release(self, used: int) -> bool:
        """Whether a connection that has carried `used` parcels is to be ended for another worker."""
        return self._spare > 0 and (self._granted > 1 or used >= FEW_TRANSACTIONS)

    def succeeded(self, now: float, began: float = 0.0) -> None:  # noqa: ARG002
        """Count a success. The parent hears of the one that ends a penalty, and of a windowful where it matters.

        Of those by the pace it hears each, with the time when it `began`.
        """
        if self.paced:
            self._send("answered", self._name, began)
        else:
            self._successes += 1
        if self._probing or (self._grant_pending and self._successes >= self._granted):
            self._probing = False
            self._send("worked", self._name, self._successes)
            self._successes = 0

    def failed(self, now: float, others: int, trouble: TryLater) -> None:  # noqa: ARG002
        """Tell of a failure; `others` are our own connections that are left."""
        ended = max(0, self._granted - others)
        self._granted -= ended
        self._spare = max(0, self._spare - ended)
        self._send("failed", self._name, ended, trouble.text[:_MAX_TEXT], trouble.host, trouble.status)

    def refused(self, now: float, refusal: LimitRefusal) -> None:  # noqa: ARG002
        """Tell of a refusal because of a limit; one of connections gives up the leave for its own."""
        ended = 0
        if refusal.kind is LimitKind.CONNECTIONS:
            self.limited = True
            ended = max(0, self._granted - refusal.left)
            self._granted -= ended
            self._spare = max(0, self._spare - ended)
        elif not self.paced:
            self.paced = True
            # Until the parent says the pace of all workers.
            self._rate = max(refusal.accepted, 1) / max(refusal.seconds, 1.0)
        counted = (refusal.accepted, refusal.seconds)
        self._send("refused", self._name, ended, refusal.kind.name, refusal.wait, refusal.began, *counted)

    def ended(self, now: float, began: float) -> None:  # noqa: ARG002
        """Tell that a transaction by the pace ended without an answer."""
        if self.paced:
            self._send("lost", self._name, began)

    def next_start(self, now: float) -> float:
        """Return when the next transaction may begin; until the parent has said when, a time to ask again."""
        if not self.paced:
            return now
        if (until := self.blocked(now)) is not None:
            return until
        if self._turn is None:
            # Asked again in case that another worker's probe never ended.
            if not self._turn_pending or now >= self._ask_again:
                self._turn_pending = True
                self._ask_again = now + ASK_AGAIN_SECONDS
                self._send("turn", self._name)
            return self._ask_again
        return now if self._at_once else self._turn

    def starts_at(self, now: float, place: int) -> float:
        """Return when about a message will be begun that has so many others before it in this worker."""
        return now if not self.paced else max(now, self._turn or now) + place / self._rate

    def rate(self, now: float) -> float:  # noqa: ARG002
        """Return the messages a second of all workers together, as the parent said last; infinity without a pace."""
        return self._rate

    def started(self, now: float) -> None:  # noqa: ARG002
        """Use up the time that the parent gave."""
        self._turn = None
        self._at_once = False

    def needs_no_start(self) -> None:
        """Give the time back that the parent gave."""
        if self._turn is not None:
            self._send("unused", self._name, self._turn)
            self._turn = None

    def excess(self, open_connections: int) -> bool:
        """Whether there are more connections than leave."""
        return open_connections > self._granted

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""
        until = self._blocked_until
        # A wall clock that was set back must not turn a penalty into days.
        if until is None or now >= until or until - now > self._longest_penalty:
            return None
        return until

    def unblock(self) -> None:
        """Let the next probe go at once, from whichever worker it comes."""
        if self._blocked_until is not None or self.paced:
            self._blocked_until = None
            self._at_once = True
            self._send("retry", self._name)

    def on_grant(self, probing: bool) -> None:
        """Take leave for one connection; with `probing` the parent waits to hear how it went."""
        self._grant_pending = False
        self._granted += 1
        self._probing = probing
        self._changed()

    def on_down(self, until: float, trouble: TryLater) -> None:
        """Learn that the destination is down, which also answers what was asked."""
        self._grant_pending = self._turn_pending = False
        self._blocked_until = until
        self.trouble = trouble
        self._changed()

    def on_up(self) -> None:
        """Learn that it is not down any more."""
        self._blocked_until = self.trouble = None
        self._changed()

    def on_turn(self, at: float, rate: float) -> None:
        """Take the time at which the next transaction may begin, and the pace."""
        self._turn_pending = False
        self._turn, self._rate = at, rate
        self._changed()

    def on_pace(self, rate: float | None) -> None:
        """Learn that transactions begin by a pace from now on; with None that they do no more."""
        self.paced = rate is not None
        if rate is None:
            self._turn_pending, self._turn = False, None
        self._rate = math.inf if rate is None else rate
        self._changed()

    def on_spare(self) -> None:
        """Learn that another worker waits for a connection."""
        self._spare += 1
        self._changed()


class SharedWindows:
    """All of a worker's SharedWindows, by the name of their destination, and what the channel calls for them."""

    def __init__(self, limits: WindowLimits, send: Send) -> None:
        self._limits = limits
        self._send = send
        # The destinations own them; one that was forgotten has none.
        self._windows: WeakValueDictionary[str, SharedWindow] = WeakValueDictionary()

    def new(self, name: str, changed: Callable[[], object]) -> SharedWindow:
        """Return the window of a destination that has none."""
        window = self._windows[name] = SharedWindow(name, self._send, changed, self._limits.longest_penalty)
        return window

    def handlers(self) -> dict[str, Callable[..., object]]:
        """Return what the channel is to call, by verb."""
        return {
            "grant": self._grant,
            "down": self._down,
            "up": self._up,
            "spare": self._spare,
            "turn": self._turn,
            "pace": self._pace,
        }

    def _grant(self, name: str, probing: bool) -> None:  # noqa: FBT001  a word of the channel
        window = self._windows.get(name)
        if window is None:
            self._send("gone", name, 1)
        else:
            window.on_grant(probing)

    def _down(self, name: str, until: float, *words: str) -> None:
        if (window := self._windows.get(name)) is not None:
            window.on_down(until, TryLater(*words))

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
