"""Routes the recipients of a message and starts their groups: one for each destination, and one for local mailboxes.

Recipients whose routing is known do not wait for the DNS. The others wait for each other, but not for long.
"""

from collections.abc import Iterator, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from mta.delivery.destinations.destinations import Destinations
from mta.delivery.job import Group, Job, RecipientResult
from mta.delivery.limits import DeliveryLimits
from mta.delivery.local.interface import Expanded, LocalDelivery, Outcomes
from mta.delivery.route_rules import RouteRules, Way
from mta.delivery.task_group import TaskGroup
from mta.message.envelope import TlsDemand
from mta.message.outcome import Discarded, Failed, Outcome, TryLater
from mta.queue.interface import Pending
from mta.routing.choice import Discard, Fail, Reroute
from mta.routing.route import Local, Plan, Router, Routing

#: Seconds for which recipients wait for the look-ups of others, so that those who share a destination share a
#: transaction. A domain with silent name servers takes half a minute; the mail for others waits no longer than this.
PATIENCE = 1.0

Routed = list[tuple[Routing, Sequence[Pending]]]
ByWay = Sequence[tuple[Way, Sequence[Pending]]]


class Dispatcher:
    """Starts the groups of jobs."""

    def __init__(
        self,
        router: Router,
        local: LocalDelivery,
        destinations: Destinations,
        *,
        limits: DeliveryLimits,
        clock: IReactorTime,
        rules: RouteRules,
    ) -> None:
        self._router = router
        self._local = local
        self._destinations = destinations
        self._limits = limits
        self._clock = clock
        self._rules = rules
        self._current_rules = rules.current
        # Look-ups that are running; they end with the service.
        self._lookups: set[Deferred[Routing]] = set()

    def only_plan(self, job: Job) -> Plan | None:
        """Return the plan of a message with one recipient whose routing is known; None for any other message."""
        claim = job.claim
        if len(claim.pending) != 1 or claim.pending[0].way is not None or claim.envelope.tls_demand is not None:
            return None
        book = self._current_rules.book
        if book is not None and book.router is not None:
            return self._only_plan_by_rules(job)
        routing = self._router.cached(claim.pending[0].recipient.address.domain)
        return routing if isinstance(routing, Plan) else None

    def _only_plan_by_rules(self, job: Job) -> Plan | None:
        (pending,) = job.claim.pending
        way = self._rules.way(job.claim.envelope, pending.recipient.address)
        routing = None if way.open else self._router.cached(way.domain, way.choice)
        if not isinstance(routing, Plan):
            return None
        if way.rule is not None:
            job.note_rule(way.rule, job.claim.pending)
        return routing

    async def dispatch(self, job: Job) -> None:
        """Start the groups whose routing is known, and a task that starts the others as the DNS answers."""
        known: Routed = []
        demand = job.claim.envelope.tls_demand
        unknown: list[tuple[Way, Sequence[Pending]]] = []
        for way, recipients in _by_domain(job) if self._current_rules.book is None else self._by_rules(job):
            routing = self._router.cached(way.domain, way.choice, demand)
            if routing is None:
                unknown.append((way, recipients))
            else:
                known.append((routing, recipients))
            # A local domain stays local whatever a rule says.
            if way.rule is not None and not isinstance(routing, Local):
                job.note_rule(way.rule, recipients)
        if unknown and self._destinations.may_look_up(job):
            job.tasks.start(self._look_up(job, unknown))
        self._start_groups(job, known)

    def _by_rules(self, job: Job) -> ByWay:
        """Return the recipients by their ways, without those whose way is open."""
        # By the identity of the rule, because its value is large.
        by_way: dict[tuple[str, int], tuple[Way, list[Pending]]] = {}
        waiting: list[Pending] = []
        ordered: list[Pending] = []
        for pending in job.claim.pending:
            if pending.way is not None:
                ordered.append(pending)
                continue
            way = self._rules.way(job.claim.envelope, pending.recipient.address)
            if way.open and not isinstance(self._router.cached(way.domain), Local):
                waiting.append(pending)
            else:
                by_way.setdefault((way.domain, id(way.rule)), (way, []))[1].append(pending)
        if waiting:
            self._destinations.wait_for_host_name(self._group(job, waiting))
        return [*by_way.values(), *_by_order(job, ordered)] if ordered else list(by_way.values())

    def close(self) -> None:
        """Cancel the look-ups; the recipients that wait for them stay in the queue."""
        for lookup in list(self._lookups):
            lookup.cancel()

    async def _look_up(self, job: Job, unknown: ByWay) -> None:
        """Look domains up; start the groups of the answers of the first second together, the others one by one."""
        lookups, answers = TaskGroup(), Routed()
        for way, recipients in unknown:
            lookups.start(self._resolve(way, recipients, answers, job.claim.envelope.tls_demand))
        patience = self._clock.callLater(PATIENCE, lookups.wake)
        running = True
        while running and patience.active():
            running = await lookups.next_end()
        if patience.active():
            patience.cancel()
        self._start_groups(job, answers)
        while running:
            answers.clear()
            running = await lookups.next_end()
            self._start_groups(job, answers)

    async def _resolve(
        self, way: Way, recipients: Sequence[Pending], answers: Routed, demand: TlsDemand | None
    ) -> None:
        """Add the routing of a way to the answers, unless the service stops before it is known."""
        lookup = Deferred.fromCoroutine(self._ask(way, demand))
        self._lookups.add(lookup)
        try:
            answers.append((await lookup, recipients))
        except CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 (a bug in routing must not hold the mail for ever)
            answers.append((TryLater(f"internal error in routing: {error}", status="4.3.0"), recipients))
        finally:
            self._lookups.discard(lookup)

    async def _ask(self, way: Way, demand: TlsDemand | None) -> Routing:
        return await self._router.resolve(way.domain, way.choice, demand)

    def _start_groups(self, job: Job, routed: Routed) -> None:
        """Start a task for each group; recipients with one destination share groups of bounded size."""
        if job.cancelled:
            return
        by_destination: dict[str, tuple[Plan, list[Pending]]] = {}
        for routing, recipients in self._deliver_here(job, routed):
            if isinstance(routing, Plan):
                by_destination.setdefault(routing.destination, (routing, []))[1].extend(recipients)
            else:
                self._group(job, recipients).record(RecipientResult(routing))
        most = self._limits.recipients_per_transaction
        for plan, recipients in by_destination.values():
            for start in range(0, len(recipients), most):
                job.tasks.start(self._destinations.send(self._group(job, recipients[start : start + most]), plan))

    def _deliver_here(self, job: Job, routed: Routed) -> Iterator[tuple[Plan | Outcome | Discarded, Sequence[Pending]]]:
        """Deliver to local mailboxes; yield the other recipients, and those with mailboxes on another server."""
        local: list[Pending] = []
        for routing, recipients in routed:
            if isinstance(routing, Local):
                local += recipients
            elif isinstance(routing, Fail):
                yield Failed(routing.text, status=routing.status), recipients
            elif isinstance(routing, Discard):
                yield _discarded(job, recipients), recipients
            else:
                yield routing, recipients
        for part in self._local.deliver(job.claim, local) if local else ():
            if isinstance(part.delivery, Plan):
                yield part.delivery, part.recipients
            else:
                job.tasks.start(self._finish_locally(self._group(job, part.recipients), part.delivery))

    async def _finish_locally(self, group: Group, delivering: "Deferred[Outcomes]") -> None:
        """Record the results of a local delivery."""
        outcomes = await delivering
        transfer = self._clock.seconds() - group.queued_at
        for pending in group.recipients:
            group.job.results[pending.index] = _result(outcomes[pending.index], transfer)
        group.job.newly_done += group.recipients

    def _group(self, job: Job, recipients: Sequence[Pending]) -> Group:
        return Group(job, tuple(recipients), self._clock.seconds())


def _by_domain(job: Job) -> ByWay:
    """Return the recipients by their domains."""
    by_domain: dict[str, list[Pending]] = {}
    ordered: list[Pending] = []
    for pending in job.claim.pending:
        if pending.way is None:
            by_domain.setdefault(pending.recipient.address.domain, []).append(pending)
        else:
            ordered.append(pending)
    ways = [(Way(domain), recipients) for domain, recipients in by_domain.items()]
    return [*ways, *_by_order(job, ordered)] if ordered else ways


def _by_order(job: Job, ordered: Sequence[Pending]) -> ByWay:
    """Return the recipients that an operator wants sent another way, and note that this attempt is the one."""
    by_way: dict[tuple[str, str], tuple[Way, list[Pending]]] = {}
    for pending in ordered:
        assert pending.way is not None, "these are the recipients with another way"
        domain, order = pending.recipient.address.domain, Reroute(pending.way)
        by_way.setdefault((domain, order.to), (Way(domain, order, order), []))[1].append(pending)
    job.orders = {pending.index: pending.way for pending in ordered}
    return list(by_way.values())


def _discarded(job: Job, recipients: Sequence[Pending]) -> Discarded:
    """Return the outcome for recipients that a rule discards."""
    assert job.route_rules is not None, "the rule was noted when it was asked"
    return Discarded(str(job.route_rules[recipients[0].index]))


def _result(outcome: Outcome | Expanded, transfer: float) -> RecipientResult:
    if isinstance(outcome, Expanded):
        return RecipientResult(outcome.outcome, transfer=transfer, mails=outcome.mails)
    return RecipientResult(outcome, transfer=transfer)
