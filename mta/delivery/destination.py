"""One destination: the groups that wait for it, its connections, and how many of them there may be.

Groups go out first come, first served. A destination that takes no connection costs one probe for all that waits. A
group whose recipients a host did not take goes on to the next host (`mta.delivery.walk`).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mta.delivery.carriage import Carried, Carrier, Connection
from mta.delivery.connections import Connections
from mta.delivery.job import Group, Owner, Result
from mta.delivery.learned import Learned
from mta.delivery.lines import Line
from mta.delivery.throttle import NewAllowance
from mta.delivery.walk import FIRST_STEP, Walk, is_open, sort_out, unsent
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
        self._owner = owner
        self._clock = clock
        self._wall = wall
        self._journal = journal
        self._plan = Plan(name, ())
        self._waiting: deque[Group] = deque()
        # Groups that go on to another host.
        self._walking: deque[Group] = deque()
        self._connections = Connections(carrier, clock, self._count)
        # How many connections are being opened for no group in particular.
        self._coming = 0
        self._learned = Learned()
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
        return len(self._waiting) + len(self._walking)

    @property
    def running(self) -> int:
        """How many transactions are under way."""
        return len(self._connections.busy)

    @property
    def connected(self) -> bool:
        """Whether it answers: a connection is open."""
        return bool(self._connections.busy or self._connections.idle)

    @property
    def blocked(self) -> float | None:
        """Until when no connection may be opened, wall-clock seconds, with none open now; None when one may be."""
        return None if self.connected else self._window.blocked(self._wall())

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits, runs, is kept open or asked for."""
        return not (self.waiting or self._connections.total or self._window.asked)

    def enter(self, group: Group, plan: Plan) -> None:
        """Queue a group behind the others; it is put off at once while the destination is down.

        `plan` is what routing says now; connections opened from here on follow it.
        """
        self._plan = plan
        self._waiting.append(group)
        self._drive()

    def recheck(self) -> None:
        """Look again at what is allowed, because that has changed."""
        idle = self._connections.idle
        while idle and self._window.gives_up(TRANSACTIONS_PER_CONNECTION):
            idle.end_oldest()
            self._count()
        self._drive()

    def unblock(self) -> None:
        """Forget that the destination was down: an operator wants it tried now."""
        self._window.unblock()

    def drop(self, unwanted: Callable[[Group], bool]) -> None:
        """Give back the waiting groups for which `unwanted` is true."""
        dropped = [group for waiting in (self._waiting, self._walking) for group in waiting if unwanted(group)]
        self._waiting = deque(group for group in self._waiting if not unwanted(group))
        self._walking = deque(group for group in self._walking if not unwanted(group))
        for group in dropped:
            self._give_back(group)

    def close(self) -> None:
        """Give back all that waits, and end what idles; running transactions go on."""
        self._closed = True
        self._connections.cancel_openings()
        self.drop(lambda _: True)
        self._connections.idle.close()
        self._count()

    def abort(self) -> None:
        """Cut running transactions short."""
        self._connections.abort()

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
        if self._walking:
            self._go_on()
        while len(self._waiting) > self._coming and self._may_open(len(self._waiting)):
            self._coming += 1
            self._connections.open(self._plan, frozenset(), self._opened)
            self._use_idle()
        if self.waiting and not (self._connections.total or self._window.asked):
            self._put_off_all()
        self._count()

    def _may_open(self, waiting: int) -> bool:
        return self._window.may_open(self._wall(), self._connections.at_work, waiting)

    def _use_idle(self) -> None:
        while self._waiting and (line := self._connections.idle.take()) is not None:
            self._start(line, self._waiting.popleft())

    def _go_on(self) -> None:
        """Give the groups that go on to another host a connection to one that they have not tried."""
        while self._walking:
            walk = _walk_of(self._walking[0])
            if (line := self._connections.idle.take_other(walk.tried)) is not None:
                self._start(line, self._walking.popleft())
            elif not self._goes_on(walk) or self._window.blocked(self._wall()) is not None:
                self._end_walk(self._walking.popleft())
            elif self._may_open(1):
                self._open_for(self._walking.popleft(), walk)
            else:
                return

    def _goes_on(self, walk: Walk) -> bool:
        """Whether there is another host for an attempt, as far as is known."""
        return not self._closed and bool(walk.next_routes(self._plan, self._learned.unreachable(self._clock.seconds())))

    def _count(self) -> None:
        """Have the window know how many connections there are."""
        self._window.holds(self._connections.total)

    def _opened(self, result: Connection | TryLater | None) -> None:
        self._coming -= 1
        if isinstance(result, TryLater):
            self._fault(result)
            self._drive()
        elif result is not None:
            self._rest(self._new_line(result))
            self._drive()

    def _open_for(self, group: Group, walk: Walk) -> None:
        """Open a connection for a group that goes on, to the first host that it has not tried."""
        if self._connections.idle and not self._window.may_open(self._wall(), self._connections.total, 1):
            # It leads to a host that the group has tried, and the window has no place for both.
            self._connections.idle.end_oldest()
        unreachable = self._learned.unreachable(self._clock.seconds())

        def opened(result: Connection | TryLater | None) -> None:
            if result is None:
                self._end_walk(group)
            elif isinstance(result, TryLater):
                routes = walk.next_routes(self._plan, unreachable)
                self._learned.not_reached((route.label for route in routes), self._clock.seconds())
                self._end_walk(replace(group, walk=walk.unreached(result)))
            elif group.job.cancelled:
                self._owner.abandoned(group)
                self._rest(self._new_line(result))
            else:
                self._start(self._new_line(result), group)
            self._drive()

        self._connections.open(self._plan, walk.tried | unreachable, opened)

    def _new_line(self, connection: Connection) -> Line:
        if self._last_trouble is not None:
            self._journal.destination_up(self.name)
            self._last_trouble = None
        return Line(connection)

    def _put_off_all(self) -> None:
        """Nothing runs and nothing may be opened: all that waits is put off until the next probe."""
        now = self._wall()
        until = self._window.blocked(now) or now
        if self._last_trouble is not None and until != self._told_until:
            self._told_until = until
            self._journal.destination_down(self.name, self._last_trouble, until)
        trouble = self._last_trouble or self._window.trouble or TryLater("no connection allowed now", status="4.3.2")
        waiting, self._waiting = self._waiting, deque()
        for group in waiting:
            self._put_off(group, trouble, until)

    def _put_off(self, group: Group, trouble: TryLater, until: float) -> None:
        waited = self._clock.seconds() - group.entered
        result = Result(trouble, waited=waited, not_before=until)
        self._owner.concluded(group, {pending.index: result for pending in group.recipients})

    def _give_back(self, group: Group) -> None:
        """Take no further step for a group. What a host said is recorded, unless an operator took the message away."""
        if group.walk is None or group.job.cancelled:
            self._owner.abandoned(group)
        else:
            self._end_walk(group)

    def _end_walk(self, group: Group) -> None:
        """Conclude an attempt by the last answers: no other host can be asked now."""
        walk = _walk_of(group)
        answers = {pending.index: walk.answers[pending.index] for pending in group.recipients}
        if not walk.answered:
            self._fault(next(iter(answers.values())))
        until = self._window.blocked(self._wall()) or 0.0
        waited = self._clock.seconds() - group.entered
        results = {index: Result(answer, waited, not_before=until) for index, answer in answers.items()}
        self._owner.concluded(group, results)

    def _start(self, line: Line, group: Group) -> None:
        if len(group.recipients) > self._learned.recipients:
            group = self._cut(group, self._learned.recipients_now(self._clock.seconds()))
        self._connections.busy.add(line)
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

    def _cut(self, group: Group, most: int) -> Group:
        """Return a group of the first recipients, at `most` so many; the rest waits as a group of its own."""
        if len(group.recipients) <= most:
            return group
        self._again(group.part(group.recipients[most:]))
        return replace(group, recipients=group.recipients[:most])

    def _carried(self, carried: Carried, line: Line, group: Group, started: float) -> None:
        self._connections.busy.discard(line)
        if carried.stale:
            self._use_another(carried, group)
            return
        transfer = self._clock.seconds() - started
        waited = started - group.entered
        security = line.connection.security
        if carried.excess is None and not any(map(is_open, carried.outcomes.values())):
            self._judge(line.connection, carried)
        else:
            group = self._send_on(carried, line, group)
        self._rest(line)
        if self.waiting:
            self._drive()
        outcomes = carried.outcomes
        results = {
            pending.index: Result(outcomes[pending.index], waited, transfer, security) for pending in group.recipients
        }
        self._owner.concluded(group, results)

    def _use_another(self, carried: Carried, group: Group) -> None:
        """Give a group another connection, because the kept one was dead."""
        if self._closed or group.job.cancelled:
            self._give_back(group)
            return
        indexes = (pending.index for pending in group.recipients)
        self._again(replace(group, unsent=frozenset(() if carried.all_out else indexes)))
        self._drive()

    def _send_on(self, carried: Carried, line: Line, group: Group) -> Group:
        """Have recipients that are neither taken nor refused go on; return a group of those that have their outcome."""
        parts, connection = sort_out(group.recipients, carried), line.connection
        not_sent = unsent(carried)
        if carried.excess is not None:
            self._learned.recipients_refused(carried.excess.limit, self._clock.seconds())
            self._again(replace(group.part(parts.excess), unsent=not_sent))
        walk = (group.walk or FIRST_STEP).after(connection.tried, carried, usable=connection.usable)
        goes_on = bool(parts.undecided) and not group.job.cancelled and self._goes_on(walk)
        if goes_on:
            self._walking.append(replace(group.part(parts.undecided), unsent=not_sent, walk=walk))
        if connection.usable or not (goes_on or walk.answered):
            self._judge(connection, carried)
        return replace(group, recipients=parts.decided if goes_on else parts.decided + parts.undecided)

    def _again(self, group: Group) -> None:
        """Put a group before all others that wait."""
        (self._waiting if group.walk is None else self._walking).appendleft(group)
        if self._closed or group.job.cancelled:
            self.drop(lambda each: each is group)

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
        self._window.failed(self._wall(), self._connections.total, trouble)

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
            self._connections.idle.keep(line)


def _walk_of(group: Group) -> Walk:
    assert group.walk is not None, "a host has answered the group"
    return group.walk
