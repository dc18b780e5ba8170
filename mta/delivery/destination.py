"""One destination: the groups that wait for it, its connections, and how many of them there may be.

Groups go out first come, first served. A destination that takes no connection costs one probe for all that waits.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mta.delivery.carriage import Carried, Carrier, Connection
from mta.delivery.job import Group, Owner, Result
from mta.delivery.throttle import Window
from mta.message.outcome import TryLater
from mta.ops.journal import Journal
from mta.routing.route import Plan

#: Seconds a connection is kept open for the next message.
IDLE_SECONDS = 5.0
#: Transactions over one connection, after which a fresh one is made: remotes count too.
TRANSACTIONS_PER_CONNECTION = 500


class _Line:
    """A connection with its count of transactions and the time since when it idles."""

    __slots__ = ("connection", "idle_since", "used")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.used = 0
        self.idle_since = 0.0


class Destination:
    """What waits for, and what runs to, the hosts of one destination."""

    def __init__(
        self,
        name: str,
        window: Window,
        carrier: Carrier,
        owner: Owner,
        *,
        clock: IReactorTime,
        wall: Callable[[], float],
        journal: Journal,
    ) -> None:
        self.name = name
        self._window = window
        self._carrier = carrier
        self._owner = owner
        self._clock = clock
        self._wall = wall
        self._journal = journal
        self._plan = Plan(name, ())
        self._waiting: deque[Group] = deque()
        self._busy: set[_Line] = set()
        self._idle: list[_Line] = []
        self._opening: set[Deferred[Connection | TryLater]] = set()
        self._sweeper: IDelayedCall | None = None
        self._last_trouble: TryLater | None = None
        self._told_until = 0.0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many groups wait for a connection."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many transactions are under way."""
        return len(self._busy)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits, runs or is kept open, and nothing is held against it."""
        return self._window.forgettable and not (self._waiting or self._busy or self._idle or self._opening)

    def enter(self, group: Group, plan: Plan) -> None:
        """Queue a group behind the others; it is put off at once while the destination is down.

        `plan` is what routing says now; connections opened from here on follow it.
        """
        self._plan = plan
        self._waiting.append(group)
        self._drive()

    def unblock(self) -> None:
        """Forget that the destination was down: an operator wants it tried now."""
        self._window.unblock()

    def drop(self, unwanted: Callable[[Group], bool]) -> None:
        """Give back the waiting groups for which `unwanted` is true."""
        dropped = [group for group in self._waiting if unwanted(group)]
        self._waiting = deque(group for group in self._waiting if not unwanted(group))
        for group in dropped:
            self._owner.abandoned(group)

    def close(self) -> None:
        """Give back all that waits, and end what idles; running transactions go on."""
        self._closed = True
        for opening in list(self._opening):
            opening.cancel()
        self.drop(lambda _: True)
        idle, self._idle = self._idle, []
        for line in idle:
            line.connection.quit()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def abort(self) -> None:
        """Cut running transactions short."""
        for line in list(self._busy):
            line.connection.abort()

    def _drive(self) -> None:
        while self._waiting:
            line = self._usable_line()
            if line is None:
                break
            self._start(line, self._waiting.popleft())
        connections = len(self._busy) + len(self._opening)
        while len(self._waiting) > len(self._opening) and self._window.may_open(
            self._wall(), connections, len(self._waiting)
        ):
            self._open()
            connections = len(self._busy) + len(self._opening)
        if self._waiting and not (self._busy or self._opening or self._idle):
            self._put_off_all()

    def _usable_line(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.connection.usable:
                return line
        return None

    def _open(self) -> None:
        opening = self._carrier.open(self._plan)
        self._opening.add(opening)
        opening.addCallbacks(self._opened, self._not_opened, callbackArgs=(opening,), errbackArgs=(opening,))

    def _opened(self, result: Connection | TryLater, opening: "Deferred[Connection | TryLater]") -> None:
        self._opening.discard(opening)
        if isinstance(result, TryLater):
            self._failed(result)
            return
        if self._last_trouble is not None:
            self._journal.destination_up(self.name)
            self._last_trouble = None
        self._rest(_Line(result))
        self._drive()

    def _not_opened(self, failure: Failure, opening: "Deferred[Connection | TryLater]") -> None:
        self._opening.discard(opening)
        if failure.check(CancelledError) is None:
            # Our own bug; the mail must not hang on it.
            self._failed(TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0"))

    def _failed(self, trouble: TryLater) -> None:
        self._last_trouble = trouble
        self._window.failed(self._wall(), len(self._busy) + len(self._idle) + len(self._opening))
        self._drive()

    def _put_off_all(self) -> None:
        """Nothing runs and nothing may be opened: all that waits is put off until the next probe."""
        now = self._wall()
        until = self._window.blocked(now) or now
        trouble = self._last_trouble or TryLater("no connection allowed now", status="4.3.2")
        if until != self._told_until:
            self._told_until = until
            self._journal.destination_down(self.name, trouble.text, until)
        waiting, self._waiting = self._waiting, deque()
        for group in waiting:
            self._put_off(group, trouble, until)

    def _put_off(self, group: Group, trouble: TryLater, until: float) -> None:
        waited = self._clock.seconds() - group.entered
        result = Result(trouble, waited=waited, not_before=until)
        self._owner.concluded(group, {pending.index: result for pending in group.recipients})

    def _start(self, line: _Line, group: Group) -> None:
        self._busy.add(line)
        line.used += 1
        started = self._clock.seconds()
        leaving = not any(route.lmtp for route in self._plan.routes)
        group.carry(line.connection, leaving=leaving).addCallbacks(
            self._carried,
            self._crashed,
            callbackArgs=(line, group, started),
            errbackArgs=(line, group, started),
        )

    def _carried(self, carried: Carried, line: _Line, group: Group, started: float) -> None:
        self._busy.discard(line)
        if carried.stale and self._closed:
            self._owner.abandoned(group)
            return
        if carried.stale:
            self._waiting.appendleft(group)
            self._drive()
            return
        transfer = self._clock.seconds() - started
        waited = started - group.entered
        security = line.connection.security
        self._judge(line.connection, carried)
        self._rest(line)
        if self._waiting:
            self._drive()
        results = {index: Result(outcome, waited, transfer, security) for index, outcome in carried.outcomes.items()}
        self._owner.concluded(group, results)

    def _judge(self, connection: Connection, carried: Carried) -> None:
        """Let the window grow or shrink by what a transaction showed of the destination."""
        if connection.usable:
            self._window.succeeded(self._wall())
            return
        for outcome in carried.outcomes.values():
            if isinstance(outcome, TryLater):
                self._last_trouble = outcome
                self._window.failed(self._wall(), len(self._busy) + len(self._idle) + len(self._opening))
                return

    def _crashed(self, failure: Failure, line: _Line, group: Group, started: float) -> None:
        """A bug of ours in a transaction: the connection goes, the mail is tried later."""
        line.connection.abort()
        trouble = TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0")
        outcomes = {pending.index: trouble for pending in group.recipients}
        self._carried(Carried(outcomes), line, group, started)

    def _rest(self, line: _Line) -> None:
        """Keep a connection for the next group, for a while."""
        if not line.connection.usable:
            return
        if self._closed or line.used >= TRANSACTIONS_PER_CONNECTION:
            line.connection.quit()
            return
        line.idle_since = self._clock.seconds()
        self._idle.append(line)
        if self._sweeper is None:
            self._sweeper = self._clock.callLater(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """End the connections that idled too long; the list is oldest first."""
        self._sweeper = None
        now = self._clock.seconds()
        keep = [line for line in self._idle if line.connection.usable]
        old = [line for line in keep if now - line.idle_since >= IDLE_SECONDS]
        self._idle = keep[len(old) :]
        for line in old:
            line.connection.quit()
        if self._idle:
            self._sweeper = self._clock.callLater(self._idle[0].idle_since + IDLE_SECONDS - now, self._sweep)
