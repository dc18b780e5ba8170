"""The worker's side of a destination's limits: asks the parent for leave, and gives back what is not used.

`mta.workers.shares` answers. What is asked and told is one short line, so a worker waits microseconds for it, and only
when it is to open a connection.
"""

from collections.abc import Callable
from typing import Protocol
from weakref import WeakValueDictionary

from mta.delivery.throttle import WindowLimits
from mta.message.outcome import TryLater

#: Transactions after which a worker gives up even its only connection to another one that waits for it.
FEW = 20
# Characters of a remote's words that go to the other workers.
_MOST_TEXT = 1000


class Send(Protocol):
    """Says something to the parent."""

    def __call__(self, verb: str, /, *arguments: object) -> None:
        """Send the verb and its arguments."""


class SharedWindow:
    """The Allowance of one destination in a relay of several workers."""

    def __init__(self, name: str, send: Send, changed: Callable[[], object], longest_penalty: float) -> None:
        """`changed` is called when the parent has said something that may let a connection be opened, or end."""
        self.trouble: TryLater | None = None
        self.asked = False
        self._name = name
        self._send = send
        self._changed = changed
        self._longest_penalty = longest_penalty
        # Connections that we have leave for.
        self._leave = 0
        # Connections that others wait for.
        self._spare = 0
        # Successes that the parent has not heard of, and whether it waits for the first.
        self._worked = 0
        self._probing = False
        self._blocked_until: float | None = None

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether there is leave for one more connection; if not, it is asked for."""
        if waiting <= 0 or self.blocked(now) is not None:
            return False
        if open_connections < self._leave:
            return True
        if not self.asked:
            self.asked = True
            self._send("want", self._name, self._worked)
            self._worked = 0
        return False

    def holds(self, open_connections: int) -> None:
        """Give back the leave for connections that are not there."""
        unused = self._leave - open_connections
        if unused > 0:
            self._leave = open_connections
            self._spare = max(0, self._spare - unused)
            self._send("gone", self._name, unused)

    def gives_up(self, used: int) -> bool:
        """Whether a connection that has carried `used` parcels is to be ended for another worker."""
        return self._spare > 0 and (self._leave > 1 or used >= FEW)

    def succeeded(self, now: float) -> None:  # noqa: ARG002
        """Count a success. The parent hears of the one that ends a penalty, and of a windowful where it matters."""
        self._worked += 1
        if self._probing or (self.asked and self._worked >= self._leave):
            self._probing = False
            self._send("worked", self._name, self._worked)
            self._worked = 0

    def failed(self, now: float, others: int, trouble: TryLater) -> None:  # noqa: ARG002
        """Tell of a failure; `others` are our own connections that are left."""
        ended = max(0, self._leave - others)
        self._leave -= ended
        self._spare = max(0, self._spare - ended)
        self._send("failed", self._name, ended, trouble.text[:_MOST_TEXT], trouble.host, trouble.status)

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""
        until = self._blocked_until
        # A wall clock that was set back must not turn a penalty into days.
        if until is None or now >= until or until - now > self._longest_penalty:
            return None
        return until

    def unblock(self) -> None:
        """Let the next probe go at once, from whichever worker it comes."""
        if self._blocked_until is not None:
            self._blocked_until = None
            self._send("retry", self._name)

    def granted(self, probing: bool) -> None:
        """Take leave for one connection; with `probing` the parent waits to hear how it went."""
        self.asked = False
        self._leave += 1
        self._probing = probing
        self._changed()

    def told_down(self, until: float, trouble: TryLater) -> None:
        """Learn that the destination is down, which also answers what was asked."""
        self.asked = False
        self._blocked_until = until
        self.trouble = trouble
        self._changed()

    def told_up(self) -> None:
        """Learn that it is not down any more."""
        self._blocked_until = self.trouble = None
        self._changed()

    def told_to_spare(self) -> None:
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
        return {"grant": self._grant, "down": self._down, "up": self._up, "spare": self._spare}

    def _grant(self, name: str, probing: bool) -> None:  # noqa: FBT001  a word of the channel
        window = self._windows.get(name)
        if window is None:
            self._send("gone", name, 1)
        else:
            window.granted(probing)

    def _down(self, name: str, until: float, *words: str) -> None:
        if (window := self._windows.get(name)) is not None:
            window.told_down(until, TryLater(*words))

    def _up(self, name: str) -> None:
        if (window := self._windows.get(name)) is not None:
            window.told_up()

    def _spare(self, name: str) -> None:
        if (window := self._windows.get(name)) is not None:
            window.told_to_spare()
