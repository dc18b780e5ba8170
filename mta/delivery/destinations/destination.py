"""One destination: the groups that wait for it, its connections, and the limits that it was found to have.

A destination that takes no connection costs one probe for all mail that waits. `sender` runs its transactions,
`waiting` gives connections to groups, and `feedback` changes the limits with each answer.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.feedback import Feedback
from mta.delivery.destinations.host_limits import HostLimits
from mta.delivery.destinations.pool import ConnectionPool
from mta.delivery.destinations.sender import GroupSender
from mta.delivery.destinations.waiting import CoalescedCalls
from mta.delivery.destinations.window import NewWindow
from mta.delivery.job import Group
from mta.delivery.remote.interface import Connector
from mta.routing.route import Plan


class Destination:
    """The hosts that share connections and limits."""

    def __init__(self, name: str, new_window: NewWindow, connector: Connector, context: DeliveryContext) -> None:
        self.name = name
        self._wall_clock = context.wall_clock
        self._window = new_window(name, self.limits_changed)
        self._pool = ConnectionPool(name, connector, self._window, HostLimits(), context)
        # Gives connections to the groups that wait.
        self._schedule = CoalescedCalls(self._schedule_once)
        self._feedback = Feedback(name, self._window, self._pool, self._schedule, context)
        self._pacer = self._feedback.pacer
        self._sender = GroupSender(self._pool, self._window, self._feedback, self._schedule, context)

    @property
    def last_delivery_ok(self) -> bool:
        """Whether its last transaction went to its end, and no failure came since."""
        return self._feedback.last_delivery_ok

    @property
    def waiting(self) -> int:
        """How many groups wait for a connection."""
        return len(self._sender.groups.waiting) + len(self._sender.walks.waiting)

    @property
    def running(self) -> int:
        """How many transactions are running."""
        return len(self._pool.busy)

    @property
    def connected(self) -> bool:
        """Whether a connection is open."""
        return bool(self._pool.busy or self._pool.idle)

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
    def idle(self) -> bool:
        """Whether no group waits or runs, and no connection is open or asked for."""
        return not (self.waiting or self._pool.total or self._window.request_pending)

    def send(self, group: Group, plan: Plan) -> Coroutine[Any, Any, None]:
        """Return the coroutine that tries a group and records its results in its job.

        The group is put off at once while the destination is down. If the destination cannot try it now, it has no
        results afterwards. `plan` is the present routing; connections that are opened from now on follow it.
        """
        self._pool.plan = plan
        return self._sender.send(group)

    def next_try(self) -> float:
        """Return when a message is to come again that would wait too long for the pace, wall-clock seconds."""
        return self._pacer.next_try(self.waiting)

    def put_off_overdue(self, group: Group) -> None:
        """Put off a group that has waited too long for the pace."""
        self._sender.put_off(group, self._pacer.reason, self.next_try())

    def limits_changed(self) -> None:
        """Follow the window, which now allows more or fewer connections."""
        self._pool.end_surplus()
        self._schedule()

    def unblock(self) -> None:
        """Forget that the destination was down, or has a pace, because an operator wants it tried now."""
        self._window.unblock()
        if self._window.paced:
            self._schedule()

    def withdraw(self, unwanted: Callable[[Group], bool]) -> None:
        """Give back the waiting groups for which `unwanted` is true."""
        withdrawn = [*self._sender.groups.withdraw(unwanted), *self._sender.walks.withdraw(unwanted)]
        for waiting in withdrawn:
            waiting.give_back()

    def close(self) -> None:
        """Give back the groups that wait, and end idle connections; running transactions go on."""
        self._pool.close()
        self._pacer.close()
        self.withdraw(lambda _: True)
        self._pool.idle.close()
        self._pool.count()

    def abort(self) -> None:
        """Cut running transactions short."""
        self._pool.abort()

    def _schedule_once(self) -> None:
        if not self._pool.closed:
            self._serve()
        self._pool.count()

    def _serve(self) -> None:
        # Groups that go on to another host are served first, because they came earlier.
        sender = self._sender
        if sender.walks.waiting:
            sender.walks.serve()
        if sender.groups.waiting:
            sender.groups.serve()
        if self._window.paced and not sender.groups.waiting:
            self._window.needs_no_start()
