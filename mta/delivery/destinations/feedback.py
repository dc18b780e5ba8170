"""The consequences that the answers of one destination have for its window, its pace and the limits of its hosts."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from mta.delivery.destinations.host_limits import HostLimits
from mta.delivery.destinations.pacer import Pacer
from mta.delivery.destinations.pool import ConnectionPool, PooledConnection
from mta.delivery.destinations.window import LimitRefusal, SendWindow
from mta.delivery.remote.interface import Connection, TransactionResult
from mta.delivery.remote.walk import Walk
from mta.delivery.replies.throttle_table import LimitKind
from mta.delivery.replies.throttling import Throttle, throttle_of
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater

#: Transactions over one connection, after which a fresh one is made: remotes count too.
TRANSACTIONS_PER_CONNECTION = 500


class Feedback:
    """Passes the answers of a destination on to its window, its pace and the limits of its hosts."""

    def __init__(
        self,
        name: str,
        window: SendWindow,
        connections: ConnectionPool,
        look_again: Callable[[], object],
        *,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        event_log: EventLog,
    ) -> None:
        """`look_again` is called when a transaction may begin that might not before."""
        self._name = name
        self._window = window
        self._connections = connections
        self._clock = clock
        self._wall_clock = wall_clock
        self._event_log = event_log
        self.host_limits = HostLimits(TRANSACTIONS_PER_CONNECTION)
        self.pacer = Pacer(name, window, look_again, clock=clock, wall_clock=wall_clock, event_log=event_log)
        #: Whether the last transaction went to its end, and nothing failed since.
        self.proven = False
        #: The last failure, until a connection is opened again.
        self.trouble: TryLater | None = None
        self._told_until = 0.0

    def answered(self, line: PooledConnection, carried: TransactionResult, started: float) -> None:
        """Take a transaction that `started` then, on the reactor's clock; one that ended the session is a failure."""
        if line.connection.usable:
            self.proven = True
            self._window.succeeded(self._wall_clock(), self._began(started) if self._window.paced else 0.0)
            if self.pacer.told:
                self.pacer.answered()
            return
        self.ended(started)
        trouble = next((each for each in carried.outcomes.values() if isinstance(each, TryLater)), None)
        if trouble is not None:
            self.failed(trouble)

    def ended(self, started: float) -> None:
        """Take the end, without an answer, of a transaction that `started` then: a probe of the pace is repeated."""
        self._window.ended(self._wall_clock(), self._began(started))

    def not_opened(self, trouble: TryLater, began: float) -> None:
        """Take the failure to open a connection for any message, begun at this wall-clock time."""
        throttle = throttle_of(trouble)
        if throttle is not None:
            self._refused(throttle, trouble, began, others=self._connections.total)
        else:
            self.failed(trouble)
            self._window.ended(self._wall_clock(), began)

    def opened(self, connection: Connection) -> PooledConnection:
        """Take a connection that was opened."""
        if self.trouble is not None:
            self._event_log.destination_up(self._name)
            self.trouble = None
        return PooledConnection(connection, self._clock.seconds())

    def down(self) -> tuple[TryLater, float]:
        """Return why nothing goes to the destination, and until when, wall-clock seconds; the operator hears once."""
        now = self._wall_clock()
        until = self._window.blocked(now) or now
        if self.trouble is not None and until != self._told_until:
            self._told_until = until
            self._event_log.destination_down(self._name, self.trouble, until)
        none_allowed = TryLater("no connection allowed now", status="4.3.2")
        return self.trouble or self._window.trouble or none_allowed, until

    def failed(self, trouble: TryLater) -> None:
        """Take a failure of the destination: no connection, or a session that ended."""
        self.proven = False
        self.trouble = trouble
        self._window.failed(self._wall_clock(), self._connections.total, trouble)

    def found_dead(self, line: PooledConnection, started: float) -> None:
        """Take a kept connection that turned out to be dead when a transaction began."""
        self.host_limits.closed(line.used - 1, self._clock.seconds())
        self.ended(started)

    def undecided(
        self, line: PooledConnection, carried: TransactionResult, started: float, walk: Walk, *, goes_on: bool
    ) -> None:
        """Take a transaction that left recipients without a final answer; `walk` includes it.

        `goes_on` tells that another host is asked.
        """
        limit = next(filter(throttle_of, carried.outcomes.values()), None)
        if isinstance(limit, TryLater):
            self._limited(limit, line, started, goes_on=goes_on)
        elif line.connection.usable or not (goes_on or walk.answered):
            self.answered(line, carried, started)
        elif not goes_on:
            self.ended(started)

    def walk_ended(self, walk: Walk) -> None:
        """Take the end of an attempt after which no other host can be asked."""
        if walk.limits:
            self._walk_limited(next(iter(walk.limits.values())))
        else:
            self.ended(self._clock.seconds())
        if not walk.answered:
            self.failed(next(iter(walk.answers.values())))

    def _limited(self, limit: TryLater, line: PooledConnection, started: float, *, goes_on: bool) -> None:
        """Take a refusal because of a limit; another host, if the walk `goes_on`, may have room."""
        throttle = throttle_of(limit)
        assert throttle is not None, "the reply tells of a limit"
        now = self._clock.seconds()
        if throttle.kind is LimitKind.MESSAGES and line.used > 1:
            self.host_limits.messages_refused(line.used - 1, now)
            self.ended(started)
        elif goes_on and throttle.kind is not LimitKind.CONNECTIONS:
            self.host_limits.pass_over((line.connection.peer,), now)
            # The next message goes to the other host at once.
            line.connection.quit()
        else:
            self._refused(throttle, limit, self._began(started), line)

    def _walk_limited(self, limit: TryLater) -> None:
        """Take the end of an attempt in which hosts refused because of a limit, and no other was reached."""
        throttle = throttle_of(limit)
        assert throttle is not None, "the reply tells of a limit"
        if throttle.kind is not LimitKind.CONNECTIONS:
            self._refused(throttle, limit, self._wall_clock())

    def enough(self, line: PooledConnection) -> bool:
        """Whether a connection has carried as many messages as it may, or there are too many connections."""
        if line.used >= self.host_limits.messages and line.used >= self.host_limits.messages_now(self._clock.seconds()):
            return True
        return self._window.limited and self._window.excess(self._connections.total + 1)

    def _refused(
        self,
        throttle: Throttle,
        reply: TryLater,
        began: float,
        line: PooledConnection | None = None,
        others: int | None = None,
    ) -> None:
        """Have the window or the pace follow a refusal, of a transaction over a line that is not busy any more."""
        busy = self._connections.busy
        lines = [*busy, *self._connections.idle, *(() if line is None else (line,))]
        accepted = sum(each.used for each in lines) - len(busy) - (line is not None)
        now = self._clock.seconds()
        refusal = LimitRefusal(
            # A limit of one connection that refuses its first message: only time helps.
            LimitKind.RATE if throttle.kind is LimitKind.MESSAGES else throttle.kind,
            throttle.wait,
            began,
            len(busy) if others is None else others,
            self._connections.total,
            accepted,
            now - min((each.opened for each in lines), default=now),
        )
        self.pacer.refused(refusal, reply)

    def _began(self, started: float) -> float:
        """Return the wall-clock time of a time on the reactor's clock."""
        return self._wall_clock() - (self._clock.seconds() - started)
