"""The interface by which operators ask and order a relay: its values, its errors, and the protocol `RelayState`.

A relay of one process, the parent of several workers, the client of the API, and the queue files of a stopped relay
have the same interface. Times are wall-clock seconds since 1970.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mta.doctor.findings import Finding
from mta.queue.interface import Action, DomainShape, Entry, Query, QueueId, Summary
from mta.queue.search.conditions import Conditions


class StateError(Exception):
    """A question or an order failed; the text tells an operator the reason and the remedy."""


class NotRunning(StateError):
    """The question needs a running relay."""


class WrongOrder(StateError):
    """An order that no relay carries out, because of its parts."""


class TooMany(StateError):
    """A bound is reached, so that the same request may succeed later."""


#: The domains that a DestinationState names.
MAX_DOMAINS = 100


@dataclass(frozen=True, slots=True)
class About:
    """The relay itself."""

    version: str
    name: str
    #: None if the relay is stopped.
    started: float | None
    workers: int
    queue_dir: str


@dataclass(frozen=True, slots=True)
class DestinationState:
    """A destination as the delivery sees it now. Messages that wait on disk only are not counted here."""

    name: str
    #: Groups of recipients that wait in memory for a connection.
    waiting: int
    #: Connections that are open, and those with a transaction.
    connections: int
    busy: int
    #: Connections that it may have at most.
    window: int
    #: Messages a second if it is paced, or None.
    pace: float | None = None
    #: Whether the destination itself refused because of a limit.
    throttled: bool = False
    #: Until when connections are forbidden, and the reason; None and "" if they are allowed.
    blocked_until: float | None = None
    blocked_because: str = ""
    #: Failures of connections since the last success.
    failures: int = 0
    #: The names of its hosts in the order to try them, and the labels of those that are passed over for a moment.
    hosts: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    #: Domains of the recipients that wait in memory, MAX_DOMAINS at most.
    domains: tuple[str, ...] = ()
    #: The reply that told of a limit of rate or of connections; "" without any.
    throttled_because: str = ""
    #: Recipients of one transaction and messages of one connection at most, as its hosts have shown; None if they have
    #: shown no such limit.
    most_recipients: int | None = None
    most_messages: int | None = None


@dataclass(frozen=True, slots=True)
class SettingState:
    """A setting in force. The value of a secret is masked."""

    name: str
    value: str
    #: The place that it comes from, in words; "" is the default.
    origin: str = ""


@dataclass(frozen=True, slots=True)
class RuleState:
    """A rule in force: its place `FILE:LINE`, its stage, and its text in one line."""

    place: str
    stage: str
    text: str


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event of the log with its fields, as docs/log-events.md describes them."""

    time: float
    name: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TrafficMinute:
    """Recipients by result in the minute that began at `time`."""

    time: float
    accepted: int
    delivered: int
    failed: int
    removed: int


@dataclass(frozen=True, slots=True)
class DoctorRun:
    """The findings of `smtprelay doctor`, and when it found them."""

    time: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """An operator's order on waiting messages."""

    action: Action
    #: None: all messages to which the action applies. RETRY, HOLD and RELEASE only.
    ids: tuple[QueueId, ...] | None
    #: The operator, for the log.
    by: str
    #: The address to which the order is limited; "" is every recipient.
    recipient: str = ""
    #: For REROUTE: `host:port`, `mx` or `smarthost`.
    to: str = ""


@dataclass(frozen=True, slots=True)
class OrderResult:
    """The messages to which an order was applied."""

    ids: tuple[QueueId, ...]
    #: Held messages that a RETRY of all left alone.
    held: int = 0
    #: Messages of a BOUNCE whose sender wants no report.
    unreported: int = 0
    #: The reason for which the order failed for other messages; "" if it did not. A failure for all is a StateError.
    failure: str = ""


class RelayState(Protocol):
    """A relay, for an operator. Each method may raise StateError, and NotRunning where it says so."""

    async def about(self) -> About:
        """Return the version, the name and the start of the relay."""

    async def find(self, query: Query) -> list[Entry]:
        """Return messages in the order that the query asks for."""

    async def count(self, conditions: Conditions, *, finished: bool = False) -> int:
        """Return the number of waiting messages that meet conditions; `finished` adds the history."""

    async def select(self, conditions: Conditions) -> list[QueueId]:
        """Return the ids of the waiting messages that meet conditions, in the order of their arrival."""

    async def domains(self) -> list[DomainShape]:
        """Return the waiting recipients by domain, most first."""

    async def summary(self) -> Summary:
        """Return the counts of messages and recipients."""

    async def content(self, id: QueueId) -> bytes | None:
        """Return the octets of a waiting message, or None if the message does not wait."""

    async def waits_for(self, id: QueueId) -> str:
        """Return the reason for which a message waits; "" if it is unknown or the relay is stopped."""

    async def order(self, order: Order) -> OrderResult:
        """Apply an order to waiting messages, and notify the delivery. It is logged with its user and its number."""

    async def destinations(self) -> list[DestinationState]:
        """Return the destinations that the delivery knows now, most waiting first; empty if the relay is stopped."""

    async def settings(self) -> Sequence[SettingState]:
        """Return the settings in force, those with an origin first. Raises NotRunning."""

    async def rules(self) -> Sequence[RuleState]:
        """Return the rules in force, in their order. Raises NotRunning."""

    async def traffic(self, since: float) -> Sequence[TrafficMinute]:
        """Return the minutes with mail from then on, oldest first, as far as they are kept."""

    async def alarms(self) -> Sequence[LoggedEvent]:
        """Return the last alarms and troubles that the relay logged, newest first; empty if the relay is stopped."""

    async def findings(self) -> DoctorRun | None:
        """Return the findings of the last `smtprelay doctor`, or None if there are none."""

    async def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:
        """Call `receive` for each later event of a message; the result ends this. Raises NotRunning, TooMany."""
