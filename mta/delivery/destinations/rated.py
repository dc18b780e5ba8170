"""A destination for which the operator's rules set a rate: its window, and how its transactions are counted.

To the rest of the destination a rate looks like a pace (`mta.delivery.rates.pace`): it waits for the time of each
transaction. A pace that the destination's answers allow holds beside the rate, and the slower one decides.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.feedback import Feedback
from mta.delivery.destinations.pool import ConnectionPool, PooledConnection
from mta.delivery.destinations.sender import GroupSender
from mta.delivery.destinations.waiting import WaitingGroup
from mta.delivery.destinations.window import LimitRefusal, SendWindow
from mta.delivery.job import Group
from mta.delivery.rates.leave import Leave
from mta.message.outcome import TryLater
from mta.queue.ids import to_number


class RatedWindow:
    """The SendWindow of such a destination, around the one by its answers. Times are wall-clock seconds."""

    paced = True

    def __init__(self, window: SendWindow, leave: Leave, recipients: Callable[[], int]) -> None:
        """`recipients` returns the recipients of the next transaction, 1 or more."""
        self._window = window
        self._leave = leave
        self._recipients = recipients

    @property
    def size(self) -> int:
        """How many connections this process may have now."""
        return self._window.size

    @property
    def request_pending(self) -> bool:
        """Whether a connection, the time of a transaction or leave for it was requested and is yet to come."""
        return self._leave.pending or self._window.request_pending

    @property
    def trouble(self) -> TryLater | None:
        """The failure that another worker saw, while the destination is down."""
        return self._window.trouble

    @property
    def limited(self) -> bool:
        """Whether connections were refused because there were too many."""
        return self._window.limited

    @property
    def throttled(self) -> bool:
        """Whether the destination itself refused because of a limit."""
        return self._window.throttled

    def next_start(self, now: float) -> float:
        """Return when the next transaction may begin: now, later, or (infinity) when leave has come."""
        if (until := self._window.blocked(now)) is not None:
            self._leave.give_back()
            return until
        at = self._window.next_start(now)
        if at > now:
            return at
        return now if self._leave.may_start(self._recipients()) else math.inf

    def starts_at(self, now: float, place: int) -> float:
        """Return the approximate time at which a message begins that has so many others before it."""
        return max(self._window.starts_at(now, place), max(now, self._leave.not_before) + place / self._leave.rate)

    def rate(self, now: float) -> float:
        """Return the messages a second that are allowed now."""
        return min(self._window.rate(now), self._leave.rate)

    def started(self, now: float) -> None:
        """Note that a transaction begins."""
        self._leave.started()
        if self._window.paced:
            self._window.started(now)

    def needs_no_start(self) -> None:
        """Give up the time and the leave of a transaction, because none waits for it."""
        self._leave.give_back()
        if self._window.paced:
            self._window.needs_no_start()

    def may_open(self, now: float, open_connections: int, waiting: int) -> bool:
        """Whether one more connection may be opened."""
        return self._window.may_open(now, open_connections, waiting)

    def limit(self, connections: int | None) -> None:
        """Allow at most so many connections."""
        self._window.limit(connections)

    def set_open(self, open_connections: int) -> None:
        """Take the number of connections."""
        self._window.set_open(open_connections)

    def should_release(self, used: int) -> bool:
        """Whether a connection after `used` transactions has to be ended."""
        return self._window.should_release(used)

    def succeeded(self, now: float, began: float = 0.0) -> None:
        """Note that a transaction was answered."""
        self._window.succeeded(now, began)

    def refused(self, now: float, refusal: LimitRefusal) -> None:
        """Note a refusal because of a limit."""
        self._window.refused(now, refusal)

    def ended(self, now: float, began: float) -> None:
        """Note that a transaction ended without an answer."""
        self._window.ended(now, began)

    def excess(self, open_connections: int) -> bool:
        """Whether there are too many connections, including idle ones."""
        return self._window.excess(open_connections)

    def failed(self, now: float, others: int, trouble: TryLater) -> None:
        """Note that a connection could not be opened or was lost."""
        self._window.failed(now, others, trouble)

    def blocked(self, now: float) -> float | None:
        """Return the time the penalty ends; None when there is none now."""
        return self._window.blocked(now)

    def elsewhere(self, now: float) -> float | None:
        """Return when to look again, while only other relays may open a connection; None if this one may."""
        return self._window.elsewhere(now)

    def unblock(self) -> None:
        """Allow the next probe at once. The rate of a rule holds all the same."""
        self._window.unblock()


class RatedSender(GroupSender):
    """The GroupSender of such a destination. It is apart, so that mail without a rate does not pay for it."""

    def __init__(
        self,
        pool: ConnectionPool,
        window: SendWindow,
        feedback: Feedback,
        schedule: Callable[[], None],
        context: DeliveryContext,
        *,
        leave: Leave,
    ) -> None:
        super().__init__(pool, window, feedback, schedule, context)
        self._leave = leave

    async def send(self, group: Group) -> None:
        """Send a group; one with more recipients than a rate allows at once goes in several transactions."""
        most = self._leave.most_recipients
        if most is None or len(group.recipients) <= most:
            await super().send(group)
            return
        for start in range(most, len(group.recipients), most):
            part = replace(group, recipients=group.recipients[start : start + most])
            group.job.tasks.start(super().send(part))
        await super().send(replace(group, recipients=group.recipients[:most]))

    async def _send_waiting(self, waiting: WaitingGroup) -> None:
        await super()._send_waiting(waiting)
        group = waiting.group
        if group.job.next_try and not any(pending.index in group.job.results for pending in group.recipients):
            self._leave.note_wait(to_number(group.job.claim.id))

    async def _transact(self, connection: PooledConnection, group: Group) -> None:
        begun = self._leave.begin(len(group.recipients))
        self._leave.forget_wait(to_number(group.job.claim.id))
        try:
            await super()._transact(connection, group)
        finally:
            self._leave.end(begun)
