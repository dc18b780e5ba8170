"""The interface of the queue: its values, its errors, and the protocol `Queue`.

`writer`, `require_room` and `discard` return at once. Every other method returns a Deferred; if the method changes the
queue, the Deferred fires after the change is synced to disk. QueueFull means that the message was not stored for lack
of space, any other QueueError that the queue cannot be used. Times are wall-clock seconds since 1970.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mta.fast_value import fast_value
from mta.message.body import Body
from mta.message.envelope import Envelope, Recipient
from mta.message.outcome import Delivered, Discarded, Outcome
from mta.queue.entries import (
    Action,
    AttemptRecord,
    Audit,
    DomainShape,
    Entry,
    Ledger,
    Load,
    Query,
    QueueId,
    RecipientState,
    Status,
    Summary,
)
from mta.queue.search.conditions import Conditions

if TYPE_CHECKING:
    # Without this import a health check costs half as much; it uses the errors here, but no queue.
    from twisted.internet.defer import Deferred

__all__ = [
    "MAX_DUE_RECIPIENTS",
    "NOT_DESCRIBED",
    "Action",
    "AttemptRecord",
    "Audit",
    "BodyLost",
    "BodyWriter",
    "Claim",
    "DeferralFilter",
    "Description",
    "DomainShape",
    "DueMessage",
    "Entry",
    "LeaseLost",
    "Ledger",
    "Load",
    "MakeReports",
    "NewMail",
    "Pending",
    "Query",
    "Queue",
    "QueueError",
    "QueueFull",
    "QueueId",
    "RecipientState",
    "Settlement",
    "Space",
    "Status",
    "Summary",
    "Verdict",
]


class QueueError(Exception):
    """The queue cannot carry out a request; the text tells an operator how to fix it."""


class QueueFull(QueueError):
    """The disk has no room for the message, of which the queue keeps no part."""


class LeaseLost(QueueError):
    """The claim is no longer this relay's, so no copy of its message may be sent."""


class BodyLost(QueueError):
    """The body of a message to add is gone or could not be made durable, so the caller must write it again."""


@fast_value(frozen=True, slots=True)
class Pending:
    """A recipient that is still waiting. `index` is its place in the envelope as it was added."""

    index: int
    recipient: Recipient
    #: Attempts already made.
    attempts: int = 0
    #: The way of this attempt alone, if an operator wants another than the usual one: `mx`, `smarthost`, `host:port`.
    way: str | None = None


@fast_value(frozen=True, slots=True)
class Claim:
    """The right to work on a message until its lease ends. `token` grows with each claim of the message.

    `envelope.recipients` has all recipients, `pending` those that are still waiting.
    """

    id: QueueId
    token: int
    envelope: Envelope
    body: Body
    created: float
    pending: tuple[Pending, ...]
    #: Whether the sender was already told that the message is late.
    delay_reported: bool = False


@fast_value(frozen=True, slots=True)
class DueMessage:
    """A due message before it is claimed. `domains` are the domains of its waiting recipients, each once."""

    created: float
    #: Whether no report of delay is to be sent: the sender was told already, or is the null sender.
    delay_reported: bool
    domains: tuple[str, ...]
    #: The sender, the origin and the waiting recipients, without parameters of MAIL and RCPT. None if the filter does
    #: not ask for them, and for a message with more than MAX_DUE_RECIPIENTS waiting recipients.
    envelope: Envelope | None = None
    #: The number of its id (`mta.queue.ids.to_number`).
    number: int = 0


#: The waiting recipients up to which a DueMessage has an envelope.
MAX_DUE_RECIPIENTS = 100


@dataclass(frozen=True, slots=True)
class DeferralFilter:
    """Decides which due messages are deferred. `with_envelopes` tells whether it asks for `DueMessage.envelope`."""

    #: Returns the wall-clock time to which a due message is deferred, or None if it may be claimed.
    until: Callable[[DueMessage], float | None]
    with_envelopes: bool = False


# Reading a member off its Enum costs as much as a call in Python 3.11, and most messages need this one.
_DELIVERED = Status.DELIVERED


@fast_value(frozen=True, slots=True)
class Verdict:
    """The outcome of one attempt for one recipient. `due` is the time of the next attempt, None if it is final."""

    index: int
    outcome: Outcome | Discarded
    due: float | None = None
    #: The DKIM signer of the copy that was sent, or the reason why it was not signed; "" if the relay does not sign.
    signed_by: str = ""
    #: The attempt, for the history; None for one that delivered at once, which needs no record of its own.
    attempt: AttemptRecord | None = None
    #: `Pending.way` if the attempt went that way: the next one goes the usual way, unless another was ordered since.
    way: str | None = None

    @property
    def status(self) -> Status:
        """The state of the recipient after this verdict."""
        if self.due is not None:
            return Status.WAITING
        if isinstance(self.outcome, Delivered):
            return _DELIVERED
        return Status.REMOVED if isinstance(self.outcome, Discarded) else Status.FAILED


@fast_value(frozen=True, slots=True)
class Description:
    """The facts about a message by which an operator may look for it, as in `Entry`; delivery does not need them."""

    message_id: str = ""
    subject: str = ""
    author: str = ""
    tls: str = ""
    report_of: QueueId | None = None


NOT_DESCRIBED = Description()


@fast_value(frozen=True, slots=True)
class NewMail:
    """A message to add: a client's, or, as part of a settlement, a report or the message of an alias."""

    id: QueueId
    envelope: Envelope
    body: Body
    #: Whether it is added held, so that it is not delivered until an operator releases it.
    held: bool = False
    description: Description = NOT_DESCRIBED


@fast_value(frozen=True, slots=True)
class Settlement:
    """The results of the work on a claim, for `Queue.settle` to record in one transaction at the time `now`.

    A waiting recipient without a verdict stays as it is.
    """

    claim: Claim
    verdicts: Sequence[Verdict]
    now: float
    #: Messages to add in the same transaction: reports, and the messages of aliases.
    reports: Sequence[NewMail] = ()
    #: Whether the claim goes on after this settlement, so that another one follows.
    keep_claim: bool = False
    #: Whether `reports` tells the sender that the message is late.
    delay_reported: bool = False
    #: The earliest time at which the message may be due again.
    not_before: float = 0.0


#: Returns the reports that the sender must get after verdicts that a claim's recipients got from an operator.
MakeReports = Callable[[Claim, Sequence[Verdict]], Sequence[NewMail]]


@dataclass(frozen=True, slots=True)
class Space:
    """Room for mail: octets that are free on the disk, and octets of free pages in the queue file for small bodies."""

    free: int
    reusable: int = 0
    #: Whether finished messages should be dropped from the history to make room.
    short: bool = False
    #: Whether mail is refused.
    full: bool = False
    #: Whether mail is refused if its body needs a file.
    no_files: bool = False

    @property
    def total(self) -> int:
        """Octets that mail may take."""
        return self.free + self.reusable


class BodyWriter(Protocol):
    """Stores a body while it arrives: a small one in memory, a large one in a file."""

    @property
    def size(self) -> int:
        """Octets written so far."""

    def write(self, data: bytes) -> None:
        """Append octets. Raises QueueFull, and aborts the writer, if the disk is full."""

    @property
    def in_memory(self) -> int:
        """Octets of memory that the writer holds; 0 after it is finished or aborted."""

    def spill(self) -> None:
        """Move the body to a file, even a small one, to free memory. Raises QueueFull."""

    def finish(self) -> Body:
        """Return the body for `Queue.add`, which makes it durable, or for `Queue.discard`. Raises QueueFull."""

    def abort(self) -> None:
        """Delete the body. Has no effect after `finish`, `abort` or a failed `write`."""


class Queue(Protocol):
    """The persistent queue."""

    def writer(self, id: QueueId) -> BodyWriter:
        """Return a writer for the body of a message that is to be added under this id."""

    def require_room(self, octets: int) -> None:
        """Raise QueueFull if there is no room for a body of this size that is yet to be written.

        May be called from any thread.
        """

    def discard(self, body: Body) -> None:
        """Delete a finished body that will not be added."""

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        """Store a message, which survives a power cut once the Deferred has fired.

        With `lease` (seconds) the message is claimed from the start and the result is the Claim. Otherwise the result
        is None, and the message is due at `due` or at once. A held message is never claimed here, whatever `lease` is.
        Fails with QueueFull, and then the body is deleted.
        """

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> "Deferred[list[Claim]]":
        """Claim up to `limit` messages that are due, not held and not under a running lease, longest due first.

        If messages are due, at least one is claimed; `limit` may not be reached, to bound the memory of their bodies.
        A message for which `deferral_filter` gives a time is not claimed but becomes due then, which costs a fraction
        of a claim; the list may then be empty although messages are due. The filter is not asked about a message whose
        lease ran out, or of which a recipient is to go another way.
        """

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> "Deferred[frozenset[int]]":
        """Mark recipients of a claimed message whose copy is about to be sent.

        The marks survive a power cut once the Deferred has fired. Its result is the recipients that were marked
        before, because a host may have accepted their copy already. A settlement removes the marks of its recipients;
        a settlement that gives the claim back, and `release`, remove all marks of the message. Fails with LeaseLost if
        another relay or an operator has ended the claim; then nothing is marked.
        """

    def settle(self, settlement: Settlement) -> "Deferred[bool]":
        """Record the verdicts, add the reports, and give the claim back (unless `keep_claim`), all or nothing.

        The result is False when the lease had been lost: then nothing is changed and nothing added. A message whose
        recipients are all final leaves the queue for the history. A claim that is given back makes the message due at
        the earliest due time of its waiting recipients, but not before `not_before`. After a failure nothing is
        changed and the bodies of the reports are kept, so that the same settlement may be offered again until it
        succeeds; otherwise the bodies are given to `discard`. Fails with BodyLost when one of these bodies cannot be
        added any more, and all of them are forgotten.
        """

    def release(self, claim: Claim, due: float) -> "Deferred[bool]":
        """Give a claim back without results; the message is due at `due`. The result is False if the lease was lost."""

    def release_deferred(self, due: float, now: float, limit: int) -> "Deferred[int]":
        """Make messages due `now` whose due time is exactly `due`, and return their number.

        At most `limit` are made due, in the order of their arrival; held and leased ones are left. If there were
        fewer, none is left with that due time that is neither held nor leased.
        """

    def next_due(self) -> "Deferred[float | None]":
        """Return when the next unheld message is due (a leased one: when its lease ends), or None if there is none."""

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an operator's action to these waiting messages, or to all if `ids` is None; return their ids.

        The id of a waiting message is returned even if the action changes nothing. RETRY releases a message and makes
        it due now; a running attempt goes on. REMOVE makes the waiting recipients final as REMOVED and ends a running
        lease. HOLD and RELEASE set and clear the hold. Applied to all, RETRY skips held messages and RELEASE takes
        only these. REROUTE has the next attempt for the waiting recipients go the way `to`, a text of
        `mta.routing.choice`, and makes the message due now. A held message stays held, and a running attempt goes on.

        With `recipient`, an address in any case, the action is for the messages in which it waits. REMOVE then leaves
        the other recipients as they are, and a lease goes on as long as one of them waits: later results for a removed
        recipient change nothing. An attempt is for all recipients that wait, and so is RETRY. A hold is of a whole
        message: HOLD and RELEASE fail, and change nothing, if another recipient waits in one of the messages.
        """

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Make the waiting recipients of these messages final as FAILED with a text; return the ids of the messages.

        A running lease ends. `make_reports` is called for each message, in any thread, and its reports are added in the
        same transaction. An error that it raises fails the Deferred, and then nothing is changed. `recipient` is as in
        `apply` for REMOVE.
        """

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return messages in the order that the query asks for. Changes that are not yet committed may be missing."""

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of waiting messages that meet conditions; `finished` adds the history."""

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions, in the order of their arrival."""

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients by domain, most first, then by the name of the domain."""

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""

    def audit(self) -> "Deferred[Audit]":
        """Return the facts for an audit. Reads the row of every recipient."""

    def space(self) -> "Deferred[Space]":
        """Return the room for mail."""

    def forget(self, before: float, limit: int = 10_000) -> "Deferred[int]":
        """Drop up to `limit` messages that were finished before then from the history; return their number."""

    def close(self) -> "Deferred[None]":
        """Finish all earlier requests, then close. Later calls fail with QueueError."""
