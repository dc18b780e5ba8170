"""One destination: the groups that wait for it, its connections, and the limits that it was found to have.

A destination that takes no connection costs one probe for all mail that waits. `sender` runs its transactions,
`waiting` gives connections to groups, and `feedback` changes the limits with each answer.
"""

import math
from collections.abc import Callable, Coroutine
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.feedback import Feedback
from mta.delivery.destinations.host_limits import TRANSACTIONS_PER_CONNECTION, HostLimits
from mta.delivery.destinations.pool import ConnectionPool
from mta.delivery.destinations.sender import GroupSender
from mta.delivery.destinations.waiting import CoalescedCalls
from mta.delivery.destinations.window import NewWindow
from mta.delivery.job import Group
from mta.delivery.remote.interface import Connector
from mta.message.outcome import TryLater
from mta.queue.ids import to_number
from mta.queue.interface import QueueId
from mta.routing.route import Plan, Smarthost

if TYPE_CHECKING:
    from mta.delivery.rates.leave import Leave, NewLeave
    from mta.routing.carriage import Carriage

# The groups that are read for the domains of their recipients.
_LOOKED_AT = 1000


class Destination:
    """The hosts that share connections and limits."""

    def __init__(
        self,
        name: str,
        new_window: NewWindow,
        connector: Connector,
        context: DeliveryContext,
        *,
        carriage: "Carriage | None" = None,
        smarthost: Smarthost | None = None,
        new_leave: "NewLeave | None" = None,
    ) -> None:
        """`new_leave` asks for leave to send if the carriage has rates, which hold only if it is given."""
        self.name = name
        #: As in the plans of its mail.
        self.carriage = carriage
        self.smarthost = smarthost
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        # Gives connections to the groups that wait.
        self._schedule = CoalescedCalls(self._schedule_once)
        self._window = new_window(name, self.limits_changed)
        self._leave: Leave | None = None
        host_limits, down = HostLimits(), None
        if carriage is not None:
            host_limits = HostLimits(carriage.messages_per_connection or TRANSACTIONS_PER_CONNECTION)
            down = self._obey(carriage, new_leave)
        self._pool = ConnectionPool(name, connector, self._window, host_limits, context, down=down)
        self._feedback = Feedback(name, self._window, self._pool, self._schedule, context)
        self._pacer = self._feedback.pacer
        self._sender = self._new_sender(context)

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
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._pool.busy) + len(self._pool.idle)

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
    def throttled(self) -> bool:
        """Whether the destination itself refused because of a limit."""
        return self._window.throttled

    @property
    def allowed(self) -> int:
        """How many connections it may have now."""
        return self._window.size

    @property
    def pace(self) -> float | None:
        """Messages a second that are allowed now; None without a pace."""
        rate = self._window.rate(self._wall_clock()) if self._window.paced else math.inf
        return rate if math.isfinite(rate) else None

    @property
    def trouble(self) -> TryLater | None:
        """The last failure of a connection, None once one was opened."""
        return self._feedback.trouble or self._window.trouble

    @property
    def failures(self) -> int:
        """The failures that this process saw since a connection was last opened."""
        return self._feedback.failures

    @property
    def throttled_because(self) -> str:
        """The host and the reply that told of a limit; "" without a limit, or if another worker has got it."""
        reply = self._pacer.reply
        return "" if reply is None or not self.throttled else ": ".join(filter(None, (reply.host, reply.text)))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of its hosts in the order to try them."""
        return tuple(dict.fromkeys(route.host for route in self._pool.plan.routes))

    @property
    def passed_over(self) -> tuple[str, ...]:
        """The labels of hosts that failed or throttled a short while ago."""
        return tuple(sorted(self._pool.host_limits.passed_over(self._clock.seconds())))

    @property
    def learned(self) -> tuple[int | None, int | None]:
        """The recipients of a transaction and the messages of a connection that its hosts take at most, if limited."""
        return self._pool.host_limits.learned(self._clock.seconds())

    def waiting_domains(self, most: int) -> tuple[str, ...]:
        """Return domains of the recipients that wait for a connection, each once, `most` of them at most.

        Of many groups some have no say, so that the time is bounded.
        """
        waiting = islice(chain(self._sender.walks.waiting, self._sender.groups.waiting), _LOOKED_AT)
        recipients = (pending.recipient for each in waiting for pending in each.group.recipients)
        return tuple(islice(dict.fromkeys(recipient.address.domain for recipient in recipients), most))

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

    def note_rate_wait(self, number: int) -> None:
        """Remember that the message with this number waits in the queue for a rate."""
        if self._leave is not None:
            self._leave.note_wait(number)

    def rate_waited_for(self, id: QueueId) -> str | None:
        """Return the place of the rule for whose rate a message waits, here or in the queue; None if it does not."""
        leave = self._leave
        if leave is None:
            return None
        waits_here = leave.pending and any(each.group.job.claim.id == id for each in self._sender.groups.waiting)
        return leave.place if waits_here or leave.notes_wait(to_number(id)) else None

    def close(self) -> None:
        """Give back the groups that wait, and end idle connections; running transactions go on."""
        self._pool.close()
        self._pacer.close()
        self.withdraw(lambda _: True)
        self._pool.idle.close()
        self._window.needs_no_start()
        self._pool.count()

    def abort(self) -> None:
        """Cut running transactions short."""
        self._pool.abort()

    def _schedule_once(self) -> None:
        if not self._pool.closed:
            self._serve()
        self._pool.count()

    def _new_sender(self, context: DeliveryContext) -> GroupSender:
        parts = self._pool, self._window, self._feedback, self._schedule, context
        if self._leave is None:
            return GroupSender(*parts)
        from mta.delivery.destinations.rated import RatedSender  # noqa: PLC0415

        return RatedSender(*parts, leave=self._leave)

    def _obey(self, carriage: "Carriage", new_leave: "NewLeave | None") -> Callable[[], object] | None:
        """Bound the window as rules say; return a callable for connections that are down, if they count until then."""
        if (carriage.rates or carriage.rates_each) and new_leave is not None:
            # Imported if needed, because a relay without rules has no rates.
            from mta.delivery.destinations.rated import RatedWindow  # noqa: PLC0415
            from mta.delivery.rates.terms import keys_of  # noqa: PLC0415

            self._leave = new_leave(self.name, keys_of(carriage, self.name), self._leave_changed)
            self._window = RatedWindow(self._window, self._leave, self._next_recipients)
        if carriage.connections is None:
            return None
        self._window.limit(carriage.connections)
        return self._schedule

    def _next_recipients(self) -> int:
        groups = self._sender.groups.waiting
        return len(groups[0].group.recipients) if groups else 1

    def _leave_changed(self) -> None:
        """Follow the leave: give groups that would wait for long back to the queue, or start the next transaction."""
        if not self._pool.closed:
            self._sender.trim()
        self._schedule()

    def _serve(self) -> None:
        # Groups that go on to another host are served first, because they came earlier.
        sender = self._sender
        if sender.walks.waiting:
            sender.walks.serve()
        if sender.groups.waiting:
            sender.groups.serve()
        if self._window.paced and not sender.groups.waiting:
            self._window.needs_no_start()
