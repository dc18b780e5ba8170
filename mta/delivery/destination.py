"""One destination: the groups that wait for it, its connections, and how many of them there may be.

Groups go out first come, first served. A destination that takes no connection costs one probe for all that waits.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mta.delivery.carriage import Carried, Carrier, Connection
from mta.delivery.job import Group, Owner, Result
from mta.delivery.lines import IdleLines, Line
from mta.delivery.throttle import NewAllowance
from mta.message.outcome import TryLater
from mta.ops.journal import Journal
from mta.routing.route import Plan

#: Transactions over one connection, after which a fresh one is made: remotes count too.
TRANSACTIONS_PER_CONNECTION = 500


class Destination:
    """What waits for, and what runs to, the hosts of one destination."""

    def __init__(
        self,
        name: str,
        new_window: NewAllowance,
        carrier: Carrier,
        owner: Owner,
        *,
        clock: IReactorTime,
        wall: Callable[[], float],
        journal: Journal,
    ) -> None:
        self.name = name
        self._window = new_window(name, self.recheck)
        self._carrier = carrier
        self._owner = owner
        self._clock = clock
        self._wall = wall
        self._journal = journal
        self._plan = Plan(name, ())
        self._waiting: deque[Group] = deque()
        self._busy: set[Line] = set()
        self._idle = IdleLines(clock, self._count)
        self._opening: set[Deferred[Connection | TryLater]] = set()
        #: How many groups have left the line to be carried.
        self.begun = 0
        #: Whether its last transaction went to its end, and nothing failed since.
        self.proven = False
        self._last_trouble: TryLater | None = None
        self._told_until = 0.0
        self._closed = False
        # Whether connections are being given to what waits, and whether something came up meanwhile.
        self._driving = False
        self._once_more = False

    @property
    def waiting(self) -> int:
        """How many groups wait for a connection."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many transactions are under way."""
        return len(self._busy)

    @property
    def connected(self) -> bool:
        """Whether it answers: a connection is open."""
        return bool(self._busy or self._idle)

    @property
    def blocked(self) -> float | None:
        """Until when no connection may be opened, wall-clock seconds, with none open now; None when one may be."""
        return None if self.connected else self._window.blocked(self._wall())

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits, runs, is kept open or asked for."""
        return not (self._waiting or self._busy or self._idle or self._opening or self._window.asked)

    def enter(self, group: Group, plan: Plan) -> None:
        """Queue a group behind the others; it is put off at once while the destination is down.

        `plan` is what routing says now; connections opened from here on follow it.
        """
        self._plan = plan
        self._waiting.append(group)
        self._drive()

    def recheck(self) -> None:
        """Look again at what is allowed, because that has changed."""
        while self._idle and self._window.gives_up(TRANSACTIONS_PER_CONNECTION):
            self._idle.end_oldest()
            self._count()
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
        self._idle.close()
        self._count()

    def abort(self) -> None:
        """Cut running transactions short."""
        for line in list(self._busy):
            line.connection.abort()

    def _drive(self) -> None:
        """Give connections to what waits. Called from within, it is done again after: a crowd would fill the stack."""
        if self._driving:
            self._once_more = True
            return
        self._driving = True
        try:
            self._drive_once()
            while self._once_more:
                self._once_more = False
                self._drive_once()
        finally:
            self._driving = False

    def _drive_once(self) -> None:
        self._use_idle()
        while len(self._waiting) > len(self._opening) and self._window.may_open(
            self._wall(), len(self._busy) + len(self._opening), len(self._waiting)
        ):
            self._open()
            self._use_idle()
        if self._waiting and not (self._busy or self._opening or self._idle or self._window.asked):
            self._put_off_all()
        self._count()

    def _use_idle(self) -> None:
        while self._waiting and (line := self._idle.take()) is not None:
            self._start(line, self._waiting.popleft())

    def _count(self) -> None:
        """Have the window know how many connections there are."""
        self._window.holds(len(self._busy) + len(self._idle) + len(self._opening))

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
        self._rest(Line(result))
        self._drive()

    def _not_opened(self, failure: Failure, opening: "Deferred[Connection | TryLater]") -> None:
        self._opening.discard(opening)
        if failure.check(CancelledError) is None:
            # Our own bug; the mail must not hang on it.
            self._failed(TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0"))

    def _failed(self, trouble: TryLater) -> None:
        self._fault(trouble)
        self._drive()

    def _put_off_all(self) -> None:
        """Nothing runs and nothing may be opened: all that waits is put off until the next probe."""
        now = self._wall()
        until = self._window.blocked(now) or now
        if self._last_trouble is not None and until != self._told_until:
            self._told_until = until
            self._journal.destination_down(self.name, self._last_trouble.text, until)
        trouble = self._last_trouble or self._window.trouble or TryLater("no connection allowed now", status="4.3.2")
        waiting, self._waiting = self._waiting, deque()
        for group in waiting:
            self._put_off(group, trouble, until)

    def _put_off(self, group: Group, trouble: TryLater, until: float) -> None:
        waited = self._clock.seconds() - group.entered
        result = Result(trouble, waited=waited, not_before=until)
        self._owner.concluded(group, {pending.index: result for pending in group.recipients})

    def _start(self, line: Line, group: Group) -> None:
        self._busy.add(line)
        self.begun += 1
        line.used += 1
        started = self._clock.seconds()
        leaving = not any(route.lmtp for route in self._plan.routes)
        group.carry(line.connection, leaving=leaving).addCallbacks(
            self._carried,
            self._crashed,
            callbackArgs=(line, group, started),
            errbackArgs=(line, group, started),
        )

    def _carried(self, carried: Carried, line: Line, group: Group, started: float) -> None:
        self._busy.discard(line)
        if carried.stale and (self._closed or group.job.cancelled):
            self._owner.abandoned(group)
            return
        if carried.stale:
            self._waiting.appendleft(replace(group, unsent=not carried.all_out))
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
            self.proven = True
            self._window.succeeded(self._wall())
            return
        for outcome in carried.outcomes.values():
            if isinstance(outcome, TryLater):
                self._fault(outcome)
                return

    def _fault(self, trouble: TryLater) -> None:
        self.proven = False
        self._last_trouble = trouble
        self._window.failed(self._wall(), len(self._busy) + len(self._idle) + len(self._opening), trouble)

    def _crashed(self, failure: Failure, line: Line, group: Group, started: float) -> None:
        """A bug of ours in a transaction: the connection goes, the mail is tried later."""
        line.connection.abort()
        trouble = TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0")
        outcomes = {pending.index: trouble for pending in group.recipients}
        self._carried(Carried(outcomes), line, group, started)

    def _rest(self, line: Line) -> None:
        """Keep a connection for the next group, for a while."""
        if not line.connection.usable:
            self._count()
        elif self._closed or line.used >= TRANSACTIONS_PER_CONNECTION or self._window.gives_up(line.used):
            line.connection.quit()
            self._count()
        else:
            self._idle.keep(line)
