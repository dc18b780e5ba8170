"""The connections of one destination: those that are busy, those that are idle, and those that are being opened.

An idle connection is kept open for the next message for a few seconds.
"""

from collections.abc import Callable, Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.host_limits import TRANSACTIONS_PER_CONNECTION, HostLimits
from mta.delivery.destinations.window import SendWindow
from mta.delivery.remote.interface import Connection, Connector
from mta.message.outcome import TryLater
from mta.routing.route import Plan

#: Seconds a connection is kept open for the next message.
IDLE_SECONDS = 5.0


class PooledConnection:
    """A connection with the number of its transactions and the time since when it is idle."""

    __slots__ = ("idle_since", "opened", "session", "used")

    def __init__(self, session: Connection, opened: float) -> None:
        self.session = session
        #: When it was opened, on the reactor's clock.
        self.opened = opened
        #: The transactions that it was given.
        self.used = 0
        self.idle_since = 0.0


class IdlePool:
    """The idle connections, those that are idle for longest first. Each is ended after a while."""

    def __init__(self, clock: IReactorTime, end: Callable[[Connection], None], ended: Callable[[], object]) -> None:
        """`end` ends a connection; `ended` is called after some were ended that had been idle for too long."""
        self._clock = clock
        self._end = end
        self._ended = ended
        self._connections: list[PooledConnection] = []
        self._sweeper: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[PooledConnection]:
        return iter(self._connections)

    def take(self) -> PooledConnection | None:
        """Return the usable connection that became idle last; drop those that were lost meanwhile."""
        while self._connections:
            connection = self._connections.pop()
            if connection.session.usable:
                return connection
        return None

    def take_other(self, tried: frozenset[str]) -> PooledConnection | None:
        """Return such a connection to a host whose label is not in `tried`."""
        for place in range(len(self._connections) - 1, -1, -1):
            session = self._connections[place].session
            if session.usable and session.peer not in tried:
                return self._connections.pop(place)
        return None

    def keep(self, connection: PooledConnection) -> None:
        """Keep a usable connection for the next message."""
        connection.idle_since = self._clock.seconds()
        self._connections.append(connection)
        if self._sweeper is None:
            self._sweeper = self._clock.callLater(IDLE_SECONDS, self._sweep)

    def end_oldest(self) -> None:
        """End the connection that is idle for longest."""
        self._end(self._connections.pop(0).session)

    def close(self) -> None:
        """End all connections."""
        connections, self._connections = self._connections, []
        for connection in connections:
            self._end(connection.session)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._clock.seconds()
        usable = [connection for connection in self._connections if connection.session.usable]
        old = [connection for connection in usable if _idle_until(connection) <= now]
        self._connections = usable[len(old) :]
        for connection in old:
            self._end(connection.session)
        if self._connections:
            self._sweeper = self._clock.callLater(_idle_until(self._connections[0]) - now, self._sweep)
        self._ended()


def _idle_until(connection: PooledConnection) -> float:
    """Return when a connection has been idle for long enough.

    The timer and the sweep both use this one sum, because a difference by rounding could leave a connection for ever.
    """
    return connection.idle_since + IDLE_SECONDS


#: Gets the result of an opening; None when it was cancelled.
Opened = Callable[[Connection | TryLater | None], None]


class ConnectionPool:
    """Opens connections, as many as the window allows, and keeps them for the next transaction."""

    def __init__(
        self,
        name: str,
        connector: Connector,
        window: SendWindow,
        host_limits: HostLimits,
        context: DeliveryContext,
        *,
        down: Callable[[], object] | None = None,
    ) -> None:
        """With `down` a connection that is being ended counts until it is down, and then `down` is called."""
        self._connector = connector
        self._window = window
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        self.host_limits = host_limits
        #: The routing of the destination, as it was told last. Connections are opened by it.
        self.plan = Plan(name, ())
        self._opening: set[Deferred[Connection | TryLater]] = set()
        self.busy: set[PooledConnection] = set()
        self.idle = IdlePool(context.clock, self.end, self.count)
        self._down = down
        # The connections that are being ended, if they count.
        self._ending = 0
        #: Whether no connection is kept or opened any more.
        self.closed = False

    @property
    def total(self) -> int:
        """How many connections there are, including those being opened."""
        return len(self.busy) + len(self._opening) + len(self.idle) + self._ending

    def may_open(self, waiting: int) -> bool:
        """Whether a connection may be opened for so many groups that wait."""
        open_connections = len(self.busy) + len(self._opening) + self._ending
        return self._window.may_open(self._wall_clock(), open_connections, waiting)

    def open(self, tried: frozenset[str], opened: Opened) -> None:
        """Open a connection by the routes that are not in `tried`; `opened` gets the result, perhaps at once."""
        opening = self._connector.open(self.plan, tried)
        self._opening.add(opening)

        def succeeded(result: Connection | TryLater) -> None:
            self._opening.discard(opening)
            opened(result)

        def failed(failure: Failure) -> None:
            self._opening.discard(opening)
            if failure.check(CancelledError):
                opened(None)
            else:
                # A bug in the relay must not hold the mail.
                opened(TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0"))

        opening.addCallbacks(succeeded, failed)

    def start(self, connection: PooledConnection) -> None:
        """Count a connection as busy with a transaction, until `keep`."""
        self.busy.add(connection)
        connection.used += 1

    def keep(self, connection: PooledConnection, *, wanted: bool = True) -> None:
        """Keep a connection for the next transaction, for a while, or end it if it has done enough.

        If it is not `wanted` now, because no group waits, it is ended as soon as another worker waits for it.
        """
        usable = connection.session.usable
        used = connection.used if wanted else TRANSACTIONS_PER_CONNECTION
        if usable and not (self.closed or self._window.should_release(used) or self._is_used_up(connection)):
            self.idle.keep(connection)
            return
        if usable:
            self.end(connection.session)
        self.count()

    def end(self, session: Connection) -> None:
        """End a session that runs no transaction."""
        if self._down is not None:
            self._ending += 1
            session.when_down(self._is_down)
        session.quit()

    def count(self) -> None:
        """Tell the window how many connections there are."""
        self._window.set_open(self.total)

    def passed_over(self) -> frozenset[str]:
        """Return the labels of the routes that no connection is opened to for now."""
        return self.host_limits.passed_over(self._clock.seconds())

    def end_surplus(self) -> None:
        """End idle connections that another worker needs."""
        while self.idle and self._window.should_release(TRANSACTIONS_PER_CONNECTION):
            self.idle.end_oldest()
            self.count()

    def close(self) -> None:
        """Cancel the connections being opened; transactions that are running go on. `idle` is closed by itself."""
        self.closed = True
        for opening in list(self._opening):
            opening.cancel()

    def abort(self) -> None:
        """Cut running transactions short."""
        for connection in list(self.busy):
            connection.session.abort()

    def _is_down(self) -> None:
        self._ending -= 1
        # Another worker may have waited longer for the connection.
        self.count()
        if self._down is not None:
            self._down()

    def _is_used_up(self, connection: PooledConnection) -> bool:
        """Whether a connection has carried as many messages as it may, or there are too many connections."""
        limits, used = self.host_limits, connection.used
        if used >= limits.messages and used >= limits.messages_now(self._clock.seconds()):
            return True
        return self._window.limited and self._window.excess(self.total + 1)
