"""The page about one message, as values that lines, JSON and HTML are made of. Times are wall-clock seconds."""

import enum
from dataclasses import dataclass

from mta.delivery.replies.common_replies import KnownReply
from mta.explain.values import RetryVerdict, RouteVerdict, TransportVerdict
from mta.queue.interface import Action, Entry, QueueId, RecipientState


class MessageNotFound(Exception):
    """The beginning of an id is that of no message, or of several."""


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """When a recipient is tried next, and the reason. `time` is None while no time is set."""

    time: float | None
    words: str


@dataclass(frozen=True, slots=True)
class RecipientPart:
    """The part of the page about one recipient."""

    state: RecipientState
    #: None for a recipient that needs no route any more, or that was not asked about.
    route: RouteVerdict | None
    transport: TransportVerdict | None
    retry: tuple[RetryVerdict, ...]
    #: The usual meaning of the last reply; None if it is not known.
    meaning: KnownReply | None
    #: The other messages that wait for its domain.
    others: int
    #: Advice about a recipient that is done; "" without any.
    advice: str
    #: None for a recipient that is done.
    next: NextAttempt | None
    #: When the schedule ends; None if that depends on the next error, or if the recipient is done.
    gives_up: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A command that the operator may run now, and its effect."""

    command: str
    effect: str
    #: The order that the command gives, or None.
    action: Action | None = None
    #: The message that the command explains, if it is another one.
    message: QueueId | None = None


class StepKind(enum.Enum):
    """The kind of a step in the time line of a message."""

    ACCEPTED = "accepted"
    HELD = "held"
    #: An attempt after which the message waits.
    ATTEMPT = "attempt"
    #: Attempts that have no record, between those that have one.
    NOT_RECORDED = "not recorded"
    #: The end of some recipients.
    DELIVERED = "delivered"
    FAILED = "failed"
    REMOVED = "removed"
    #: A report to the sender was added to the queue.
    REPORTED = "reported"
    #: The attempt that is expected, and the end of the schedule.
    NEXT = "next"
    GIVES_UP = "gives up"


@dataclass(frozen=True, slots=True)
class Step:
    """A step in the time line of a message, for one or more of its recipients."""

    kind: StepKind
    #: None for an attempt that is running, or that has no time yet.
    time: float | None
    text: str
    #: Empty for a step that concerns the message as a whole.
    recipients: tuple[str, ...] = ()
    host: str = ""
    reply: str = ""
    #: The usual meaning of the reply; None if it is not known, or if the host took the mail.
    meaning: KnownReply | None = None
    #: Protocol, cipher and verification of the connection; "" in clear or without a connection.
    tls: str = ""
    #: Seconds spent on waiting for a connection, and on the transaction.
    waited: float = 0.0
    transfer: float = 0.0
    #: The report that was added, or the message that this one reports on.
    message: QueueId | None = None

    @property
    def expected(self) -> bool:
        """Whether the step is yet to come."""
        return self.kind in (StepKind.NEXT, StepKind.GIVES_UP)


@dataclass(frozen=True, slots=True)
class MessagePage:
    """The page."""

    entry: Entry
    now: float
    #: The state of the message in a few words.
    state: str
    #: The client or the relay that submitted it.
    submitted: str
    #: The setting or rule that permits it by the present settings, or that would refuse it now; "" for own mail.
    allowed: str
    #: Why it is held; "" if it is not.
    held: str
    recipients: tuple[RecipientPart, ...]
    #: One line for each report, or the reason why there is none; empty if no recipient has failed.
    reports: tuple[str, ...]
    choices: tuple[Choice, ...]
    notes: tuple[str, ...]
    #: The steps of the past in their order, then those that are expected.
    timeline: tuple[Step, ...]
