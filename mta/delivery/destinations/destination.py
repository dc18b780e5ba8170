"""One destination: the groups that wait for it, its connections, and how many of them there may be.

Groups go out first come, first served. A destination that takes no connection costs one probe for all mail that waits.
A group whose recipients a host neither took nor refused for good goes on to the next host
(`mta.delivery.remote.walk`). Each answer goes to `mta.delivery.destinations.feedback`, which changes the limits of the
destination.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mta.delivery.destinations.feedback import TRANSACTIONS_PER_CONNECTION, Feedback
from mta.delivery.destinations.pool import ConnectionPool, PooledConnection
from mta.delivery.destinations.waiting import CoalescedCalls, WaitingGroups
from mta.delivery.destinations.window import NewWindow
from mta.delivery.job import Group, Owner, RecipientResult
from mta.delivery.remote.interface import Connection, Connector, TransactionResult
from mta.delivery.remote.walk import Walk, is_open, sort_out, unsent, untried
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.queue.interface import Pending
from mta.routing.route import Plan


class Destination:
    """What waits for, and what runs to, the hosts of one destination."""

    def __init__(
        self,
        name: str,
        new_window: NewWindow,
        carrier: Connector,
        owner: Owner,
        *,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        event_log: EventLog,
    ) -> None:
        self.name = name
        self._window = new_window(name, self.recheck)
        self._owner = owner
        self._clock = clock
        self._wall_clock = wall_clock
        self._plan = Plan(name, ())
        self._groups = WaitingGroups()
        self._connections = ConnectionPool(carrier, clock, self._count)
        # Gives connections to the groups that wait.
        self._drive = CoalescedCalls(self._drive_once)
        # How many connections are being opened for no group in particular.
        self._coming = 0
        self._feedback = Feedback(
            name, self._window, self._connections, self._drive, clock=clock, wall_clock=wall_clock, event_log=event_log
        )
        self._host_limits = self._feedback.host_limits
        self._pacer = self._feedback.pacer
        #: How many groups have left the line to be carried.
        self.begun = 0
        self._closed = False

    @property
    def proven(self) -> bool:
        """Whether its last transaction went to its end, and nothing failed since."""
        return self._feedback.proven

    @property
    def waiting(self) -> int:
        """How many groups wait for a connection."""
        return len(self._groups)

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
        return None if self.connected else self._window.blocked(self._wall_clock())

    @property
    def paced(self) -> bool:
        """Whether it throttles, so that messages begin by a pace."""
        return self._window.paced

    @property
    def long_wait(self) -> bool:
        """Whether one more message would wait too long for the pace to stay in memory."""
        return self._window.paced and self.waiting >= self._pacer.places()

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits, runs, is kept open or asked for."""
        return not (self.waiting or self._connections.total or self._window.asked)

    def enter(self, group: Group, plan: Plan) -> None:
        """Queue a group behind the others; it is put off at once while the destination is down.

        `plan` is what routing says now; connections opened from here on follow it.
        """
        self._plan = plan
        self._groups.fresh.append(group)
        self._drive()

    def turn(self) -> float:
        """Return when a message is to come again that would wait too long for the pace, wall-clock seconds."""
        return self._pacer.turn(self.waiting)

    def overdue(self, group: Group) -> None:
        """Conclude a group that has waited too long for the pace."""
        self._put_off(group, self._pacer.reason, self._pacer.turn(self.waiting))

    def recheck(self) -> None:
        """Look again at what is allowed, because that has changed."""
        idle = self._connections.idle
        while idle and self._window.gives_up(TRANSACTIONS_PER_CONNECTION):
            idle.end_oldest()
            self._count()
        self._drive()

    def unblock(self) -> None:
        """Forget that the destination was down, or has a pace: an operator wants it tried now."""
        self._window.unblock()
        if self._window.paced:
            self._drive()

    def drop(self, unwanted: Callable[[Group], bool]) -> None:
        """Give back the waiting groups for which `unwanted` is true."""
        for group in self._groups.take_out(unwanted):
            self._give_back(group)

    def close(self) -> None:
        """Give back all that waits, and end what idles; running transactions go on."""
        self._closed = True
        self._connections.cancel_openings()
        self._pacer.close()
        self.drop(lambda _: True)
        self._connections.idle.close()
        self._count()

    def abort(self) -> None:
        """Cut running transactions short."""
        self._connections.abort()

    def _drive_once(self) -> None:
        # Before the fresh groups, because they came earlier.
        if self._groups.walking:
            self._serve_walking()
        if self._groups.fresh or self._groups.walking:
            self._serve_fresh()
        if self._window.paced and not self._groups.fresh:
            self._window.needs_no_start()
        self._count()

    def _serve_fresh(self) -> None:
        """Give connections to the groups that take any, or put them off if the destination is down."""
        self._use_idle()
        while len(self._groups.fresh) > self._coming and self._may_open_any():
            self._open()
            self._use_idle()
        idle = self.waiting and not (self._connections.total or self._window.asked)
        if idle and not (self._pacer.holding and self._window.blocked(self._wall_clock()) is None):
            self._put_off_all()

    def _may_open(self, waiting: int) -> bool:
        return self._window.may_open(self._wall_clock(), self._connections.at_work, waiting)

    def _may_open_any(self) -> bool:
        """Whether a connection may be opened for the groups that wait; by the pace, one at a time."""
        if self._window.paced and (self._coming or not self._pacer.may_start()):
            return False
        return self._may_open(len(self._groups.fresh))

    def _open(self) -> None:
        """Open a connection for the groups that wait, to a host that does not throttle if there is one."""
        passed_over = self._host_limits.passed_over(self._clock.seconds())
        if passed_over and not untried(self._plan, passed_over):
            passed_over = frozenset()
        self._coming += 1
        self._connections.open(self._plan, passed_over, partial(self._opened, self._wall_clock()))

    def _use_idle(self) -> None:
        while self._groups.fresh and (not self._window.paced or self._pacer.may_start()):
            line = self._connections.idle.take()
            if line is None:
                return
            self._start(line, self._groups.fresh.popleft())

    def _serve_walking(self) -> None:
        """Give the groups that go on to another host a connection to one that they have not tried."""
        while self._groups.walking:
            walk = self._groups.walking[0].so_far
            if (line := self._connections.idle.take_other(walk.tried)) is not None:
                self._start(line, self._groups.walking.popleft())
            elif not self._has_next_host(walk) or self._window.blocked(self._wall_clock()) is not None:
                self._end_walk(self._groups.walking.popleft())
            elif self._may_open(1):
                self._open_for(self._groups.walking.popleft(), walk)
            else:
                return

    def _has_next_host(self, walk: Walk) -> bool:
        """Whether the plan has another host for an attempt, which was not in vain a short while ago."""
        passed_over = self._host_limits.passed_over(self._clock.seconds())
        return not self._closed and bool(walk.next_routes(self._plan, passed_over))

    def _count(self) -> None:
        """Have the window know how many connections there are."""
        self._window.holds(self._connections.total)

    def _opened(self, began: float, result: Connection | TryLater | None) -> None:
        self._coming -= 1
        if isinstance(result, TryLater):
            self._feedback.not_opened(result, began)
            self._trim()
            self._drive()
        elif result is not None:
            self._rest(self._feedback.opened(result))
            self._drive()

    def _open_for(self, group: Group, walk: Walk) -> None:
        """Open a connection for a group that goes on, to the first host that it has not tried."""
        if self._connections.idle and not self._window.may_open(self._wall_clock(), self._connections.total, 1):
            # It leads to a host that the group has tried, and the window has no place for both.
            self._connections.idle.end_oldest()
        passed_over = self._host_limits.passed_over(self._clock.seconds())

        def opened(result: Connection | TryLater | None) -> None:
            if result is None:
                self._end_walk(group)
            elif isinstance(result, TryLater):
                routes = walk.next_routes(self._plan, passed_over)
                self._host_limits.pass_over((route.label for route in routes), self._clock.seconds())
                self._end_walk(replace(group, walk=walk.unreached(result)))
            elif group.job.cancelled:
                self._owner.abandoned(group)
                self._feedback.ended(self._clock.seconds())
                self._rest(self._feedback.opened(result))
            else:
                self._start(self._feedback.opened(result), group)
            self._drive()

        self._connections.open(self._plan, walk.tried | passed_over, opened)

    def _put_off_all(self) -> None:
        """Nothing runs and nothing may be opened: all that waits is put off until the next probe."""
        trouble, until = self._feedback.down()
        for group in self._groups.take_fresh():
            self._put_off(group, trouble, until)

    def _put_off(self, group: Group, trouble: TryLater, until: float) -> None:
        result = RecipientResult(trouble, waited=self._clock.seconds() - group.entered, not_before=until)
        self._owner.concluded(group, {pending.index: result for pending in group.recipients})

    def _give_back(self, group: Group) -> None:
        """Take no further step for a group. Its answers are recorded, unless an operator removed the message."""
        if group.walk is None or group.job.cancelled:
            self._owner.abandoned(group)
        else:
            self._end_walk(group)

    def _end_walk(self, group: Group) -> None:
        """Conclude an attempt with the last answers, because no other host can be asked now."""
        walk = group.so_far
        self._feedback.walk_ended(walk)
        if walk.limits:
            self._trim()
            group = replace(group, recipients=self._hold(group, walk, group.recipients))
        until = self._window.blocked(self._wall_clock()) or 0.0
        waited = self._clock.seconds() - group.entered
        self._owner.concluded(group, group.results(walk.answers, walk.earlier, waited=waited, not_before=until))

    def _start(self, line: PooledConnection, group: Group) -> None:
        if len(group.recipients) > self._host_limits.recipients:
            most = self._host_limits.recipients_now(self._clock.seconds())
            if rest := group.recipients[most:]:
                self._wait_first(group.part(rest))
                group = replace(group, recipients=group.recipients[:most])
        self._connections.busy.add(line)
        self.begun += 1
        line.used += 1
        if self._window.paced and group.walk is None:
            self._pacer.started()
        started = self._clock.seconds()
        leaving = not any(route.lmtp for route in self._plan.routes)
        run = line, group, started
        group.carry(line.connection, leaving=leaving).addCallbacks(self._carried, self._crashed, run, {}, run)

    def _carried(self, carried: TransactionResult, line: PooledConnection, group: Group, started: float) -> None:
        self._connections.busy.discard(line)
        if carried.stale:
            self._feedback.found_dead(line, started)
            self._use_another(carried, group)
            return
        transfer = self._clock.seconds() - started
        waited = started - group.entered
        security = line.connection.security
        if carried.excess is None and not any(map(is_open, carried.outcomes.values())):
            self._feedback.answered(line, carried, started)
        else:
            group = self._send_on(carried, line, group, started)
        self._rest(line)
        if self._groups.fresh or self._groups.walking:
            self._drive()
        results = group.results(
            carried.outcomes,
            group.so_far.answers,
            waited=waited,
            transfer=transfer,
            security=security,
            signed_by=carried.signed_by,
        )
        self._owner.concluded(group, results)

    def _use_another(self, carried: TransactionResult, group: Group) -> None:
        """Give a group another connection, because the kept one was dead."""
        if self._closed or group.job.cancelled:
            self._give_back(group)
            return
        indexes = (pending.index for pending in group.recipients)
        self._wait_first(replace(group, unsent=frozenset(() if carried.fully_sent else indexes)))
        self._drive()

    def _send_on(self, carried: TransactionResult, line: PooledConnection, group: Group, started: float) -> Group:
        """Give the recipients without a final answer to the next host, or end their attempt.

        The result is the group of those recipients that have their outcome.
        """
        parts, connection = sort_out(group.recipients, carried), line.connection
        not_sent = unsent(carried)
        if carried.excess is not None:
            self._host_limits.recipients_refused(carried.excess.limit, self._clock.seconds())
            self._wait_first(replace(group.part(parts.excess), unsent=not_sent))
        walk = group.so_far.after(connection.tried, carried, usable=connection.usable)
        goes_on = bool(parts.undecided) and not group.job.cancelled and self._has_next_host(walk)
        self._feedback.undecided(line, carried, started, walk, goes_on=goes_on)
        self._trim()
        if goes_on:
            self._groups.walking.append(replace(group.part(parts.undecided), unsent=not_sent, walk=walk))
            return replace(group, recipients=parts.decided)
        rest = self._hold(replace(group, unsent=not_sent), walk, parts.undecided)
        return replace(group, recipients=parts.decided + rest)

    def _trim(self) -> None:
        """Return the groups to the queue that would wait too long for the pace."""
        if self._window.paced:
            for group in self._groups.take_beyond(self._pacer.places()):
                self._return_until_turn(group)

    def _return_until_turn(self, group: Group) -> None:
        """Return a group to the queue, untried, until its turn by the pace."""
        group.job.again = self._pacer.turn(self.waiting)
        self._owner.abandoned(group)

    def _hold(self, group: Group, walk: Walk, recipients: Sequence[Pending]) -> tuple[Pending, ...]:
        """Have the recipients wait that were refused because of a limit; return the others."""
        if held := [pending for pending in recipients if pending.index in walk.limits]:
            waiting = replace(group.part(held), walk=None)
            long_wait = self._window.paced and not self._pacer.places()
            (self._return_until_turn if long_wait else self._wait_first)(waiting)
        return tuple(pending for pending in recipients if pending.index not in walk.limits)

    def _wait_first(self, group: Group) -> None:
        """Put a group before all others that wait."""
        self._groups.first_again(group)
        if self._closed or group.job.cancelled:
            self.drop(lambda each: each is group)

    def _crashed(self, failure: Failure, line: PooledConnection, group: Group, started: float) -> None:
        """A bug of ours in a transaction: the connection goes, the mail is tried later."""
        line.connection.abort()
        trouble = TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0")
        outcomes = {pending.index: trouble for pending in group.recipients}
        self._carried(TransactionResult(outcomes), line, group, started)

    def _rest(self, line: PooledConnection) -> None:
        """Keep a connection for the next group, for a while."""
        usable = line.connection.usable
        if usable and not (self._closed or self._window.gives_up(line.used) or self._feedback.enough(line)):
            self._connections.idle.keep(line)
            return
        if usable:
            line.connection.quit()
        self._count()
