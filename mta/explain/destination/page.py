"""The page about a destination, as values that lines, JSON and HTML are made of. Times are wall-clock seconds."""

from dataclasses import dataclass

from mta.admin.state import DestinationState
from mta.delivery.replies.common_replies import KnownReply
from mta.explain.destination.mx_hosts import MxHosts
from mta.explain.message.page import Choice, NextAttempt
from mta.explain.values import RouteVerdict, TransportVerdict
from mta.queue.interface import DomainShape, Status


class NoDestination(Exception):
    """The text is the name of no domain, host or smarthost."""


@dataclass(frozen=True, slots=True)
class LastReply:
    """A reply of a host of the destination, or the failure of an attempt, with the last time and the number of it."""

    time: float
    host: str
    reply: str
    #: The state of the recipients after it.
    status: Status
    recipients: int
    #: The usual meaning; None if it is not known, or if the host took the mail.
    meaning: KnownReply | None


@dataclass(frozen=True, slots=True)
class DestinationPage:
    """The page."""

    name: str
    now: float
    #: Whether a relay runs, without which nothing is tried and `live` is empty.
    running: bool
    #: The smarthost that this is, or that it is a host of, with its place in the settings; "" otherwise.
    smarthost: str
    #: The route by the present settings and rules; None for a host that has no mail as a domain.
    route: RouteVerdict | None
    transport: TransportVerdict | None
    mx: MxHosts | None
    #: The TLS policy in words, for each group of hosts with the same.
    tls: tuple[str, ...]
    #: The policies by which MX hosts must prove themselves, in words.
    policy: tuple[str, ...]
    shape: DomainShape | None
    by_host: tuple[DomainShape, ...]
    live: tuple[DestinationState, ...]
    #: The last replies, newest first.
    replies: tuple[LastReply, ...]
    #: None if no mail waits.
    next: NextAttempt | None
    choices: tuple[Choice, ...]
    notes: tuple[str, ...]
