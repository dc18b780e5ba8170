"""A relay of one process as an operator asks and orders it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

import mta
from mta.admin.doctor_file import last_run
from mta.admin.orders import Orders
from mta.admin.returning import Returned, log_returned
from mta.admin.state import (
    MAX_DOMAINS,
    About,
    DestinationState,
    DoctorRun,
    LoggedEvent,
    NotRunning,
    Order,
    OrderResult,
    RuleState,
    SettingState,
    StateError,
    TrafficMinute,
)
from mta.config.setting import Source
from mta.config.settings import Settings
from mta.config.summary import rule_summaries
from mta.delivery.destinations.destination import Destination
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.queue.interface import DomainShape, Entry, Query, QueueError, QueueId, Summary
from mta.queue.search.conditions import Conditions
from mta.queue.worker_queues.combined import OperatorQueue
from mta.rules.book import CurrentRules, RuleBook

T = TypeVar("T")


class AskedDelivery(Protocol):
    """The part of the delivery that an operator asks; `mta.delivery.service.DeliveryService` has the contract."""

    def destinations(self) -> Sequence[Destination]:
        """Return the destinations that are known."""

    def waits_for(self, id: QueueId) -> str:
        """Return the reason for a wait that is no attempt."""


class AskedFeed(Protocol):
    """The events of a relay that an operator may see."""

    def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:
        """Call `receive` for each later event of a message; the result ends this. Raises TooMany."""

    def alarms(self) -> Sequence[LoggedEvent]:
        """Return the last alarms and troubles, newest first."""


class AskedTraffic(Protocol):
    """The counts of recipients by minute."""

    def since(self, when: float) -> Sequence[TrafficMinute]:
        """Return the minutes with mail from then on, oldest first, as far as they are kept."""


@dataclass(frozen=True, slots=True)
class AskedRelay:
    """The parts of a relay that an operator asks and orders."""

    settings: Settings
    queue: OperatorQueue
    delivery: AskedDelivery
    rules: CurrentRules
    event_log: EventLog
    #: Takes note of an order that was applied to messages, and logs it.
    applied: Callable[[Order, list[QueueId]], object]
    wall_clock: Callable[[], float]
    feed: AskedFeed | None = None
    traffic: AskedTraffic | None = None


class OwnState:
    """The RelayState of a relay of one process; `mta.admin.state` has its contract."""

    def __init__(self, relay: AskedRelay) -> None:
        settings = relay.settings
        self._relay = relay
        self._queue = relay.queue
        self._orders = Orders(settings.mailname, relay.wall_clock)
        self._about = about(settings, relay.wall_clock())

    async def about(self) -> About:
        """Return the version, the name and the start of the relay."""
        return self._about

    async def find(self, query: Query) -> list[Entry]:
        """Return messages in the order that the query asks for."""
        return await answer(self._queue.find(query))

    async def count(self, conditions: Conditions, *, finished: bool = False) -> int:
        """Return the number of messages that meet conditions."""
        return await answer(self._queue.count(conditions, finished=finished))

    async def select(self, conditions: Conditions) -> list[QueueId]:
        """Return the ids of the waiting messages that meet conditions."""
        return await answer(self._queue.select(conditions))

    async def domains(self) -> list[DomainShape]:
        """Return the waiting recipients by domain."""
        return await answer(self._queue.domains(self._relay.wall_clock()))

    async def summary(self) -> Summary:
        """Return the counts of messages and recipients."""
        return await answer(self._queue.summary())

    async def content(self, id: QueueId) -> bytes | None:
        """Return the octets of a waiting message, or None."""
        return await answer(self._queue.content(id))

    async def waits_for(self, id: QueueId) -> str:
        """Return the reason for which a message waits."""
        return self._relay.delivery.waits_for(id)

    async def order(self, order: Order) -> OrderResult:
        """Apply an order to waiting messages."""
        return await self._orders.carry_out(order, self._queue, self.note)

    def note(self, order: Order, ids: list[QueueId], returned: Sequence[Returned] = ()) -> None:
        """Log an order that was applied to messages, and the messages that it returned, and act on it."""
        self._relay.applied(order, ids)
        for each in returned:
            self.note_returned(each)

    def note_returned(self, returned: Returned) -> None:
        """Log a message that was returned."""
        log_returned(self._relay.event_log, returned)

    async def destinations(self) -> list[DestinationState]:
        """Return the destinations that the delivery knows now."""
        return by_waiting(map(destination_state, self._relay.delivery.destinations()))

    async def settings(self) -> Sequence[SettingState]:
        """Return the settings in force."""
        return setting_states(self._relay.settings)

    async def rules(self) -> Sequence[RuleState]:
        """Return the rules in force."""
        return rule_states(self._relay.rules.book)

    async def traffic(self, since: float) -> Sequence[TrafficMinute]:
        """Return the minutes with mail from then on."""
        return self._relay.traffic.since(since) if self._relay.traffic else ()

    async def alarms(self) -> Sequence[LoggedEvent]:
        """Return the last alarms and troubles, newest first."""
        return self._relay.feed.alarms() if self._relay.feed else ()

    async def findings(self) -> DoctorRun | None:
        """Return the findings of the last `smtprelay doctor`."""
        return last_run(self._relay.settings.queue_dir)

    async def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:
        """Call `receive` for each later event of a message."""
        if self._relay.feed is None:
            raise NotRunning("this relay does not tell its events yet")
        return self._relay.feed.follow(receive)


async def answer(asked: "Deferred[T]") -> T:
    """Return the answer of a queue. Raises StateError."""
    try:
        return await asked
    except QueueError as error:
        raise StateError(str(error)) from error


def about(settings: Settings, started: float) -> About:
    """Return the facts about a relay that started then."""
    return About(mta.__version__, settings.mailname, started, settings.workers, settings.queue_place)


def destination_state(destination: Destination) -> DestinationState:
    """Return a destination as an operator sees it."""
    trouble, blocked = destination.trouble, destination.blocked
    most_recipients, most_messages = destination.learned
    return DestinationState(
        destination.name,
        waiting=destination.waiting,
        connections=destination.connections,
        busy=destination.running,
        window=destination.allowed,
        pace=destination.pace,
        throttled=destination.throttled,
        blocked_until=blocked,
        blocked_because="" if blocked is None or trouble is None else _words(trouble),
        failures=destination.failures,
        hosts=destination.hosts,
        passed_over=destination.passed_over,
        domains=destination.waiting_domains(MAX_DOMAINS),
        throttled_because=destination.throttled_because,
        most_recipients=most_recipients,
        most_messages=most_messages,
    )


def _words(trouble: TryLater) -> str:
    return ": ".join(filter(None, (trouble.host, trouble.text)))


def by_waiting(destinations: Iterable[DestinationState]) -> list[DestinationState]:
    """Return destinations in their order: most waiting first, then by name."""
    return sorted(destinations, key=lambda each: (-each.waiting, each.name))


def setting_states(settings: Settings) -> list[SettingState]:
    """Return the settings in force, those with an origin first."""
    states = [
        SettingState(each.name, each.text, "" if each.source is Source.DEFAULT else each.source.value)
        for each in settings.effective
    ]
    return sorted(states, key=lambda each: not each.origin)


def rule_states(book: RuleBook | None) -> list[RuleState]:
    """Return the rules of a book in words."""
    return [
        RuleState(each.rule.place, each.stage, f'"{each.rule.name}": {each.words}' if each.rule.name else each.words)
        for each in rule_summaries(book)
    ]
