"""One claimed message while it is in work: its groups of recipients and what became of each so far."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.delivery.remote.interface import Connection, DeliveryRequest, TransactionResult
from mta.delivery.remote.walk import FIRST_STEP, Walk
from mta.dkim.signer import Outgoing, Signer
from mta.fast_value import fast_value
from mta.message.body import Body
from mta.message.outcome import Outcome, TryLater
from mta.queue.interface import Claim, NewMail, Pending


@fast_value(frozen=True, slots=True)
class RecipientResult:
    """An outcome with what the log wants to know of it.

    `waited` and `transfer` are seconds; `not_before` is the earliest time for another attempt, because the destination
    takes nothing until then. `mails` are to be added to the queue in the place of the recipient, with its settlement;
    recipients may share one.
    """

    outcome: Outcome
    waited: float = 0.0
    transfer: float = 0.0
    security: str = ""
    #: As in a Carried.
    signed_by: str = ""
    not_before: float = 0.0
    mails: tuple[NewMail, ...] = ()
    #: The answer of the host before, if the recipient went on to another one in the same attempt.
    earlier: TryLater | None = None


class Job:
    """A claim and the results gathered for it. `open_groups` counts the groups still under way."""

    __slots__ = ("again", "cancelled", "claim", "open_groups", "outgoing", "results", "settled_early", "taken")

    def __init__(self, claim: Claim, taken: float, signer: Signer | None = None) -> None:
        self.claim = claim
        #: When work on this claim began, wall-clock seconds.
        self.taken = taken
        self.open_groups = 0
        self.results: dict[int, RecipientResult] = {}
        #: Recipients settled already under the same claim.
        self.settled_early: set[int] = set()
        #: Set when an operator took the message away: nothing more is begun for it.
        self.cancelled = False
        #: When to come again if nothing can be begun now, wall-clock seconds.
        self.again = 0.0
        #: What remote hosts get; None for the body as it is.
        self.outgoing = Outgoing(signer) if signer else None

    def renew(self, claim: Claim) -> None:
        """Go on under a newer lease of the same message."""
        self.claim = claim


@fast_value(frozen=True, slots=True)
class Group:
    """Recipients of one job that travel together.

    `entered` is when they began to wait, on the reactor's clock; `unsent` is as in a Parcel. `walk` is the part of
    their attempt that is over; None before the first host has answered.
    """

    job: Job
    recipients: tuple[Pending, ...]
    entered: float
    unsent: frozenset[int] = frozenset()
    walk: Walk | None = None

    @property
    def so_far(self) -> Walk:
        """The part of the attempt that is over."""
        return self.walk or FIRST_STEP

    def part(self, recipients: Sequence[Pending]) -> "Group":
        """Return a new group of some of these recipients; the job then has one more that is open."""
        self.job.open_groups += 1
        return replace(self, recipients=tuple(recipients))

    def results(
        self,
        outcomes: Mapping[int, Outcome],
        earlier: Mapping[int, TryLater],
        *,
        waited: float,
        transfer: float = 0.0,
        security: str = "",
        signed_by: str = "",
        not_before: float = 0.0,
    ) -> dict[int, RecipientResult]:
        """Return the result of each recipient; `earlier` are the answers of the host before, all by recipient index."""
        results = {}
        for pending in self.recipients:
            index = pending.index
            before = earlier.get(index) if earlier else None
            results[index] = RecipientResult(
                outcomes[index], waited, transfer, security, signed_by, not_before, (), before
            )
        return results

    def carry(self, connection: Connection, *, leaving: bool = True) -> "Deferred[TransactionResult]":
        """Run one transaction over a connection; what is `leaving` for other hosts is signed.

        What cannot be read here is put off and not held against the host.
        """
        claim, outgoing = self.job.claim, self.job.outgoing
        if outgoing is None or not leaving:
            return connection.deliver(self._parcel(claim.body))
        ready = outgoing.of(claim.envelope, claim.body)
        return ready.addCallbacks(lambda body: self._carry_signed(connection, body, outgoing), self._unread)

    def _carry_signed(self, connection: Connection, body: Body, outgoing: Outgoing) -> "Deferred[TransactionResult]":
        carrying = connection.deliver(self._parcel(body))
        return carrying.addCallback(lambda carried: replace(carried, signed_by=outgoing.signed_by))

    def _parcel(self, body: Body) -> DeliveryRequest:
        claim = self.job.claim
        return DeliveryRequest(claim.id, claim.envelope, body, self.recipients, self.unsent)

    def _unread(self, failure: Failure) -> TransactionResult:
        failure.trap(OSError)
        assert isinstance(failure.value, OSError)
        text = f"cannot read the message body: {failure.value.strerror or 'unknown error'}"
        return TransactionResult({pending.index: TryLater(text, status="4.3.0") for pending in self.recipients})


class Owner(Protocol):
    """Who is told what became of a group. Each group that was opened is concluded or abandoned, once."""

    def concluded(self, group: Group, results: dict[int, RecipientResult]) -> None:
        """Take one result for each recipient of the group."""

    def abandoned(self, group: Group) -> None:
        """Take a group back that was not begun: its recipients stay as they are."""
