"""The queue as everyone else sees it: verbs about stored mail, no dates computed, no sockets.

`writer`, `require_room` and `discard` answer at once. Each other verb returns a Deferred, which for a change fires when
that is on disk and synced. A QueueFull failure means nothing was stored; a QueueError means the queue cannot be used.
Times are wall-clock seconds since 1970.
"""

import enum
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType, Protocol

from mta.fast_value import fast_value
from mta.message.body import Body
from mta.message.envelope import Envelope, Recipient
from mta.message.outcome import Delivered, Outcome

if TYPE_CHECKING:
    # Half of what a health check would cost, which knows the errors here but never waits for a queue.
    from twisted.internet.defer import Deferred

#: Thirteen characters that sort by time; made by mta.queue.ids.
QueueId = NewType("QueueId", str)


class QueueError(Exception):
    """The queue cannot do what was asked; the message tells an operator what to do."""


class QueueFull(QueueError):
    """No room on the disk: nothing of the message was kept."""


class BodyLost(QueueError):
    """A body that was to be added is gone, or could not be made durable: it has to be written anew."""


class Status(enum.Enum):
    """Where a recipient stands. All but WAITING are final."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    REMOVED = "removed"


@fast_value(frozen=True, slots=True)
class Pending:
    """A recipient that still waits. `index` is its place in the envelope as it was added."""

    index: int
    recipient: Recipient
    #: Attempts already made.
    attempts: int = 0


@fast_value(frozen=True, slots=True)
class Claim:
    """The right to work on a message until the lease ends. `token` grows with each claim of the message.

    `envelope.recipients` holds all recipients, `pending` those that still wait.
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
    """What is known of a message that is due, before it is claimed. `domains` are those of the recipients that wait."""

    created: float
    #: Whether the sender was told that the message is late, or is nobody.
    delay_reported: bool
    domains: tuple[str, ...]


#: Says until when, wall-clock seconds, a message is to be left alone; None: it may be claimed.
DeferralFilter = Callable[[DueMessage], float | None]


@fast_value(frozen=True, slots=True)
class Verdict:
    """The outcome of one attempt for one recipient; `due` says when to try again and is None when it is final."""

    index: int
    outcome: Outcome
    due: float | None = None
    #: The DKIM signer of the copy that was sent, or why it was not signed; "" where no copy is signed.
    signed_by: str = ""

    @property
    def status(self) -> Status:
        """Where this verdict leaves its recipient."""
        if self.due is not None:
            return Status.WAITING
        return Status.DELIVERED if isinstance(self.outcome, Delivered) else Status.FAILED


@fast_value(frozen=True, slots=True)
class NewMail:
    """A message to add: one that a client sent, or, along with a settlement, an alias's copy or a report."""

    id: QueueId
    envelope: Envelope
    body: Body


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


class Action(enum.Enum):
    """What an operator may do to waiting messages."""

    RETRY = "retry"
    REMOVE = "remove"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class RecipientState:
    """One recipient as an operator sees it."""

    address: str
    status: Status
    attempts: int
    #: When the message may be claimed next: its due time, or the end of the running lease. None when status is final.
    due: float | None
    #: The last reply in full and who gave it; "" before the first attempt.
    reply: str
    host: str
    #: When the status became final.
    finished: float | None
    #: As the Verdict of the last attempt said.
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as an operator sees it, waiting or in the history."""

    id: QueueId
    #: "" is the null sender.
    sender: str
    size: int
    created: float
    client: str
    held: bool
    #: Whether someone works on it now.
    claimed: bool
    recipients: tuple[RecipientState, ...]
    #: When the hold began. None when it is not held, or was held by an older version.
    held_since: float | None = None
    #: When the running claim began; None when `claimed` is false.
    claimed_since: float | None = None

    @property
    def unreported(self) -> bool:
        """Whether it is a report, or another message without a sender, that failed: its addressee does not hear."""
        return not self.sender and any(state.status is Status.FAILED for state in self.recipients)


@dataclass(frozen=True, slots=True)
class Query:
    """Which messages to find. `ids` empty means any; `finished` adds the history."""

    ids: Sequence[QueueId] = ()
    finished: bool = False
    limit: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of all recipients that a queue was ever given, counted in the transactions that changed them."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    removed: int = 0
    #: Not counted along the way but found, so that what is lost shows.
    waiting: int = 0

    @property
    def missing(self) -> int:
        """How many were accepted and are neither finished nor waiting: 0, or something was lost (below 0: doubled)."""
        return self.accepted - self.delivered - self.failed - self.removed - self.waiting


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of waiting messages, and of recipients by status (the final ones within the kept history)."""

    messages: int
    held: int
    claimed: int
    #: When the first of them, in the order they came, was created.
    oldest: float | None
    recipients: dict[Status, int] = field(default_factory=dict)
    ledger: Ledger = Ledger()
    #: Messages in the kept history, and those of them with a recipient that failed.
    finished: int = 0
    failed: int = 0
    #: Messages with the null sender, such as reports, with a recipient that failed.
    unreported: int = 0


@dataclass(frozen=True, slots=True)
class Audit:
    """What shows whether a queue loses mail or forgets to try it."""

    ledger: Ledger
    #: The unheld message that may be claimed first, and from when on.
    first: tuple[QueueId, float] | None = None
    #: A message with a recipient that waits though the message itself does not.
    never_due: QueueId | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """Room for mail: octets that are free on the disk, and those of free pages in the queue file, for small bodies."""

    free: int
    reusable: int = 0
    #: Whether the history should make room, whether mail is refused, and whether a body that needs a file is.
    short: bool = False
    full: bool = False
    no_files: bool = False

    @property
    def total(self) -> int:
        """All octets that mail may take."""
        return self.free + self.reusable


class BodyWriter(Protocol):
    """Takes a body while it arrives: small ones stay in memory, large ones go to a file at once."""

    @property
    def size(self) -> int:
        """Octets written so far."""

    def write(self, data: bytes) -> None:
        """Append octets. Raises QueueFull when the disk is; the writer is then aborted."""

    @property
    def in_memory(self) -> int:
        """Octets of memory that it takes now; 0 once it ended."""

    def spill(self) -> None:
        """Take no more memory for this body than must be: it goes to a file, small as it may be. Raises QueueFull."""

    def finish(self) -> Body:
        """Return the body, for `Queue.add` (which makes it durable) or `Queue.discard`. Raises QueueFull."""

    def abort(self) -> None:
        """Forget everything; harmless after `finish`, `abort` or a failed `write`."""


class Queue(Protocol):
    """The persistent queue."""

    def writer(self, id: QueueId) -> BodyWriter:
        """Return a writer for the body of a message about to be added under this id."""

    def require_room(self, octets: int) -> None:
        """Raise QueueFull when a body of so many octets, about to be written by a writer, has no room.

        May be called from any thread.
        """

    def discard(self, body: Body) -> None:
        """Forget a body that a writer finished and that will not be added, or added no more."""

    def add(
        self, mail: NewMail, now: float, lease: float | None = None, due: float | None = None
    ) -> "Deferred[Claim | None]":
        """Store a message. When the Deferred fires the message survives a power cut.

        With `lease` (seconds) the message is born claimed and the Claim is the result; otherwise it is None and the
        message is due at `due`, or at once. Fails with QueueFull, and the body is forgotten.
        """

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> "Deferred[list[Claim]]":
        """Take up to `limit` messages that are due, not held and under no running lease; longest due first.

        The list may be shorter than the number of due messages, to bound the memory of their bodies, but is not empty.
        Messages for which `deferral_filter` returns a time are not claimed; their due time is set to it, at a fraction
        of the cost of a claim. The list may then be empty although messages are due. The filter is not asked about a
        message whose lease ran out.
        """

    def note_in_flight(self, id: QueueId, indexes: Collection[int]) -> "Deferred[frozenset[int]]":
        """Note that these recipients of a claimed message are about to be sent their copy.

        When the Deferred fires the mark survives a power cut. It gives those that had a mark already, whose copy may
        have been taken before. A settlement takes the marks of its recipients away, one that gives the claim back and
        `release` those of the whole message.
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
        """Give a claim back untouched, to be due at `due`. False means the lease had been lost."""

    def next_due(self) -> "Deferred[float | None]":
        """Return when the next unheld message comes due (a leased one at its lease's end); None when none waits."""

    def apply(self, action: Action, ids: Sequence[QueueId] | None, now: float) -> "Deferred[list[QueueId]]":
        """Do what an operator asked to these waiting messages (None: to all) and return the ids it was done to.

        An id is returned when its message waits, whether or not it was so before. RETRY makes a message due now (one
        that is being tried goes on) and releases its hold; REMOVE ends its waiting recipients as removed and cancels a
        running lease; HOLD and RELEASE set and lift the hold. RETRY of all leaves held messages alone, and RELEASE of
        all concerns those alone.
        """

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return messages in the order they came. What was asked but is not yet stored may be missing."""

    def summary(self) -> "Deferred[Summary]":
        """Count what is there."""

    def audit(self) -> "Deferred[Audit]":
        """Look for what must not be. Reads every recipient that is remembered."""

    def space(self) -> "Deferred[Space]":
        """Return how much room there is."""

    def forget(self, before: float, limit: int = 10_000) -> "Deferred[int]":
        """Drop up to `limit` messages from the history that were finished before then; return how many went."""

    def close(self) -> "Deferred[None]":
        """Finish what was asked, then close; later calls fail with QueueError."""
