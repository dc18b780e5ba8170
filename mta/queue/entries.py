"""Messages of the queue as an operator sees them, and the questions and actions of operators as values."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NewType

from mta.fast_value import fast_value
from mta.queue.search.conditions import ANY, Conditions

#: Thirteen characters that sort by time; `mta.queue.ids` makes them.
QueueId = NewType("QueueId", str)


class Status(enum.Enum):
    """The state of a recipient. All but WAITING are final."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    REMOVED = "removed"


class Action(enum.Enum):
    """An action that an operator applies to waiting messages. `Queue.bounce` does BOUNCE, `Queue.apply` the others."""

    RETRY = "retry"
    REMOVE = "remove"
    HOLD = "hold"
    RELEASE = "release"
    BOUNCE = "bounce"
    REROUTE = "reroute"


#: The attempts for one recipient that are kept: the first and the last ones.
FIRST_ATTEMPTS = 10
LAST_ATTEMPTS = 40


@fast_value(frozen=True, slots=True)
class AttemptRecord:
    """One attempt for one recipient. An attempt that delivered at once has none, because the recipient tells it all."""

    #: When it ended.
    time: float
    host: str
    #: The full text of the reply, or of the failure.
    reply: str
    #: Enhanced status (RFC 3463).
    status: str
    #: Protocol, cipher and verification of the connection; "" in clear or without a connection.
    tls: str = ""
    #: Seconds spent on waiting for a connection, and on the transaction.
    waited: float = 0.0
    transfer: float = 0.0


@dataclass(frozen=True, slots=True)
class RecipientState:
    """One recipient, for an operator."""

    address: str
    status: Status
    attempts: int
    #: The time from which the message may be claimed: its due time, or the end of its lease. None if status is final.
    due: float | None
    #: The full text of the last reply, and the host that gave it; "" before the first attempt.
    reply: str
    host: str
    #: When the status became final.
    finished: float | None
    #: `signed_by` of the last Verdict.
    signed_by: str = ""
    #: The attempts that are kept, oldest first; empty unless the query asks for details.
    attempts_made: tuple[AttemptRecord, ...] = ()
    #: The way of the next attempt, if an operator wants another than the usual one: `mx`, `smarthost` or `host:port`.
    way: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, waiting or in the history, for an operator."""

    id: QueueId
    #: "" is the null sender.
    sender: str
    size: int
    #: The time from which its age counts: its release if its client had it wait (`mta.queue.ids.release_of`), else the
    #: time at which it was accepted.
    created: float
    client: str
    held: bool
    #: Whether it has a running lease.
    claimed: bool
    recipients: tuple[RecipientState, ...]
    #: When the hold began. None if the message is not held, or was held by an older version.
    held_since: float | None = None
    #: When the running claim began; None if `claimed` is false.
    claimed_since: float | None = None
    #: The Message-ID without its brackets, the Subject and the From field, decoded and shortened; "" if missing.
    message_id: str = ""
    subject: str = ""
    author: str = ""
    #: The user that had logged in, or "".
    login: str = ""
    #: Protocol and cipher of the client's connection; "" in clear.
    tls: str = ""
    #: The sender's demand on TLS, a value of `TlsDemand`; "" if there is none.
    tls_demand: str = ""
    #: The message that this one reports on.
    report_of: QueueId | None = None
    #: The reports on this message; empty unless the query asks for details.
    reports: tuple[QueueId, ...] = ()

    @property
    def unreported(self) -> bool:
        """Whether it failed and has no sender to report to, because it is a report or has the null sender anyway."""
        return not self.sender and any(state.status is Status.FAILED for state in self.recipients)


@dataclass(frozen=True, slots=True)
class Query:
    """Selects the messages to find. Without `ids` every message matches; `finished` adds the history."""

    ids: Sequence[QueueId] = ()
    finished: bool = False
    limit: int = 1_000_000
    conditions: Conditions = ANY
    #: Whether the messages come in the order of their arrival, or the last one first.
    newest_first: bool = False
    #: Only messages that arrived before this one, or after it; it need not exist any more. They are the cursors of a
    #: list that is read in parts: `before` with the newest first, `after` with the oldest first.
    before: QueueId | None = None
    after: QueueId | None = None
    #: Whether to read the attempts and the reports too.
    details: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts of all recipients ever added to a queue, by result, kept in the transactions that change them."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    removed: int = 0
    #: Counted from the rows and not kept, so that a lost recipient shows.
    waiting: int = 0

    @property
    def missing(self) -> int:
        """Recipients accepted that are neither finished nor waiting: 0 unless some were lost (below 0: duplicated)."""
        return self.accepted - self.delivered - self.failed - self.removed - self.waiting


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of waiting messages, and of recipients by status. Final recipients count while the history has them."""

    messages: int
    held: int
    claimed: int
    #: The least `Entry.created` of the messages that wait; a queue need not look at more than the first thousand.
    oldest: float | None
    recipients: dict[Status, int] = field(default_factory=dict)
    ledger: Ledger = Ledger()
    #: Messages in the history, and those among them with a failed recipient.
    finished: int = 0
    failed: int = 0
    #: Messages with the null sender, such as reports, that have a failed recipient.
    unreported: int = 0


#: The bounds of `DomainShape.ages`: seconds since a message was accepted.
AGE_BOUNDS = (300.0, 3600.0, 21600.0, 86400.0)


@dataclass(frozen=True, slots=True)
class DomainShape:
    """The waiting recipients of one domain."""

    domain: str
    #: Recipients that wait and are not held, those that are held, and those in delivery among both.
    waiting: int
    held: int
    in_delivery: int
    #: When the oldest of their messages was created.
    oldest: float
    #: All of them by the age of their message: below each of AGE_BOUNDS, and older.
    ages: tuple[int, ...]
    #: The last reply to a recipient of the newest message that was tried, and the host that gave it; "" if none was.
    reply: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """The work that waits."""

    #: Messages that are due, not held and not being delivered.
    due: int
    #: Octets of all messages that wait.
    octets: int
    #: When the first of the due ones became due.
    first_due: float | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """The facts that show whether a queue loses mail or no longer tries it."""

    ledger: Ledger
    #: The first unheld message to become due, and its due time.
    first: tuple[QueueId, float] | None = None
    #: A message that is never due although one of its recipients is waiting.
    never_due: QueueId | None = None
