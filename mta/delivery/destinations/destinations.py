"""All destinations that something is known of, and how much mail may wait before each.

What cannot go now is left in the queue, unread: the mail for one dead or slow destination neither fills the room that
the others need nor costs more than a look as often as it may be tried.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.admission import RequeuePacer, UnprovenBudget
from mta.delivery.destinations.destination import Destination
from mta.delivery.job import Group, Job
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import DeferralFilter, DueMessage
from mta.routing.route import Plan, Router

#: Tells when mail may come again, wall-clock seconds.
NextTry = Callable[[], float]


class Destinations:
    """Keeps the destinations, made by `new` when mail for them comes.

    `room` tells how many more messages the relay can work on, `owed` from when on one that waits must be looked at
    whether or not it can be tried, because its sender is to hear of it.
    """

    def __init__(
        self,
        router: Router,
        *,
        new: Callable[[str], Destination],
        room: Callable[[], int],
        owed: Callable[[DueMessage], float],
        context: DeliveryContext,
        limits: DeliveryLimits,
    ) -> None:
        self._router = router
        self._new = new
        self._room = room
        self._owed = owed
        self._wall_clock = context.wall_clock
        self._limits = limits
        self._known: dict[str, Destination] = {}
        # How many may be known before some are forgotten.
        self._most_known = limits.jobs
        # Those that may be down or full, with the turns they give.
        self._suspects: dict[str, RequeuePacer] = {}
        #: Messages for those that have not last_delivery_ok themselves; who works on messages says when one leaves.
        self.unproven = UnprovenBudget(limits)
        self._closed = False

    def all(self) -> list[Destination]:
        """Return them all."""
        return list(self._known.values())

    async def send(self, group: Group, plan: Plan) -> None:
        """Have the destination of a plan try a group, or give the job the time when the group is to come again."""
        destination = self._known.get(plan.destination)
        if destination is None:
            destination = self._create(plan.destination)
        if self._closed or group.job.cancelled:
            return
        last_delivery_ok = destination.last_delivery_ok
        next_try = self._refusal(destination, group.job, last_delivery_ok=last_delivery_ok)
        if next_try is not None:
            self._turn_away(group, destination, next_try())
            return
        if not last_delivery_ok:
            self.unproven.enter(group.job)
        if destination.paced or not destination.connected:
            self._suspects.setdefault(plan.destination, RequeuePacer(self._limits.longest_requeue))
        await destination.send(group, plan)

    def deferral_filter(self) -> DeferralFilter | None:
        """Return what tells the queue which mail to leave alone; None when every destination takes mail."""
        self._suspects = {name: pacer for name, pacer in self._suspects.items() if self._shut(name)}
        return self._until if self._suspects or self.unproven.full else None

    def may_look_up(self, job: Job) -> bool:
        """Whether the way of a message may be looked up now; if not, the message learns when to come again."""
        if self.unproven.bar(job):
            job.next_try = self._unproven_next_try()
            return False
        self.unproven.enter(job)
        return True

    def close(self) -> None:
        """Give back what waits, and whatever comes from now on; what runs goes on."""
        self._closed = True
        for destination in self.all():
            destination.close()

    def _create(self, name: str) -> Destination:
        if len(self._known) >= self._most_known:
            self._forget()
        destination = self._known[name] = self._new(name)
        return destination

    def _forget(self) -> None:
        """Forget destinations that a new one would serve as well as, those that take mail and those that are down last.

        Both are worth remembering, but not without end. The next look comes when half as many more are known.
        """
        most = self._limits.jobs
        kept: dict[str, Destination] = {}
        proven: dict[str, Destination] = {}
        down: dict[str, Destination] = {}
        for name, destination in self._known.items():
            if not destination.idle:
                kept[name] = destination
            elif destination.last_delivery_ok and not destination.paced:
                proven[name] = destination
            elif destination.blocked is not None or destination.paced:
                down[name] = destination
        for several in (proven, down):
            kept.update(islice(several.items(), max(0, len(several) - most), None))
        self._known = kept
        self._most_known = max(most, len(kept) + most // 2)

    def _turn_away(self, group: Group, destination: Destination, next_try: float) -> None:
        """Give a group back until then, unless its sender is to hear at last that it waits for a pace."""
        claim = group.job.claim
        told = claim.delay_reported or claim.envelope.sender is None
        if destination.long_wait and self._owed(DueMessage(claim.created, told, ())) <= self._wall_clock():
            destination.put_off_overdue(group)
        else:
            group.job.next_try = next_try

    def _full(self, destination: Destination) -> bool:
        """Whether no more may wait: as much as there is room left for others, little while there is no connection.

        Each pacer that comes takes half of what the ones before it left, so there is always room for one more.
        """
        if destination.long_wait:
            return True
        waiting = destination.waiting
        if waiting < self._limits.waiting_unconnected:
            return False
        return not destination.connected or waiting >= self._room()

    def _refusal(self, destination: Destination, job: Job, *, last_delivery_ok: bool) -> NextTry | None:
        """Return what tells when a message may come again to a destination; None where it may enter now."""
        if self._full(destination):
            return partial(self._next_try, destination)
        return self._unproven_next_try if not last_delivery_ok and self.unproven.bar(job) else None

    def _shut(self, name: str) -> bool:
        destination = self._known.get(name)
        return destination is not None and (destination.blocked is not None or self._full(destination))

    def _next_try(self, destination: Destination) -> float:
        if destination.long_wait:
            self._suspects.setdefault(destination.name, RequeuePacer(self._limits.longest_requeue))
            return destination.next_try()
        pacer = self._suspects.setdefault(destination.name, RequeuePacer(self._limits.longest_requeue))
        return pacer.next_try(self._wall_clock(), destination.waiting, destination.started)

    def _unproven_next_try(self) -> float:
        return self.unproven.next_try(self._wall_clock())

    def _until(self, waiting: DueMessage) -> float | None:
        """Return until when a message is to be left alone: none of its recipients can go before."""
        turns: list[NextTry] = []
        for domain in waiting.domains:
            turn = self._left_alone(domain)
            if turn is None:
                return None
            turns.append(turn)
        if not turns:
            return None
        until = min(turn() for turn in turns)
        owed = self._owed(waiting)
        return min(until, owed) if owed > self._wall_clock() else None

    def _left_alone(self, domain: str) -> NextTry | None:
        """Return what tells until when a domain's mail is to be left alone; None when it can be tried."""
        routing = self._router.cached(domain)
        if routing is not None and not isinstance(routing, Plan):
            return None
        destination = None if routing is None else self._known.get(routing.destination)
        if destination is not None and destination.name in self._suspects:
            return partial(self._next_chance, destination)
        last_delivery_ok = destination is not None and destination.last_delivery_ok
        return self._unproven_next_try if self.unproven.full and not last_delivery_ok else None

    def _next_chance(self, destination: Destination) -> float:
        return destination.blocked or self._next_try(destination)
