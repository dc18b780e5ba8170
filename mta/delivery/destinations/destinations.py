"""The destinations that the relay knows, and how much mail may wait for each.

Mail that cannot go now is left in the queue unread. So the mail for a dead or slow destination does not fill the room
that other mail needs, and costs one look each time it may be tried.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.admission import Overflow, Overflows, ReleaseDeferred, UnknownWays, UnprovenBudget
from mta.delivery.destinations.destination import Destination
from mta.delivery.job import Group, Job, RecipientResult
from mta.delivery.limits import DeliveryLimits
from mta.delivery.route_rules import RouteRules, Way
from mta.message.envelope import Envelope
from mta.message.outcome import ErrorKind, TryLater
from mta.queue.ids import to_number
from mta.queue.interface import Claim, DeferralFilter, DueMessage
from mta.routing.route import Local, Plan, Router

#: Returns when mail may come again, wall-clock seconds.
NextTry = Callable[[], float]

#: The reason while mail waits for the way that a rule by host name gives it.
NOT_LOOKED_UP = "a host name in the rules of this relay could not be looked up"


class Destinations:
    """Creates destinations as mail for them comes, and forgets those that are not worth remembering."""

    def __init__(
        self,
        router: Router,
        *,
        new: Callable[[Plan], Destination],
        room: Callable[[], int],
        owed: Callable[[DueMessage], float],
        owed_by_envelope: Callable[[], bool],
        release: ReleaseDeferred,
        wake: Callable[[], None],
        context: DeliveryContext,
        limits: DeliveryLimits,
        rules: RouteRules,
    ) -> None:
        """`new` makes the destination of a plan; `room` returns how many more messages may be taken into work.

        `owed` returns the time from which on a waiting message has to be claimed although it cannot be tried, because
        its sender must be told about it, and `owed_by_envelope` whether that depends on its envelope. `release` makes
        deferred messages due in the queue; then `wake` is called.
        """
        self._router = router
        self._new = new
        self._room = room
        self._owed = owed
        self._owed_by_envelope = owed_by_envelope
        self._wall_clock = context.wall_clock
        self._limits = limits
        self._rules = rules
        self._known: dict[str, Destination] = {}
        # Those whose carriage or smarthost has changed, while they end the transactions that they have begun.
        self._replaced: list[Destination] = []
        # The number of destinations at which some are forgotten.
        self._max_known = limits.jobs
        # The destinations that may be down or full.
        self._suspects: set[str] = set()
        self._overflows = Overflows(release, wake, longest=limits.longest_requeue, context=context)
        self._unknown_ways = UnknownWays(limits, context)
        # By destination, while messages wait for their shared due time.
        self._overflow_of: dict[str, Overflow] = {}
        #: The messages for unproven destinations. The owner of a message removes it when it is out of work.
        self.unproven = UnprovenBudget(limits, self._overflows)
        self._closed = False

    def all(self) -> list[Destination]:
        """Return the destinations that are known."""
        return [*self._known.values(), *self._replaced]

    async def send(self, group: Group, plan: Plan) -> None:
        """Have the destination of a plan try a group; if it cannot, set the time of the job's next try."""
        destination = self._known.get(plan.destination)
        if (
            destination is None
            or destination.carriage is not plan.carriage
            or destination.smarthost is not plan.smarthost
        ):
            destination = self._destination_of(plan, destination)
        if self._closed or group.job.cancelled:
            return
        last_delivery_ok = destination.last_delivery_ok
        next_try = self._refusal(destination, group.job, last_delivery_ok=last_delivery_ok)
        if next_try is not None:
            self._turn_away(group, destination, next_try())
            return
        if not last_delivery_ok:
            self.unproven.add(group.job)
        if destination.paced or not destination.connected:
            self._suspects.add(plan.destination)
        await destination.send(group, plan)
        if self._overflow_of and (overflow := self._overflow_of.get(plan.destination)) is not None:
            overflow.release_if_wanted()

    def deferral_filter(self) -> DeferralFilter | None:
        """Return the filter for mail that cannot be tried now; None if all mail can be tried."""
        self._suspects = {name for name in self._suspects if self._takes_no_mail(name)}
        if self._overflow_of:
            self._overflow_of = {name: overflow for name, overflow in self._overflow_of.items() if overflow.needed}
        if not (self._suspects or self.unproven.full or self._unknown_ways.awaited):
            return None
        return DeferralFilter(self._defer_until, self._rules.asks_for_envelopes or self._owed_by_envelope())

    def may_look_up(self, job: Job) -> bool:
        """Whether the domains of a message may be looked up now; if not, set the time of its next try."""
        if self.unproven.refuses(job):
            job.next_try = self.unproven.next_try()
            return False
        self.unproven.add(job)
        return True

    def wait_for_host_name(self, group: Group) -> None:
        """Give a group back whose way depends on a host name in a rule that is not looked up yet.

        If its sender must be told now that the message is late, the group gets a result instead.
        """
        if self._owes_verdict(group.job.claim):
            group.record(RecipientResult(TryLater(NOT_LOOKED_UP, status="4.4.3", kind=ErrorKind.DNS)))
        else:
            group.job.next_try = self._unknown_ways.next_try(group.job.claim.created)

    def close(self) -> None:
        """Give back the groups that wait, and those that come from now on; running transactions go on."""
        self._closed = self._overflows.closed = True
        for destination in self.all():
            destination.close()

    def _destination_of(self, plan: Plan, known: Destination | None) -> Destination:
        """Return the destination of a plan: the known one, if rules want its mail carried as before, or a new one.

        A smarthost that has another login has connections of its own, even if its name is the same.
        """
        if known is not None:
            if known.carriage == plan.carriage and known.smarthost == plan.smarthost:
                # Later messages then need no comparison of all settings.
                known.carriage, known.smarthost = plan.carriage, plan.smarthost
                return known
            known.close()
            if known.smarthost != plan.smarthost:
                # The smarthost was down as it was before. With workers the parent knows that, by the name alone.
                known.unblock()
            self._replaced = [each for each in (*self._replaced, known) if not each.idle]
        if len(self._known) >= self._max_known:
            self._forget()
        destination = self._known[plan.destination] = self._new(plan)
        return destination

    def _forget(self) -> None:
        """Forget the idle destinations for which a new one would serve as well.

        Those that take mail and those that are down are worth remembering, but not without a bound: the oldest of them
        are forgotten too. The next cleaning comes when half as many more are known.
        """
        most = self._limits.jobs
        kept: dict[str, Destination] = {}
        ok: dict[str, Destination] = {}
        down: dict[str, Destination] = {}
        for name, destination in self._known.items():
            if not destination.idle:
                kept[name] = destination
            elif destination.last_delivery_ok and not destination.paced:
                ok[name] = destination
            elif destination.blocked is not None or destination.paced:
                down[name] = destination
        for several in (ok, down):
            kept.update(islice(several.items(), max(0, len(several) - most), None))
        self._known = kept
        self._max_known = max(most, len(kept) + most // 2)

    def _turn_away(self, group: Group, destination: Destination, next_try: float) -> None:
        """Give a group back until then, unless its sender must be told now that the message waits for a pace.

        To wait for the rate of a rule is no attempt, of which the sender would be told.
        """
        if destination.throttled and destination.long_wait and self._owes_verdict(group.job.claim):
            destination.put_off_overdue(group)
            return
        group.job.next_try = next_try
        if destination.long_wait:
            destination.note_rate_wait(to_number(group.job.claim.id))

    def _owes_verdict(self, claim: Claim) -> bool:
        """Whether a message must be settled now even if it is not tried, because its sender must be told about it."""
        whole = claim.envelope
        envelope = Envelope(whole.sender, tuple(pending.recipient for pending in claim.pending), whole.origin)
        domains = tuple({recipient.address.domain: None for recipient in envelope.recipients})
        told = claim.delay_reported or whole.sender is None
        return self._owed(DueMessage(claim.created, told, domains, envelope)) <= self._wall_clock()

    def _full(self, destination: Destination) -> bool:
        """Whether no more groups may wait for a destination.

        With a connection open, as many may wait as there is room left for the mail of others: each destination takes
        half of the room that those before it left, so that there is always room for one more. Without one, few may.
        """
        if destination.long_wait:
            return True
        waiting = destination.waiting
        if waiting < self._limits.waiting_unconnected:
            return False
        return not destination.connected or waiting >= self._room()

    def _refusal(self, destination: Destination, job: Job, *, last_delivery_ok: bool) -> NextTry | None:
        """Return a callable that gives the next retry time, or None if the message can be queued now."""
        if self._full(destination):
            return partial(self._next_try, destination)
        return self.unproven.next_try if not last_delivery_ok and self.unproven.refuses(job) else None

    def _takes_no_mail(self, name: str) -> bool:
        destination = self._known.get(name)
        return destination is not None and (destination.blocked is not None or self._full(destination))

    def _next_try(self, destination: Destination) -> float:
        name = destination.name
        self._suspects.add(name)
        if destination.long_wait:
            return destination.next_try()
        overflow = self._overflow_of.get(name)
        if overflow is None:
            overflow = self._overflow_of[name] = self._overflows.new(partial(self._wanted, name))
        return overflow.put()

    def _wanted(self, name: str) -> int:
        """Return how many messages of a destination's overflow should be made due now.

        There are none while it is down or throttles, and until its backlog has fallen to half of what may wait.
        """
        destination = self._known.get(name)
        if destination is None or destination.long_wait or not (destination.connected or destination.last_delivery_ok):
            return 0
        most, waiting = self._limits.waiting_unconnected, destination.waiting
        if destination.connected:
            most = max(most, self._room())
        return max((most - waiting) // 2, self._limits.claims) if 2 * waiting <= most else 0

    def _defer_until(self, message: DueMessage) -> float | None:
        """Return the time before which no recipient of a message can be tried; None if one can be tried now."""
        next_tries: list[NextTry] = []
        for way in self._rules.ways(message):
            next_try = self._refusal_of_way(way, message)
            if next_try is None:
                return None
            next_tries.append(next_try)
        if not next_tries:
            return None
        until = min(next_try() for next_try in next_tries)
        owed = self._owed(message)
        return min(until, owed) if owed > self._wall_clock() else None

    def _refusal_of_way(self, way: Way, message: DueMessage) -> NextTry | None:
        """Return a callable that gives the next retry time of mail on this way, or None if it can be tried now."""
        routing = self._router.cached(way.domain, way.choice)
        if way.open and not isinstance(routing, Local):
            return partial(self._unknown_ways.next_try, message.created)
        if routing is not None and not isinstance(routing, Plan):
            return None
        destination = None if routing is None else self._known.get(routing.destination)
        if destination is not None and destination.name in self._suspects:
            return partial(self._next_chance, destination, message)
        last_delivery_ok = destination is not None and destination.last_delivery_ok
        return self.unproven.next_try if self.unproven.full and not last_delivery_ok else None

    def _next_chance(self, destination: Destination, message: DueMessage) -> float:
        if destination.long_wait:
            destination.note_rate_wait(message.number)
        return destination.blocked or self._next_try(destination)
