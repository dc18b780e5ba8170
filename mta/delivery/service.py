"""The delivery service: works on claimed messages until each is settled or given back.

A message comes in one of two ways: from the intake that has just stored it, in memory, or claimed from the queue when
it is due. From there on both are the same: `DeliveryService._deliver` is the way of each message, from top to bottom.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.delivery.claimer import Claimer, WorkSet
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.destinations import Destinations
from mta.delivery.destinations.window import NewWindow
from mta.delivery.dispatch import Dispatcher
from mta.delivery.job import Group, Job
from mta.delivery.limits import DeliveryLimits
from mta.delivery.local.interface import LocalDelivery
from mta.delivery.remote.interface import Connector
from mta.delivery.route_rules import RouteRules
from mta.delivery.settle_retry import SettlementRetrier
from mta.delivery.settlement import Settler
from mta.delivery.task_group import TaskGroup
from mta.dkim.signer import Signer
from mta.queue.interface import Action, Claim, Queue, QueueId
from mta.routing.route import Router

if TYPE_CHECKING:
    from mta.delivery.rates.leave import NewLeave


class DeliveryService(Service):
    """Drains the queue. The intake gives it the messages that it has stored, as to its DirectDelivery."""

    def __init__(
        self,
        queue: Queue,
        router: Router,
        connector: Connector,
        local: LocalDelivery,
        settler: Settler,
        *,
        context: DeliveryContext,
        windows: NewWindow,
        limits: DeliveryLimits | None = None,
        signer: Signer | None = None,
        rules: RouteRules | None = None,
        new_leave: "NewLeave | None" = None,
    ) -> None:
        """`windows` makes the window of each destination, `new_leave` its leave to send if rules set a rate for it.

        `rules` None: no rule decides on the way of mail.
        """
        rules = rules or RouteRules()
        limits = self._limits = limits or DeliveryLimits()
        self._settler = settler
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        self._event_log = context.event_log
        self._signer = signer
        self._work = WorkSet(limits)
        # One for each message in work, until its results are written.
        self._tasks = TaskGroup()
        destinations = self._destinations = Destinations(
            router,
            new=lambda plan: Destination(
                plan.destination,
                windows,
                connector,
                context,
                carriage=plan.carriage,
                smarthost=plan.smarthost,
                new_leave=new_leave,
            ),
            room=self._work.room,
            owed=settler.retry.owed,
            owed_by_envelope=lambda: settler.retry.asks_for_envelopes,
            release=queue.release_deferred,
            wake=self.wake,
            context=context,
            limits=limits,
            rules=rules,
        )
        self._dispatcher = Dispatcher(router, local, destinations, limits=limits, clock=context.clock, rules=rules)
        self._claimer = Claimer(
            queue,
            self.take,
            room=self._work.room,
            deferral_filter=destinations.deferral_filter,
            limits=limits,
            context=context,
        )
        self._settlements = SettlementRetrier(queue, settler.settle, self._claimer.due_at, context)

    def startService(self) -> None:
        """Begin with the messages that are due."""
        super().startService()
        self._claimer.start()

    def stopService(self) -> "Deferred[None]":
        """Claim no more messages, give running transactions their grace, give the other messages back."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._claimer.stop()
        self._event_log.stopping(sum(destination.running for destination in self._destinations.all()))
        grace = self._clock.callLater(self._limits.grace, self._abort)
        self._settlements.stop()
        self._destinations.close()
        self._dispatcher.close()
        await self._claimer.stopped()
        await self._tasks.all_ended()
        if grace.active():
            grace.cancel()

    def lease(self, size: int) -> float | None:
        """Return for how long a message about to be stored is claimed by the service, None if there is no room."""
        return self._limits.lease if self.running and self._work.has_room_for(size) else None

    def wake(self) -> None:
        """Look into the queue, because a message in it is due."""
        self._claimer.wake()

    def take(self, claim: Claim) -> None:
        """Work on a claimed message; the work on one that is in work, or not recorded yet, goes on under this claim."""
        known = self._work.jobs.get(claim.id)
        if known is not None:
            known.renew(claim)
        elif self._settlements.pending and self._settlements.renew(claim):
            return
        elif self.running:
            job = Job(claim, self._wall_clock(), self._signer)
            self._work.add(job)
            self._tasks.start(self._deliver(job))
        else:
            self._tasks.start(self._settlements.release(claim, self._wall_clock()))

    async def _deliver(self, job: Job) -> None:
        """Try each waiting recipient of a message once; then settle the message, or give it back if none was tried."""
        try:
            if (plan := self._dispatcher.only_plan(job)) is not None:
                # The usual message has one group, which needs no task beside others (measured: a task costs 3 to 6 us).
                await self._destinations.send(Group(job, job.claim.pending, self._clock.seconds()), plan)
            else:
                job.tasks.start(self._dispatcher.dispatch(job))
            while await job.tasks.next_end():
                # The groups that take longer do not hold back the results of those that have ended.
                self._settler.settle_delivered(job)
        except Exception:  # noqa: BLE001 (a bug in the relay must not lose the message)
            job.tasks.fail(Failure())
            await job.tasks.all_ended()
        if job.tasks.failure is not None:
            job.put_off(f"internal error: {job.tasks.failure.getErrorMessage()}")
        self._leave_work(job)
        if not job.results:
            await self._settlements.release(job.claim, max(self._wall_clock(), job.next_try))
        elif (newer := await self._settlements.settle(job)) is not None:
            self.take(newer)

    def _leave_work(self, job: Job) -> None:
        self._work.remove(job)
        self._destinations.unproven.remove(job)
        self._claimer.go_on()

    def rules_changed(self) -> None:
        """Have the mail that waits in memory under earlier rules routed and carried by the present ones."""
        for destination in self._destinations.all():
            if destination.carriage is not None or destination.smarthost is not None:
                destination.withdraw(lambda group: group.walk is None)

    def destinations(self) -> list[Destination]:
        """Return the destinations that are known."""
        return self._destinations.all()

    def waits_for(self, id: QueueId) -> str:
        """Return the reason for a wait that is no attempt: `the rate of 30-pace.toml:1`; "" if there is none."""
        for destination in self._destinations.all():
            if (place := destination.rate_waited_for(id)) is not None:
                return f"the rate of {place}"
        return ""

    def applied(
        self, action: Action, ids: Sequence[QueueId], by: str = "", *, recipient: str = "", to: str = ""
    ) -> None:
        """Take note of an action that an operator, the user `by`, applied to messages in the queue.

        An action for one `recipient` gives the others back too, as far as they are not being sent, and they come again
        without it. `to` is as in `Queue.apply`.
        """
        self._event_log.amended(action, ids, by, recipient=recipient, to=to)
        destinations = self._destinations.all()
        if action is Action.RETRY:
            for destination in destinations:
                destination.unblock()
        if action is Action.REROUTE:
            for destination in destinations:
                if destination.smarthost is not None and destination.smarthost.name == to:
                    destination.unblock()
        if action not in {Action.RETRY, Action.RELEASE}:
            jobs = self._work.jobs
            self._cancel([jobs[id] for id in ids if id in jobs])
        self._claimer.wake()

    def drop_claims(self) -> None:
        """Begin no further step for any message in work, because other relays have all claims of this one.

        Transactions that run come to their end. Those of them that are to be marked yet send nothing.
        """
        self._cancel(list(self._work.jobs.values()))
        self._claimer.wake()

    def _cancel(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job.cancelled = True
        for destination in self._destinations.all():
            destination.withdraw(lambda group: group.job.cancelled)

    def _abort(self) -> None:
        for destination in self._destinations.all():
            destination.abort()
