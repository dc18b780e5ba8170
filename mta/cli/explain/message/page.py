"""The page about one message, as values that lines, JSON and HTML are made of. Times are wall-clock seconds."""

from dataclasses import dataclass

from mta.cli.explain.values import RetryVerdict, RouteVerdict, TransportVerdict
from mta.delivery.replies.common_replies import KnownReply
from mta.queue.interface import Entry, RecipientState


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
