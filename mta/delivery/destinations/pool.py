"""The connections of one destination that are kept open for the next message, for a short while.

The connections of one destination: those in use, those that idle, and those that are being opened.
"""

from collections.abc import Callable, Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mta.delivery.remote.interface import Connection, Connector
from mta.message.outcome import TryLater
from mta.routing.route import Plan

#: Seconds a connection is kept open for the next message.
IDLE_SECONDS = 5.0


class PooledConnection:
    """A connection with its count of transactions and the time since when it idles."""

    __slots__ = ("connection", "idle_since", "opened", "used")

    def __init__(self, connection: Connection, opened: float) -> None:
        self.connection = connection
        #: When it was opened, on the reactor's clock.
        self.opened = opened
        self.used = 0
        self.idle_since = 0.0


class IdlePool:
    """Lines at rest, oldest first. One that rested too long is ended; `ended` is called after that."""

    def __init__(self, clock: IReactorTime, ended: Callable[[], object]) -> None:
        self._clock = clock
        self._ended = ended
        self._lines: list[PooledConnection] = []
        self._sweeper: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[PooledConnection]:
        return iter(self._lines)

    def take(self) -> PooledConnection | None:
        """Return the line that rested shortest and still can be used; those that were lost meanwhile are dropped."""
        while self._lines:
            line = self._lines.pop()
            if line.connection.usable:
                return line
        return None

    def take_other(self, tried: frozenset[str]) -> PooledConnection | None:
        """Return such a line to a host whose label is not in `tried`."""
        for place in range(len(self._lines) - 1, -1, -1):
            connection = self._lines[place].connection
            if connection.usable and connection.peer not in tried:
                return self._lines.pop(place)
        return None

    def keep(self, line: PooledConnection) -> None:
        """Keep a usable line for the next message."""
        line.idle_since = self._clock.seconds()
        self._lines.append(line)
        if self._sweeper is None:
            self._sweeper = self._clock.callLater(IDLE_SECONDS, self._sweep)

    def end_oldest(self) -> None:
        """End the line that rested longest."""
        self._lines.pop(0).connection.quit()

    def close(self) -> None:
        """End them all, and the watch over them."""
        lines, self._lines = self._lines, []
        for line in lines:
            line.connection.quit()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._clock.seconds()
        keep = [line for line in self._lines if line.connection.usable]
        old = [line for line in keep if _ends(line) <= now]
        self._lines = keep[len(old) :]
        for line in old:
            line.connection.quit()
        if self._lines:
            self._sweeper = self._clock.callLater(_ends(self._lines[0]) - now, self._sweep)
        self._ended()


def _ends(line: PooledConnection) -> float:
    """Return when a line has rested long enough: one sum for the timer and for what it finds, or it may never end."""
    return line.idle_since + IDLE_SECONDS


#: Gets the result of an opening; None when it was cancelled.
Opened = Callable[[Connection | TryLater | None], None]


class ConnectionPool:
    """Opens connections and counts them."""

    def __init__(self, carrier: Connector, clock: IReactorTime, idle_ended: Callable[[], object]) -> None:
        """Prepare; `idle_ended` is called when connections that idled too long were ended."""
        self._carrier = carrier
        self._opening: set[Deferred[Connection | TryLater]] = set()
        self.busy: set[PooledConnection] = set()
        self.idle = IdlePool(clock, idle_ended)

    @property
    def opening(self) -> int:
        """How many are being opened."""
        return len(self._opening)

    @property
    def at_work(self) -> int:
        """How many are in use or being opened."""
        return len(self.busy) + len(self._opening)

    @property
    def total(self) -> int:
        """How many there are, those being opened included."""
        return len(self.busy) + len(self._opening) + len(self.idle)

    def open(self, plan: Plan, tried: frozenset[str], opened: Opened) -> None:
        """Open one by the routes of a plan that are not in `tried`; `opened` gets the result, perhaps at once."""
        opening = self._carrier.open(plan, tried)
        self._opening.add(opening)

        def came(result: Connection | TryLater) -> None:
            self._opening.discard(opening)
            opened(result)

        def failed(failure: Failure) -> None:
            self._opening.discard(opening)
            if failure.check(CancelledError):
                opened(None)
            else:
                # A fault of the relay must not hold the mail.
                opened(TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0"))

        opening.addCallbacks(came, failed)

    def cancel_openings(self) -> None:
        """Cancel all that are being opened."""
        for opening in list(self._opening):
            opening.cancel()

    def abort(self) -> None:
        """Cut running transactions short."""
        for line in list(self.busy):
            line.connection.abort()
