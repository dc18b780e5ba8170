"""Sends groups of recipients to the hosts of one destination, until each recipient has a result.

A group waits for a connection and gets one transaction. Recipients that the host neither took nor refused for good then
go on in groups of their own: to the next host (`mta.delivery.remote.walk`), in another transaction if there were too
many for one, or once more later if the host has a limit. Each of these groups is a task of the job beside the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from twisted.logger import Logger

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.feedback import Feedback
from mta.delivery.destinations.pool import ConnectionPool, PooledConnection
from mta.delivery.destinations.waiting import BackToQueue, GroupQueue, NoHostLeft, PutOff, WaitingGroup, WalkQueue
from mta.delivery.destinations.window import SendWindow
from mta.delivery.job import Group, RecipientResult
from mta.delivery.remote.interface import Connection, TransactionResult
from mta.delivery.remote.walk import Walk, is_open, sort_out, unsent
from mta.message.outcome import Outcome, TryLater
from mta.queue.interface import Pending
from mta.routing.route import Plan

_log = Logger()


class GroupSender:
    """Runs the transactions of one destination."""

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
        self._host_limits = pool.host_limits
        self._pacer = feedback.pacer
        self._schedule = schedule
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        #: Groups that wait for any connection, and those that wait for one to another host.
        self.groups = GroupQueue(pool, window, feedback, schedule, context)
        self.walks = WalkQueue(pool, window, feedback, schedule, context)

    async def send(self, group: Group) -> None:
        """Send a group over an idle connection, or over one that it waits for; record the results in its job."""
        connection = None if self.walks.waiting else self.groups.take_idle()
        if connection is not None:
            await self._transact(connection, group)
        else:
            waiting = self.groups.append(group)
            self._schedule()
            await self._send_waiting(waiting)

    def put_off(self, group: Group, trouble: TryLater, until: float) -> None:
        """Give the recipients of a group this result, because the destination takes no mail until then."""
        waited = self._clock.seconds() - group.queued_at
        group.record(RecipientResult(trouble, waited, not_before=until))

    async def _send_waiting(self, waiting: WaitingGroup) -> None:
        answer, group = await waiting.answer, waiting.group
        match answer:
            case PooledConnection():
                await self._transact(answer, group)
            case PutOff(trouble, until):
                self.put_off(group, trouble, until)
            case BackToQueue(next_try):
                group.job.next_try = next_try or group.job.next_try
            case NoHostLeft(walk):
                self._end_walk(group, walk)

    async def _transact(self, connection: PooledConnection, group: Group) -> None:
        """Run a transaction; record the final outcomes, and send the other recipients on."""
        if len(group.recipients) > self._host_limits.recipients:
            group = self._within_limit(group)
        started = self._clock.seconds()
        try:
            result = await _run_transaction(connection.session, group, self._pool.plan)
        except Exception as error:  # noqa: BLE001 (a bug in the relay: the connection is closed, the mail tried later)
            _log.failure("a transaction failed")
            connection.session.abort()
            result = _same_for_all(group, f"internal error: {error}")
        self._pool.busy.discard(connection)
        if result.stale:
            self._feedback.found_dead(connection, started)
            indexes = () if result.fully_sent else (pending.index for pending in group.recipients)
            self._send_first(replace(group, unsent=frozenset(indexes)))
            self._schedule()
            return
        transfer = self._clock.seconds() - started
        outcomes = result.outcomes
        if result.excess is None and not any(map(is_open, outcomes.values())):
            self._feedback.answered(connection, result, started)
        else:
            group, outcomes = self._send_on(result, connection, group, started)
        group.record_outcomes(
            outcomes,
            group.so_far.answers,
            waited=started - group.queued_at,
            transfer=transfer,
            security=connection.session.security,
            signed_by=result.signed_by,
        )
        wanted = bool(self.groups.waiting or self.walks.waiting)
        self._pool.keep(connection, wanted=wanted)
        if wanted:
            self._schedule()

    def _within_limit(self, group: Group) -> Group:
        """Return the group with as many recipients as the host takes in one transaction; send the rest in another."""
        most = self._host_limits.recipients_now(self._clock.seconds())
        if rest := group.recipients[most:]:
            self._send_first(replace(group, recipients=rest))
        return replace(group, recipients=group.recipients[:most])

    def _send_on(
        self, result: TransactionResult, connection: PooledConnection, group: Group, started: float
    ) -> tuple[Group, Mapping[int, Outcome]]:
        """Send the recipients without a final outcome to the next host, or end their attempt.

        Return the group of the recipients that have their outcome, and all outcomes.
        """
        parts, session = sort_out(group.recipients, result), connection.session
        not_sent = unsent(result)
        if result.excess is not None:
            self._host_limits.recipients_refused(result.excess.limit, self._clock.seconds())
            self._send_first(replace(group, recipients=parts.excess, unsent=not_sent))
        walk = group.so_far.after(session.tried, result, usable=session.usable)
        goes_on = bool(parts.undecided) and not group.job.cancelled and self.walks.has_next_host(walk)
        self._feedback.undecided(connection, result, started, walk, goes_on=goes_on)
        self.trim()
        if goes_on:
            self._start(self.walks.append(replace(group, recipients=parts.undecided, unsent=not_sent, walk=walk)))
            return replace(group, recipients=parts.decided), result.outcomes
        rest = self._hold(replace(group, unsent=not_sent), walk, parts.undecided)
        outcomes = {**result.outcomes, **walk.final_answers(self._pool.plan)} if walk.lacking else result.outcomes
        return replace(group, recipients=parts.decided + rest), outcomes

    def _end_walk(self, group: Group, walk: Walk) -> None:
        """End an attempt with the last answers, because no other host can be asked now."""
        self._feedback.walk_ended(walk)
        if walk.limits:
            self.trim()
            group = replace(group, recipients=self._hold(group, walk, group.recipients))
        waited = self._clock.seconds() - group.queued_at
        until = self._window.blocked(self._wall_clock()) or 0.0
        group.record_outcomes(walk.final_answers(self._pool.plan), walk.earlier, waited=waited, not_before=until)

    def trim(self) -> None:
        """Return the groups to the queue that would wait too long for the pace."""
        if self._window.paced:
            self.groups.return_beyond(self._pacer.places())

    def _hold(self, group: Group, walk: Walk, recipients: Sequence[Pending]) -> tuple[Pending, ...]:
        """Let the recipients wait that were refused because of a limit; return the others."""
        held = tuple(pending for pending in recipients if pending.index in walk.limits)
        if held and self._window.paced and not self._pacer.places():
            group.job.next_try = self._pacer.next_try(len(self.groups.waiting) + len(self.walks.waiting))
        elif held:
            self._send_first(replace(group, recipients=held, walk=None))
        return tuple(pending for pending in recipients if pending.index not in walk.limits)

    def _send_first(self, group: Group) -> None:
        """Let a group wait before all others, unless no further step is to be begun for it."""
        if not (self._pool.closed or group.job.cancelled):
            queue = self.groups if group.walk is None else self.walks
            self._start(queue.append_first(group))
        elif group.walk is not None and not group.job.cancelled:
            self._end_walk(group, group.walk)

    def _start(self, waiting: WaitingGroup) -> None:
        waiting.group.job.tasks.start(self._send_waiting(waiting))


async def _run_transaction(session: Connection, group: Group, plan: Plan) -> TransactionResult:
    """Run one transaction, with a signature if the relay signs mail and the plan does not lead to its own mail store.

    A body that cannot be read puts the mail off and is not held against the host.
    """
    claim, outgoing = group.job.claim, group.job.outgoing
    if outgoing is None or any(route.lmtp for route in plan.routes):
        return await session.deliver(group.request(claim.body))
    try:
        body = await outgoing.get(claim.envelope, claim.body)
    except OSError as error:
        return _same_for_all(group, f"cannot read the message body: {error.strerror or 'unknown error'}")
    return replace(await session.deliver(group.request(body)), signed_by=outgoing.signed_by)


def _same_for_all(group: Group, text: str) -> TransactionResult:
    trouble = TryLater(text, status="4.3.0")
    return TransactionResult({pending.index: trouble for pending in group.recipients})
