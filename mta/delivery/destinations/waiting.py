"""The groups that wait for a connection of one destination: how each gets one, or why it gets none.

A group that has not been tried takes a connection to any host of the destination, first come, first served. A group
that goes on with its attempt (`mta.delivery.remote.walk`) needs a host that it has not tried.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred

from mta.coroutines import PromptDeferred
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.feedback import Feedback
from mta.delivery.destinations.pool import ConnectionPool, PooledConnection
from mta.delivery.destinations.window import SendWindow
from mta.delivery.job import Group
from mta.delivery.remote.interface import Connection
from mta.delivery.remote.walk import Walk, untried
from mta.message.outcome import TryLater


@dataclass(frozen=True, slots=True)
class PutOff:
    """The destination takes no mail until then, wall-clock seconds."""

    trouble: TryLater
    until: float


@dataclass(frozen=True, slots=True)
class BackToQueue:
    """The group goes back to the queue untried; `next_try` is in wall-clock seconds, 0 if it does not matter."""

    next_try: float = 0.0


@dataclass(frozen=True, slots=True)
class NoHostLeft:
    """No other host can be asked now, so that the attempt ends with the last answers."""

    walk: Walk


Answer = PooledConnection | PutOff | BackToQueue | NoHostLeft


class WaitingGroup:
    """A group that waits. `answer` fires with its connection, or with the reason why it gets none."""

    __slots__ = ("answer", "group")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.answer: Deferred[Answer] = PromptDeferred()

    def start(self, pool: ConnectionPool, connection: PooledConnection) -> None:
        """Give the group a connection, which is busy from now on."""
        pool.start(connection)
        self.answer.callback(connection)

    def give_back(self) -> None:
        """Begin no further step for the group. Answers that it has are kept, unless an operator removed the message."""
        walk, cancelled = self.group.walk, self.group.job.cancelled
        self.answer.callback(BackToQueue() if walk is None or cancelled else NoHostLeft(walk))


class _WaitingQueue:
    """Groups that wait, first come, first served."""

    def __init__(
        self,
        pool: ConnectionPool,
        window: SendWindow,
        feedback: Feedback,
        schedule: Callable[[], None],
        context: DeliveryContext,
    ) -> None:
        """`schedule` is called when a group may get a connection that could not have one before."""
        self._pool = pool
        self._window = window
        self._feedback = feedback
        self._pacer = feedback.pacer
        self._schedule = schedule
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        #: The groups in their order, to look at.
        self.waiting: deque[WaitingGroup] = deque()

    def append(self, group: Group) -> WaitingGroup:
        """Let a group wait behind the others."""
        waiting = WaitingGroup(group)
        self.waiting.append(waiting)
        return waiting

    def append_first(self, group: Group) -> WaitingGroup:
        """Let a group wait before the others."""
        waiting = WaitingGroup(group)
        self.waiting.appendleft(waiting)
        return waiting

    def withdraw(self, unwanted: Callable[[Group], bool]) -> list[WaitingGroup]:
        """Take the groups out for which `unwanted` is true, in their order."""
        taken = [waiting for waiting in self.waiting if unwanted(waiting.group)]
        self.waiting = deque(waiting for waiting in self.waiting if not unwanted(waiting.group))
        return taken


class GroupQueue(_WaitingQueue):
    """The groups that take a connection to any host."""

    # How many connections are being opened for these groups.
    _opening = 0

    def take_idle(self) -> PooledConnection | None:
        """Return an idle connection for a group that need not wait, because no group waits and there is no pace."""
        if self.waiting or self._window.paced or (connection := self._pool.idle.take()) is None:
            return None
        self._pool.start(connection)
        return connection

    def serve(self) -> None:
        """Give connections to the groups and open more, or put the groups off if the destination is down."""
        self._use_idle()
        while len(self.waiting) > self._opening and self._may_open():
            self._open()
            self._use_idle()
        if not self.waiting or self._pool.total or self._window.request_pending:
            return
        if not self._pacer.holding or self._window.blocked(self._wall_clock()) is not None:
            self._put_off_all()

    def return_beyond(self, places: int) -> None:
        """Return the groups that have no place among so many to the queue until their turn by the pace."""
        beyond = [self.waiting.pop() for _ in range(len(self.waiting) - places)]
        for waiting in reversed(beyond):
            waiting.answer.callback(BackToQueue(self._pacer.next_try(len(self.waiting))))

    def _use_idle(self) -> None:
        while self.waiting and (not self._window.paced or self._pacer.may_start()):
            connection = self._pool.idle.take()
            if connection is None:
                return
            if self._window.paced:
                self._pacer.started()
            self.waiting.popleft().start(self._pool, connection)

    def _may_open(self) -> bool:
        """Whether a connection may be opened; by the pace, one at a time."""
        if self._window.paced and (self._opening or not self._pacer.may_start()):
            return False
        return self._pool.may_open(len(self.waiting))

    def _open(self) -> None:
        """Open a connection, to a host that does not throttle if there is one."""
        passed_over = self._pool.passed_over()
        if passed_over and not untried(self._pool.plan, passed_over):
            passed_over = frozenset()
        self._opening += 1
        self._pool.open(passed_over, partial(self._opened, self._wall_clock()))

    def _opened(self, began: float, result: Connection | TryLater | None) -> None:
        self._opening -= 1
        if isinstance(result, TryLater):
            self._feedback.not_opened(result, began)
            if self._window.paced:
                self.return_beyond(self._pacer.places())
            self._schedule()
        elif result is not None:
            self._pool.keep(self._feedback.opened(result))
            self._schedule()

    def _put_off_all(self) -> None:
        """Put the groups off until the next probe, because no connection is open and none may be opened.

        Those that only another relay may try go back to the queue as they are.
        """
        next_try = self._window.elsewhere(self._wall_clock())
        answer = PutOff(*self._feedback.down()) if next_try is None else BackToQueue(next_try)
        all_waiting, self.waiting = self.waiting, deque()
        for waiting in all_waiting:
            waiting.answer.callback(answer)


class WalkQueue(_WaitingQueue):
    """The groups that go on to another host in the same attempt."""

    def serve(self) -> None:
        """Give each group a connection to a host that it has not tried, or end its attempt."""
        while self.waiting:
            walk = self.waiting[0].group.so_far
            if (connection := self._pool.idle.take_other(walk.tried)) is not None:
                self.waiting.popleft().start(self._pool, connection)
            elif not self.has_next_host(walk) or self._window.blocked(self._wall_clock()) is not None:
                self.waiting.popleft().answer.callback(NoHostLeft(walk))
            elif self._pool.may_open(1):
                self._open_for(self.waiting.popleft(), walk)
            else:
                return

    def has_next_host(self, walk: Walk) -> bool:
        """Whether the plan has another host for an attempt, which was not in vain a short while ago."""
        return not self._pool.closed and bool(walk.next_routes(self._pool.plan, self._pool.passed_over()))

    def _open_for(self, waiting: WaitingGroup, walk: Walk) -> None:
        """Open a connection to the first host that the group has not tried."""
        pool = self._pool
        if pool.idle and not self._window.may_open(self._wall_clock(), pool.total, 1):
            # It leads to a host that the group has tried, and the window has no place for both.
            pool.idle.end_oldest()
        passed_over = pool.passed_over()

        def opened(result: Connection | TryLater | None) -> None:
            if result is None:
                waiting.answer.callback(NoHostLeft(walk))
            elif isinstance(result, TryLater):
                routes = walk.next_routes(pool.plan, passed_over)
                pool.host_limits.pass_over((route.label for route in routes), self._clock.seconds())
                waiting.answer.callback(NoHostLeft(walk.unreached(result)))
            elif waiting.group.job.cancelled:
                waiting.answer.callback(BackToQueue())
                self._feedback.ended(self._clock.seconds())
                pool.keep(self._feedback.opened(result))
            else:
                waiting.start(pool, self._feedback.opened(result))
            self._schedule()

        pool.open(walk.tried | passed_over, opened)


class CoalescedCalls:
    """Runs a pass; a call from within the pass runs it once more afterwards, so that a long queue needs no stack."""

    __slots__ = ("_once_more", "_one", "_running")

    def __init__(self, one: Callable[[], None]) -> None:
        self._one = one
        self._running = False
        self._once_more = False

    def __call__(self) -> None:
        """Run a pass now, or after the one that is running."""
        if self._running:
            self._once_more = True
            return
        self._running = True
        try:
            self._one()
            while self._once_more:
                self._once_more = False
                self._one()
        finally:
            self._running = False
