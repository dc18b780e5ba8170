"""The facts about one message of which its page is made. Times are wall-clock seconds."""

from dataclasses import dataclass

from mta.explain.values import MailVerdict, RetryVerdict, RouteVerdict, TransportVerdict
from mta.queue.interface import Entry


@dataclass(frozen=True, slots=True)
class PresentDecisions:
    """The decisions that the present settings and rules make on a message and its recipients."""

    acl: tuple[MailVerdict, ...]
    #: One for each recipient that was asked about.
    router: tuple[RouteVerdict, ...]
    transport: tuple[TransportVerdict, ...]
    retry: tuple[RetryVerdict, ...]
    #: Remarks about facts that are not known.
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other messages that wait for a domain."""

    domain: str
    number: int
    #: The last reply to one of them, and the host that gave it; "" if none was tried.
    reply: str = ""
    host: str = ""
    #: When that one is tried again.
    due: float | None = None


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """A message of the queue or its history, and its surroundings."""

    entry: Entry
    now: float
    #: None if the settings have mistakes, which are in `mistakes` then.
    stages: PresentDecisions | None
    mistakes: tuple[str, ...] = ()
    #: The reports on the message that are known.
    reports: tuple[Entry, ...] = ()
    #: For the domains of recipients that wait.
    neighbours: tuple[Neighbours, ...] = ()
    #: Whether a relay runs on this queue, and its reason for the wait of the message; "" if it gives none.
    running: bool = False
    waits_for: str = ""
