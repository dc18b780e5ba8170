"""The window of a destination in a relay that shares its queue with others.

Each relay has its share of the connections, and learns alone how many of them work. That a destination is down they
tell each other by a `Board`, and then one of them alone probes it.
"""

from collections.abc import Callable, Collection
from typing import Protocol
from weakref import WeakValueDictionary

from mta.delivery.destinations.window import ConcurrencyWindow, WindowLimits
from mta.delivery.relays.shares import share
from mta.message.outcome import TryLater

#: Seconds of a turn, for which a relay without a share leaves the mail for the others.
TURN = 15.0
_OTHERS_HAVE_ALL = TryLater("the other relays have all the connections that this destination takes", status="4.3.2")


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
        """Ask whether this relay is to try a destination that was down: `on_probe`, `on_down` or `on_up` follows."""

    def retry(self, name: str) -> None:
        """Let any relay try a destination at once."""


class RelayWindow(ConcurrencyWindow):
    """The SendWindow of one destination."""

    def __init__(
        self,
        name: str,
        limits: WindowLimits,
        board: Board,
        my_share: Callable[[str, int], int],
        changed: Callable[[], object],
    ) -> None:
        """`my_share` is as `mta.delivery.relays.shares`; `changed` is called when news may permit a connection."""
        super().__init__(limits)
        self._name = name
        self._board = board
        self._my_share = my_share
        self._changed = changed
        self._open = 0
        self._asking = False
        # Until when this relay alone may try the destination.
        self._probe_until = 0.0
        # The failure because of which it is down, if another relay saw it.
        self._reported: TryLater | None = None
        if (down := board.known(name)) is not None:
            self._take_over(down)

    @property
    def size(self) -> int:
        """How many connections this relay may have now."""
        if not self._has_share:
            return 0
        size = int(self._size)
        return max(1, min(self._my_share(self._name, size), size))

    @property
    def request_pending(self) -> bool:  # type: ignore[override]
        """Whether the other relays were asked if this one is to try the destination."""
        return self._asking

    @property
    def trouble(self) -> TryLater | None:  # type: ignore[override]
        """The failure that another relay saw, or that the others have all connections."""
        if self.down:
            return self._reported
        return None if self._has_share else _OTHERS_HAVE_ALL

    @property
    def _has_share(self) -> bool:
        return self._my_share(self._name, self._limits.most) > 0

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
        self._open = open_connections

    def should_release(self, used: int) -> bool:  # noqa: ARG002
        """Whether a connection has to be ended, because relays that have joined need their share."""
        return self._open > self.size

    def succeeded(self, now: float, began: float = 0.0) -> None:
        """Note that the destination answered a transaction, and tell the others if it was down."""
        was_down = self.down
        super().succeeded(now, began)
        if was_down and not self.down:
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
        """Return the time the penalty ends, or the turn of the relays that have a share; None if there is none now."""
        until = super().blocked(now)
        return (now // TURN + 1) * TURN if until is None and not self._has_share else until

    def unblock(self) -> None:
        """Allow the next probe at once, by any relay."""
        super().unblock()
        if self.down:
            self._board.retry(self._name)

    def on_down(self, down: Down) -> None:
        """Take the news that the destination is down, which also answers a question."""
        self._asking = False
        self._take_over(down)
        self._changed()

    def on_up(self) -> None:
        """Take the news that the destination answers again."""
        self._asking = False
        self.open_again()
        self._changed()

    def on_probe(self, until: float) -> None:
        """Try the destination, as the only relay until then."""
        self._asking = False
        self._probe_until = until
        self._changed()

    def _take_over(self, down: Down) -> None:
        self.block(down.until, down.penalty)
        self._reported = down.trouble
        self._probe_until = 0.0


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
        """`living` returns the numbers of all relays that live, `relay` that of this one."""
        self._limits = limits
        self._wall_clock = wall_clock
        self._living = living
        self._relay = relay
        # The destinations own their windows, so a deleted destination has no entry.
        self._windows: WeakValueDictionary[str, RelayWindow] = WeakValueDictionary()
        #: Set before the first window is made.
        self.board: Board

    def new(self, name: str, changed: Callable[[], object]) -> RelayWindow:
        """Make the window of a destination."""
        window = self._windows[name] = RelayWindow(name, self._limits, self.board, self._share, changed)
        return window

    def _share(self, name: str, connections: int) -> int:
        return share(name, connections, self._relay(), self._living())

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
