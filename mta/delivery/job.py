"""One claimed message while it is in work: the groups of its recipients, and their results so far."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mta.delivery.remote.interface import DeliveryRequest
from mta.delivery.remote.walk import FIRST_STEP, Walk
from mta.delivery.task_group import TaskGroup
from mta.dkim.signer import SignedBody, Signer
from mta.fast_value import fast_value
from mta.message.body import Body
from mta.message.outcome import Discarded, Outcome, TryLater
from mta.queue.interface import Claim, NewMail, Pending

# A relay without rules need not have this in memory.
if TYPE_CHECKING:
    from mta.routing.choice import Reroute
    from mta.rules.conditions import Rule


@fast_value(frozen=True, slots=True)
class RecipientResult:
    """The outcome of an attempt for one recipient, with the facts that the log tells of it.

    `waited` and `transfer` are seconds; `not_before` is the earliest time for another attempt, because the destination
    takes no mail until then. `mails` are added to the queue in the place of the recipient, with its settlement;
    recipients may share one.
    """

    outcome: Outcome | Discarded
    waited: float = 0.0
    transfer: float = 0.0
    security: str = ""
    #: As in a TransactionResult.
    signed_by: str = ""
    not_before: float = 0.0
    mails: tuple[NewMail, ...] = ()
    #: The answer of the host before, if the recipient went on to another one in the same attempt.
    earlier: TryLater | None = None


class Job:
    """A claim and the results gathered for it. A recipient without a result stays in the queue as it is."""

    __slots__ = (
        "cancelled",
        "claim",
        "newly_done",
        "next_try",
        "orders",
        "outgoing",
        "results",
        "route_rules",
        "settled_early",
        "taken",
        "tasks",
    )

    def __init__(self, claim: Claim, taken: float, signer: Signer | None = None) -> None:
        self.claim = claim
        #: When work on this claim began, wall-clock seconds.
        self.taken = taken
        #: The coroutines that deliver to groups of the recipients.
        self.tasks = TaskGroup()
        #: By recipient index.
        self.results: dict[int, RecipientResult] = {}
        #: Recipients that got their result since the last look for some to settle before the others.
        self.newly_done: list[Pending] = []
        #: Indexes of the recipients that were settled before the others.
        self.settled_early: set[int] = set()
        #: Whether an operator removed or held the message: then no further step is begun.
        self.cancelled = False
        #: When the recipients that were not tried are due again, wall-clock seconds; 0 means at once.
        self.next_try = 0.0
        #: The rules or orders that decided on the ways of recipients, by index; None if none did.
        self.route_rules: dict[int, Rule | Reroute] | None = None
        #: `Pending.way` of the recipients whose attempt went that way, by index; None without any.
        self.orders: dict[int, str | None] | None = None
        #: The message as remote hosts get it; None for the body as it is.
        self.outgoing = SignedBody(signer) if signer else None

    def renew(self, claim: Claim) -> None:
        """Go on under a newer lease of the same message."""
        self.claim = claim

    def note_rule(self, rule: "Rule | Reroute", recipients: Sequence[Pending]) -> None:
        """Note the rule or the order that decided on the way of recipients."""
        if self.route_rules is None:
            self.route_rules = {}
        self.route_rules.update((pending.index, rule) for pending in recipients)

    def put_off(self, text: str) -> None:
        """Give a result to each recipient that has none, because of a bug in the relay."""
        trouble = RecipientResult(TryLater(text, status="4.3.0"))
        for pending in self.claim.pending:
            self.results.setdefault(pending.index, trouble)


@fast_value(frozen=True, slots=True)
class Group:
    """Recipients of one job that share a transaction.

    `queued_at` is when they began to wait, on the reactor's clock; `unsent` is as in a DeliveryRequest. `walk` is the
    part of their attempt that is over; None before the first host has answered.
    """

    job: Job
    recipients: tuple[Pending, ...]
    queued_at: float
    unsent: frozenset[int] = frozenset()
    walk: Walk | None = None

    @property
    def so_far(self) -> Walk:
        """The part of the attempt that is over."""
        return self.walk or FIRST_STEP

    def request(self, body: Body) -> DeliveryRequest:
        """Return the request for one transaction."""
        claim = self.job.claim
        return DeliveryRequest(claim.id, claim.envelope, body, self.recipients, self.unsent)

    def record(self, result: RecipientResult) -> None:
        """Give all recipients the same result."""
        self.job.results.update((pending.index, result) for pending in self.recipients)
        self.job.newly_done += self.recipients

    def record_outcomes(
        self,
        outcomes: Mapping[int, Outcome],
        earlier: Mapping[int, TryLater],
        *,
        waited: float,
        transfer: float = 0.0,
        security: str = "",
        signed_by: str = "",
        not_before: float = 0.0,
    ) -> None:
        """Give each recipient its outcome; `earlier` are the answers of the host before, all by recipient index."""
        results = self.job.results
        for pending in self.recipients:
            index = pending.index
            before = earlier.get(index) if earlier else None
            results[index] = RecipientResult(
                outcomes[index], waited, transfer, security, signed_by, not_before, (), before
            )
        self.job.newly_done += self.recipients
