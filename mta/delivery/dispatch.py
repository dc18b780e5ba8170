"""Sends the recipients of a job on their ways: grouped by destination, to mailboxes here, or decided at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mta.delivery.destinations import Destinations
from mta.delivery.job import Group, Job, Owner, Result
from mta.delivery.limits import DeliveryLimits
from mta.delivery.together import Answers, Together
from mta.message.outcome import Delivered, Outcome, TryLater
from mta.queue.interface import Claim, NewMail, Pending
from mta.routing.route import Local, Plan, Router, Routing

Routed = list[tuple[Routing, Sequence[Pending]]]
Unrouted = list[tuple[str, list[Pending]]]


@dataclass(frozen=True, slots=True)
class Expanded:
    """A recipient has become others: `mails` go to them, once they are added in the settlement of this `outcome`.

    Recipients of a message may share a mail; the settlement that adds it is that of all of them.
    """

    outcome: Delivered
    mails: tuple[NewMail, ...]


#: The outcomes of recipients by their index.
Outcomes = Mapping[int, Outcome | Expanded]


@dataclass(frozen=True, slots=True)
class LocalPart:
    """Recipients that are delivered together: by this relay, or over a plan to the server that has their mailboxes."""

    recipients: tuple[Pending, ...]
    way: "Deferred[Outcomes] | Plan"


class LocalDelivery(Protocol):
    """Delivers to mailboxes of our own."""

    def deliver(self, claim: Claim, recipients: Sequence[Pending]) -> Sequence[LocalPart]:
        """Begin to deliver to recipients of local domains; return them in parts, each recipient in one.

        These are all local recipients of the claim, so that a mailbox or an address gets one copy of the message. A
        part never fails for a full disk or a missing mailbox.
        """


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
            routing = self._router.known(job.claim.pending[0].recipient.address.domain)
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
            routing = self._router.known(domain)
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

        together = Together(len(unknown), send, self._clock)
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
        return await self._router.find(domain)

    def _not_found(self, failure: Failure, group: Group, together: Together) -> None:
        if failure.check(CancelledError):
            self._owner.abandoned(group)
        else:
            # A bug of ours in routing must not hold the mail for ever.
            trouble = Result(TryLater(f"internal error in routing: {failure.getErrorMessage()}", status="4.3.0"))
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
        result = Result(outcome, transfer=self._clock.seconds() - group.entered)
        self._owner.concluded(group, {pending.index: result for pending in group.recipients})

    def _await(self, group: Group, delivering: "Deferred[Outcomes]") -> None:
        def delivered(outcomes: Outcomes) -> None:
            transfer = self._clock.seconds() - group.entered
            results = {pending.index: _result(outcomes[pending.index], transfer) for pending in group.recipients}
            self._owner.concluded(group, results)

        delivering.addErrback(_internal, group)
        delivering.addCallback(delivered)


def _result(came: Outcome | Expanded, transfer: float) -> Result:
    outcome, mails = (came.outcome, came.mails) if isinstance(came, Expanded) else (came, ())
    return Result(outcome, transfer=transfer, mails=mails)


def _internal(failure: Failure, group: Group) -> Outcomes:
    trouble = TryLater(f"internal error: {failure.getErrorMessage()}", status="4.3.0")
    return {pending.index: trouble for pending in group.recipients}
