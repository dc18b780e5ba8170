"""The delivery service: works on claimed messages until each is settled or given back.

A message comes in one of two ways: handed over in memory by the intake that has just stored it, or claimed from the
queue when it is due. From there on both are the same.
"""

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mta.delivery.claimer import Claimer
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.destinations import Destinations
from mta.delivery.destinations.window import NewWindow
from mta.delivery.dispatch import Dispatcher
from mta.delivery.job import Group, Job, RecipientResult
from mta.delivery.limits import DeliveryLimits
from mta.delivery.local.interface import LocalDelivery
from mta.delivery.remote.interface import Connector
from mta.delivery.settle_retry import SettlementRetrier
from mta.delivery.settlement import Settler
from mta.dkim.signer import Signer
from mta.event_log.log import EventLog
from mta.queue.interface import Action, Claim, Queue, QueueId
from mta.routing.route import Router


class DeliveryService(Service):
    """Drains the queue. Is the intake's Handoff, the claimer's Taker and the owner of all groups."""

    def __init__(
        self,
        queue: Queue,
        router: Router,
        carrier: Connector,
        local: LocalDelivery,
        settler: Settler,
        *,
        windows: NewWindow,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        event_log: EventLog,
        limits: DeliveryLimits | None = None,
        signer: Signer | None = None,
    ) -> None:
        """`windows` makes what each destination is allowed."""
        self._queue = queue
        self._settler = settler
        self._clock = clock
        self._wall_clock = wall_clock
        self._event_log = event_log
        self._limits = limits or DeliveryLimits()
        self._signer = signer
        self._jobs: dict[QueueId, Job] = {}
        self._octets = 0
        self._idle: Deferred[None] | None = None
        self._claimer = Claimer(queue, self, self._limits, clock=clock, wall_clock=wall_clock, event_log=event_log)
        self._recorder = SettlementRetrier(
            self.take, due_at=self._claimer.due_at, done=self._note_idle, clock=clock, event_log=event_log
        )
        self._record = self._recorder.record

        def new_destination(name: str) -> Destination:
            return Destination(name, windows, carrier, self, clock=clock, wall_clock=wall_clock, event_log=event_log)

        self._destinations = Destinations(
            router,
            self,
            new=new_destination,
            room=self.room,
            owed=settler.owed,
            wall_clock=wall_clock,
            limits=self._limits,
        )
        #: The Taker's and the claimer's: what is to be left in the queue for now.
        self.put_off = self._destinations.put_off
        self._dispatcher = Dispatcher(
            router, local, self, destinations=self._destinations, limits=self._limits, clock=clock
        )

    def startService(self) -> None:
        """Begin with whatever is due."""
        super().startService()
        self._claimer.start()

    def stopService(self) -> "Deferred[None]":
        """Claim nothing more, give running transactions their grace, release the rest."""
        super().stopService()
        self._claimer.stop()
        self._event_log.stopping(sum(destination.running for destination in self._destinations.all()))
        idle: Deferred[None] = Deferred()
        self._idle = idle
        grace = self._clock.callLater(self._limits.grace, self._cut_short)

        def no_more_grace(_: None) -> None:
            if grace.active():
                grace.cancel()

        idle.addCallback(no_more_grace)
        self._recorder.stop()
        self._destinations.close()
        self._dispatcher.close()
        self._note_idle()
        return idle

    def lease(self, size: int) -> float | None:
        """Return for how long a message about to be stored is claimed for us, or None when there is no room for it."""
        octets = self._octets + min(size, self._limits.body_octets)
        roomy = len(self._jobs) < self._limits.jobs and octets <= self._limits.job_octets
        return self._limits.lease if roomy and self.running else None

    def room(self) -> int:
        """How many more messages can be worked on now."""
        limits = self._limits
        by_octets = limits.jobs * (limits.job_octets - self._octets) // limits.job_octets
        return max(0, min(limits.jobs - len(self._jobs), by_octets))

    def take(self, claim: Claim) -> None:
        """Work on a claimed message; one in work, or done but not recorded, goes on under the newer lease."""
        known = self._jobs.get(claim.id)
        if known is not None:
            known.renew(claim)
        elif self._recorder.unrecorded and self._recorder.renew(claim):
            return
        elif self.running:
            job = self._jobs[claim.id] = Job(claim, self._wall_clock(), self._signer)
            self._octets += min(claim.body.size, self._limits.body_octets)
            self._dispatcher.dispatch(job)
        else:
            self._give_back(claim, self._wall_clock())

    def last_answer(self) -> None:
        """See whether that was all that the stop waited for."""
        self._note_idle()

    def wake(self) -> None:
        """Look into the queue: something in it is due."""
        self._claimer.wake()

    def applied(self, action: Action, ids: Sequence[QueueId], by: str = "") -> None:
        """Take note of an action that an operator, the user `by`, applied to messages in the queue."""
        self._event_log.amended(action, ids, by)
        destinations = self._destinations.all()
        if action is Action.RETRY:
            for destination in destinations:
                destination.unblock()
        if action in {Action.REMOVE, Action.HOLD}:
            for job in [self._jobs[known] for known in ids if known in self._jobs]:
                job.cancelled = True
            for destination in destinations:
                destination.drop(lambda group: group.job.cancelled)
        self._claimer.wake()

    def concluded(self, group: Group, results: dict[int, RecipientResult]) -> None:
        """Take the results of one group; what was delivered is recorded at once if other groups take longer."""
        job = group.job
        job.results.update(results)
        if job.open_groups > 1:
            self._settler.settle_delivered(job, group.recipients)
        self.abandoned(group)

    def abandoned(self, group: Group) -> None:
        """Count a group out. With the last one the job ends: it is settled, or given back if nothing was begun."""
        job = group.job
        job.open_groups -= 1
        if job.open_groups:
            return
        del self._jobs[job.claim.id]
        self._destinations.unproven.leave(job)
        self._octets -= min(job.claim.body.size, self._limits.body_octets)
        if job.results:
            self._record(lambda: self._settler.settle(job), job.claim.id, job)
        else:
            self._give_back(job.claim, max(self._wall_clock(), job.again))
        self._claimer.go_on()

    def _give_back(self, claim: Claim, due: float) -> None:
        def when_due(_: bool) -> float:
            return due

        self._record(lambda: self._queue.release(claim, due).addCallback(when_due), claim.id)

    def _cut_short(self) -> None:
        for destination in self._destinations.all():
            destination.abort()

    def _note_idle(self) -> None:
        """Fire the Deferred of `stopService` when nothing is left in work."""
        if self._idle is not None and not (self._jobs or self._recorder.asking or self._claimer.asking):
            idle, self._idle = self._idle, None
            idle.callback(None)
