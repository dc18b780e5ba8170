"""The window of a destination in a relay that shares its queue with others.

Each relay has its share of the connections, and learns alone how many of them work. That a destination is down they
tell each other by a `Board`, and then one of them alone probes it.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol
from weakref import WeakValueDictionary

from mta.delivery.destinations.window import ConcurrencyWindow, WindowLimits
from mta.delivery.relays.shares import TURN, RelayShares
from mta.message.outcome import TryLater


class Down(Protocol):
    """A destination that takes no connection until then, wall-clock seconds, because of its last failure."""

    @property
    def until(self) -> float:
        """When it may be probed."""

    @property
    def penalty(self) -> float:
        """Seconds of the present step of the back-off."""

    @property
    def trouble(self) -> TryLater:
        """The last failure."""


class Board(Protocol):
    """Exchanges with the other relays which destinations are down. Its answers come by the methods of RelayWindows."""

    def known(self, name: str) -> Down | None:
        """Return the state of a destination that is down, as far as is known."""

    def failed(self, name: str, trouble: TryLater) -> None:
        """Tell that a destination took no connection."""

    def answered(self, name: str) -> None:
        """Tell that a destination that was down has answered."""

    def ask_to_probe(self, name: str) -> None:
        """Ask whether this relay is to try a destination that was down; one of the methods `on_...` answers."""

    def retry(self, name: str) -> None:
        """Let any relay try a destination at once."""


class RelayWindow(ConcurrencyWindow):
    """The SendWindow of one destination. It grows and shrinks within the share of this relay."""

    def __init__(
        self,
        name: str,
        limits: WindowLimits,
        board: Board,
        shares: RelayShares,
        changed: Callable[[], object],
    ) -> None:
        """`changed` is called when news may permit a connection."""
        super().__init__(limits)
        self._name = name
        self._board = board
        self._shares = shares
        self._changed = changed
        # The connections that all relays together may have, and whether a rule of the operator says so.
        self._most = limits.most
        self._ruled = False
        self._open = 0
        self._asking = False
        # Until when this relay alone may try the destination, or another one does.
        self._probe_until = 0.0
        self._probed_until = 0.0
        # The failure because of which it is down, if another relay saw it.
        self._reported: TryLater | None = None
        # The transactions that have to be answered here before this relay denies that the destination is down.
        self._doubts: int | None = None
        self._divide()
        self._size = float(self._limits.start)
        if (down := board.known(name)) is not None:
            self._take_over(down)

    @property
    def size(self) -> int:
        """How many connections this relay may have now."""
        return int(self._size) if self._divide() else 0

    @property
    def request_pending(self) -> bool:  # type: ignore[override]
        """Whether the other relays were asked if this one is to try the destination."""
        return self._asking

    @property
    def trouble(self) -> TryLater | None:  # type: ignore[override]
        """The failure that another relay saw, while the destination is down."""
        return self._reported if self.down else None

    def limit(self, connections: int | None) -> None:
        """Allow all relays together at most so many connections."""
        self._ruled = connections is not None
        self._most = self._own_limits.most if connections is None else connections
        self._divide()

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened. If the destination was down, ask the other relays first."""
        if waiting <= 0 or open_connections >= self.size or self.blocked(now) is not None:
            return False
        if not self.down or now < self._probe_until:
            return True
        if not self._asking:
            self._asking = True
            self._board.ask_to_probe(self._name)
        return False

    def set_open(self, open_connections: int) -> None:
        """Take the number of connections, including those being opened."""
        before, self._open = self._open, open_connections
        if before and not open_connections and self._doubts is not None:
            self._doubts = None
            if (down := self._board.known(self._name)) is not None:
                self._take_over(down)

    def should_release(self, used: int) -> bool:  # noqa: ARG002
        """Whether a connection has to be ended, because relays that have joined need their share."""
        return self._open > self._divide()

    def succeeded(self, now: float, began: float = 0.0) -> None:
        """Note that the destination answered a transaction, and tell the others if it was down."""
        was_down = self.down
        super().succeeded(now, began)
        if self._doubts is not None:
            # With one answer for each connection and one more, a transaction was answered that began after the news.
            self._doubts -= 1
        if (was_down and not self.down) or self._doubts == 0:
            self._doubts = None
            self._board.answered(self._name)

    def failed(self, now: float, others: int = 0, trouble: TryLater | None = None) -> None:
        """Note a failure, and tell the others if it leaves no connection."""
        blocked = self.blocked(now)
        super().failed(now, others, trouble)
        if blocked is None and self.blocked(now) is not None and trouble is not None:
            self._reported = trouble
            self._probe_until = 0.0
            self._board.failed(self._name, trouble)

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends, or the turn of other relays; None if there is none now."""
        return super().blocked(now) or self.elsewhere(now)

    def elsewhere(self, now: float) -> float | None:
        """Return when to look again, while only other relays may open a connection; None if this one may."""
        if now < self._probed_until <= now + TURN:
            return self._probed_until
        return None if self._divide() else self._shares.next_turn(now)

    def unblock(self) -> None:
        """Allow the next probe at once, by any relay."""
        super().unblock()
        self._probed_until = 0.0
        if self.down:
            self._board.retry(self._name)

    def on_down(self, down: Down) -> None:
        """Take the news that the destination is down, which also answers a question.

        A relay with connections does not believe it: the way of another relay to the destination may be broken.
        """
        self._asking = False
        if self._open and not self.down:
            self._doubts = self._open + 1
            return
        self._take_over(down)
        self._changed()

    def on_up(self) -> None:
        """Take the news that the destination answers again."""
        self._asking = False
        self._doubts = None
        self._probed_until = 0.0
        if self.down:
            self.open_again()
        self._changed()

    def on_probe(self, until: float) -> None:
        """Try the destination, as the only relay until then."""
        self._asking = False
        self._probe_until = until
        self._changed()

    def on_others_probe(self, until: float) -> None:
        """Leave the destination to another relay that tries it, and ask again then."""
        self._asking = False
        self._probed_until = until
        self._changed()

    def _take_over(self, down: Down) -> None:
        self.block(down.until, down.penalty)
        self._reported = down.trouble
        self._probe_until = self._probed_until = 0.0

    def _divide(self) -> int:
        """Follow the relays that live; return how many connections this one may have while nothing is wrong."""
        share = self._shares.of(self._name, self._most, strict=self._ruled)
        most = max(1, share)
        if most != self._limits.most:
            own, at_most = self._own_limits, self._size >= self._limits.most
            start = min(max(1, self._shares.of(self._name, own.start)), most)
            self._limits = replace(own, start=start, most=most)
            self._size = min(max(self._size, float(start) if at_most else 1.0), float(most))
        return share


class RelayWindows:
    """The windows of a relay by the name of their destination. The board calls the methods `on_...`."""

    def __init__(
        self,
        limits: WindowLimits,
        *,
        wall_clock: Callable[[], float],
        living: Callable[[], Collection[int]],
        relay: Callable[[], int],
    ) -> None:
        """`living` and `relay` are as in RelayShares."""
        self._limits = limits
        self._wall_clock = wall_clock
        self._shares = RelayShares(wall_clock, living, relay)
        # The destinations own their windows, so a deleted destination has no entry.
        self._windows: WeakValueDictionary[str, RelayWindow] = WeakValueDictionary()
        #: Set before the first window is made.
        self.board: Board

    def new(self, name: str, changed: Callable[[], object]) -> RelayWindow:
        """Make the window of a destination."""
        window = self._windows[name] = RelayWindow(name, self._limits, self.board, self._shares, changed)
        return window

    def on_down(self, name: str, down: Down) -> None:
        """Take note that a destination is down, or down for longer."""
        if (window := self._windows.get(name)) is not None:
            window.on_down(down)

    def on_up(self, name: str) -> None:
        """Take note that a destination answers again."""
        if (window := self._windows.get(name)) is not None:
            window.on_up()

    def on_probe(self, name: str, seconds: float) -> None:
        """Try a destination, as the only relay for so many seconds."""
        if (window := self._windows.get(name)) is not None:
            window.on_probe(self._wall_clock() + seconds)

    def on_others_probe(self, name: str, seconds: float) -> None:
        """Leave a destination to another relay that tries it, for so many seconds."""
        if (window := self._windows.get(name)) is not None:
            window.on_others_probe(self._wall_clock() + seconds)
