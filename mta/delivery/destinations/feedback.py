"""Changes the window, the pace and the host limits of one destination after each answer of a host.

Times named `started` are on the reactor's clock; the window is given wall-clock seconds.
"""

from collections.abc import Callable

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.pacer import Pacer
from mta.delivery.destinations.pool import ConnectionPool, PooledConnection
from mta.delivery.destinations.window import LimitRefusal, SendWindow
from mta.delivery.remote.interface import Connection, TransactionResult
from mta.delivery.remote.walk import Walk
from mta.delivery.replies.throttle_table import LimitKind
from mta.delivery.replies.throttling import Throttle, throttle_of
from mta.message.outcome import TryLater


class Feedback:
    """Takes the results of openings, transactions and attempts."""

    def __init__(
        self,
        name: str,
        window: SendWindow,
        pool: ConnectionPool,
        schedule: Callable[[], object],
        context: DeliveryContext,
    ) -> None:
        """`schedule` is called when a transaction may begin that might not before."""
        self._name = name
        self._window = window
        self._pool = pool
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        self._event_log = context.event_log
        self._host_limits = pool.host_limits
        self.pacer = Pacer(name, window, schedule, context)
        #: Whether the last transaction went to its end, and no failure came since.
        self.last_delivery_ok = False
        #: The last failure; None once a connection was opened.
        self.trouble: TryLater | None = None
        #: The failures since a connection was last opened.
        self.failures = 0
        self._told_until = 0.0

    def answered(self, connection: PooledConnection, result: TransactionResult, started: float) -> None:
        """Take a transaction that was answered. If it ended the session, it counts as a failure of the destination."""
        if connection.session.usable:
            self.last_delivery_ok = True
            self._window.succeeded(self._wall_clock(), self._began(started) if self._window.paced else 0.0)
            if self.pacer.told:
                self.pacer.answered()
            return
        self.ended(started)
        trouble = next((each for each in result.outcomes.values() if isinstance(each, TryLater)), None)
        if trouble is not None:
            self.failed(trouble)

    def ended(self, started: float) -> None:
        """Take a transaction that ended without an answer, so that a probe of the pace is repeated."""
        self._window.ended(self._wall_clock(), self._began(started))

    def not_opened(self, trouble: TryLater, began: float) -> None:
        """Take the failure to open a connection; `began` is when the opening began, wall-clock seconds."""
        throttle = throttle_of(trouble)
        if throttle is not None:
            self._refused(throttle, trouble, began, others=self._pool.total)
        else:
            self.failed(trouble)
            self._window.ended(self._wall_clock(), began)

    def opened(self, connection: Connection) -> PooledConnection:
        """Return an opened connection for the pool; log that the destination is up if it was not."""
        if self.trouble is not None:
            self._event_log.destination_up(self._name)
            self.trouble = None
            self.failures = 0
        now = self._clock.seconds()
        self._pool.host_limits.offered(*connection.limits, now)
        return PooledConnection(connection, now)

    def down(self) -> tuple[TryLater, float]:
        """Return why the destination takes no mail, and until when, wall-clock seconds; log it once a penalty."""
        now = self._wall_clock()
        until = self._window.blocked(now) or now
        if self.trouble is not None and until != self._told_until:
            self._told_until = until
            self._event_log.destination_down(self._name, self.trouble, until)
        none_allowed = TryLater("no connection allowed now", status="4.3.2")
        return self.trouble or self._window.trouble or none_allowed, until

    def failed(self, trouble: TryLater) -> None:
        """Take a failure of the destination: no connection, or a session that ended."""
        self.last_delivery_ok = False
        self.trouble = trouble
        self.failures += 1
        self._window.failed(self._wall_clock(), self._pool.total, trouble)

    def found_dead(self, connection: PooledConnection, started: float) -> None:
        """Take a transaction on an idle connection that the host had closed."""
        self._host_limits.closed(connection.used - 1, self._clock.seconds())
        self.ended(started)

    def undecided(
        self, connection: PooledConnection, result: TransactionResult, started: float, walk: Walk, *, goes_on: bool
    ) -> None:
        """Take a transaction that left recipients without a final answer.

        `walk` includes the transaction; `goes_on` says that these recipients go on to another host.
        """
        limit = next(filter(throttle_of, result.outcomes.values()), None)
        if isinstance(limit, TryLater):
            self._limited(limit, connection, started, goes_on=goes_on)
        elif connection.session.usable or not (goes_on or walk.answered):
            self.answered(connection, result, started)
        elif not goes_on:
            self.ended(started)

    def walk_ended(self, walk: Walk) -> None:
        """Take the end of an attempt that no other host can take further."""
        if walk.limits:
            self._walk_limited(next(iter(walk.limits.values())))
        else:
            self.ended(self._clock.seconds())
        if not walk.answered:
            self.failed(next(iter(walk.answers.values())))

    def _limited(self, limit: TryLater, connection: PooledConnection, started: float, *, goes_on: bool) -> None:
        """Take a refusal because of a limit; if the attempt `goes_on`, another host may have room."""
        throttle = throttle_of(limit)
        assert throttle is not None, "the reply tells of a limit"
        now = self._clock.seconds()
        if throttle.kind is LimitKind.MESSAGES and connection.used > 1:
            self._host_limits.messages_refused(connection.used - 1, now)
            self.ended(started)
        elif goes_on and throttle.kind is not LimitKind.CONNECTIONS:
            self._host_limits.pass_over((connection.session.peer,), now)
            # Without this connection the next message goes to the other host at once.
            self._pool.end(connection.session)
        else:
            self._refused(throttle, limit, self._began(started), connection)

    def _walk_limited(self, limit: TryLater) -> None:
        """Take the end of an attempt in which a host refused because of a limit and no other was reached."""
        throttle = throttle_of(limit)
        assert throttle is not None, "the reply tells of a limit"
        if throttle.kind is not LimitKind.CONNECTIONS:
            self._refused(throttle, limit, self._wall_clock())

    def _refused(
        self,
        throttle: Throttle,
        reply: TryLater,
        began: float,
        connection: PooledConnection | None = None,
        others: int | None = None,
    ) -> None:
        """Change the window or the pace after a refusal of a transaction; its connection is not busy any more."""
        busy = self._pool.busy
        connections = [*busy, *self._pool.idle, *(() if connection is None else (connection,))]
        accepted = sum(each.used for each in connections) - len(busy) - (connection is not None)
        now = self._clock.seconds()
        refusal = LimitRefusal(
            # A connection that refuses its first message has no limit of messages: only time helps.
            LimitKind.RATE if throttle.kind is LimitKind.MESSAGES else throttle.kind,
            throttle.wait,
            began,
            len(busy) if others is None else others,
            self._pool.total,
            accepted,
            now - min((each.opened for each in connections), default=now),
        )
        self.pacer.refused(refusal, reply)

    def _began(self, started: float) -> float:
        """Return the wall-clock time of a time on the reactor's clock."""
        return self._wall_clock() - (self._clock.seconds() - started)
