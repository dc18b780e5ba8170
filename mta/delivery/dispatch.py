"""Sends the recipients of a job on their ways: grouped by destination, to mailboxes here, or decided at once.

Holds the answers of the DNS for one message together, but not for long.
"""

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mta.delivery.destinations.destinations import Destinations
from mta.delivery.job import Group, Job, Owner, RecipientResult
from mta.delivery.limits import DeliveryLimits
from mta.delivery.local.interface import Expanded, LocalDelivery, Outcomes
from mta.message.outcome import Outcome, TryLater
from mta.queue.interface import Pending
from mta.routing.route import Local, Plan, Router, Routing

#: Seconds for which recipients wait for the look-ups of others, so that those who share a destination share a
#: transaction. A domain whose servers are silent takes half a minute, and delays nobody else's mail for longer.
PATIENCE = 1.0

Answers = Sequence[tuple[Routing, Group]]


class RoutingBatch:
    """Takes the answers to `expected` questions; `send` gets those of the first second at once, others one by one."""

    def __init__(self, expected: int, send: Callable[[Answers], None], clock: IReactorTime) -> None:
        self._expected = expected
        self._send = send
        self._answers: list[tuple[Routing, Group]] = []
        self._patience = clock.callLater(PATIENCE, self._flush)

    def answered(self, routing: Routing, group: Group) -> None:
        """Take the routing of a group's recipients."""
        self._answers.append((routing, group))
        self.ended()

    def ended(self) -> None:
        """Count out one question, answered or not."""
        self._expected -= 1
        if not self._expected and self._patience.active():
            self._patience.cancel()
        if not self._patience.active():
            self._flush()

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self._send(answers)


Routed = list[tuple[Routing, Sequence[Pending]]]
Unrouted = list[tuple[str, list[Pending]]]


class Dispatcher:
    """Routes jobs."""

    def __init__(
        self,
        router: Router,
        local: LocalDelivery,
        owner: Owner,
        *,
        destinations: Destinations,
        limits: DeliveryLimits,
        clock: IReactorTime,
    ) -> None:
        self._router = router
        self._local = local
        self._owner = owner
        self._enter = destinations.enter
        self._may_search = destinations.search
        self._limits = limits
        self._clock = clock
        # Look-ups under way, which end with the service.
        self._finding: set[Deferred[Routing]] = set()

    def dispatch(self, job: Job) -> None:
        """Open the groups of a job. What needs no look-up goes at once; the rest follows as the DNS answers."""
        if len(job.claim.pending) == 1:
            routing = self._router.cached(job.claim.pending[0].recipient.address.domain)
            if isinstance(routing, Plan):
                # The usual message needs none of the sorting below, which is 1 % of what it costs.
                self._enter(self._group(job, job.claim.pending), routing)
                return
        by_domain: dict[str, list[Pending]] = {}
        for pending in job.claim.pending:
            by_domain.setdefault(pending.recipient.address.domain, []).append(pending)
        known: Routed = []
        unknown: Unrouted = []
        for domain, recipients in by_domain.items():
            routing = self._router.cached(domain)
            if routing is None:
                unknown.append((domain, recipients))
            else:
                known.append((routing, recipients))
        # The group that stands for the dispatching itself keeps the job open until all the others were counted.
        itself = self._group(job, [])
        if unknown and self._may_search(job):
            self._look_up(job, unknown)
        self._send(job, known)
        self._owner.abandoned(itself)

    def close(self) -> None:
        """Wait for no answer of the DNS any more: the mail that does is given back."""
        for finding in list(self._finding):
            finding.cancel()

    def _look_up(self, job: Job, unknown: Unrouted) -> None:
        def send(answers: Answers) -> None:
            self._send(job, [(routing, group.recipients) for routing, group in answers])
            for _, group in answers:
                self._owner.abandoned(group)

        together = RoutingBatch(len(unknown), send, self._clock)
        # Each question's group keeps the job open until its recipients are in others.
        for domain, group in [(domain, self._group(job, recipients)) for domain, recipients in unknown]:
            finding = Deferred.fromCoroutine(self._routing(domain))
            self._finding.add(finding)
            finding.addBoth(self._found, finding)
            finding.addCallbacks(
                together.answered, self._not_found, callbackArgs=(group,), errbackArgs=(group, together)
            )

    def _found(self, result: Routing | Failure, finding: "Deferred[Routing]") -> Routing | Failure:
        self._finding.discard(finding)
        return result

    async def _routing(self, domain: str) -> Routing:
        return await self._router.resolve(domain)

    def _not_found(self, failure: Failure, group: Group, together: RoutingBatch) -> None:
        if failure.check(CancelledError):
            self._owner.abandoned(group)
        else:
            # A bug of ours in routing must not hold the mail for ever.
            trouble = RecipientResult(
                TryLater(f"internal error in routing: {failure.getErrorMessage()}", status="4.3.0")
            )
            self._owner.concluded(group, {pending.index: trouble for pending in group.recipients})
        together.ended()

    def _send(self, job: Job, routed: Routed) -> None:
        """Those with one destination go together, in transactions of bounded size."""
        if job.cancelled:
            return
        together: dict[str, tuple[Plan, list[Pending]]] = {}
        for routing, recipients in self._deliver_here(job, routed):
            if isinstance(routing, Plan):
                together.setdefault(routing.destination, (routing, []))[1].extend(recipients)
            else:
                self._decide(self._group(job, recipients), routing)
        most = self._limits.recipients_per_transaction
        for plan, recipients in together.values():
            for start in range(0, len(recipients), most):
                self._enter(self._group(job, recipients[start : start + most]), plan)

    def _deliver_here(self, job: Job, routed: Routed) -> Iterator[tuple[Plan | Outcome, Sequence[Pending]]]:
        """Deliver what is local; yield the rest, and what is local but in the mailboxes of another server."""
        local: list[Pending] = []
        for routing, recipients in routed:
            if isinstance(routing, Local):
                local += recipients
            else:
                yield routing, recipients
        for part in self._local.deliver(job.claim, local) if local else ():
            if isinstance(part.way, Plan):
                yield part.way, part.recipients
            else:
                self._await(self._group(job, part.recipients), part.way)

    def _group(self, job: Job, recipients: Sequence[Pending]) -> Group:
        job.open_groups += 1
        return Group(job, tuple(recipients), self._clock.seconds())

    def _decide(self, group: Group, outcome: Outcome) -> None:
        result = RecipientResult(outcome, transfer=self._clock.seconds() - group.entered)
        self._owner.concluded(group, {pending.index: result for pending in group.recipients})

    def _await(self, group: Group, delivering: "Deferred[Outcomes]") -> None:
        def delivered(outcomes: Outcomes) -> None:
            transfer = self._clock.seconds() - group.entered
            results = {pending.index: _result(outcomes[pending.index], transfer) for pending in group.recipients}
            self._owner.concluded(group, results)

        delivering.addErrback(_internal, group)
        delivering.addCallback(delivered)


def _result(came: Outcome | Expanded, transfer: float) -> RecipientResult:
    outcome, mails = (came.outcome, came.mails) if isinstance(came, Expanded) else (came, ())
    return RecipientResult(outcome, transfer=transfer, mails=mails)


def _internal(failure: Failure, group: Group) -> Outcomes:
    trouble = TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0")
    return {pending.index: trouble for pending in group.recipients}
