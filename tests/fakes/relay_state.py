"""A relay for an operator's questions: a queue that the test fills, and answers of the running relay that it sets."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mta.admin.state import (
    About,
    DestinationState,
    DoctorRun,
    LoggedEvent,
    Order,
    OrderResult,
    RuleState,
    SettingState,
    TrafficMinute,
)
from mta.queue.interface import DomainShape, Entry, Query, QueueId, Summary
from mta.queue.search.conditions import Conditions
from mta.queue.worker_queues.combined import OperatorQueue


class FakeRelayState:
    """A RelayState whose queue is real. Orders are kept in `ordered` and not done."""

    def __init__(self, queue: OperatorQueue, now: float) -> None:
        self.queue = queue
        self.now = now
        self.known = About("1.2.3", "relay.example.test", now - 60, 1, "/queue")
        self.waits: dict[QueueId, str] = {}
        self.known_destinations: list[DestinationState] = []
        self.known_settings: list[SettingState] = []
        self.known_rules: list[RuleState] = []
        self.minutes: list[TrafficMinute] = []
        self.known_alarms: list[LoggedEvent] = []
        self.last_run: DoctorRun | None = None
        self.ordered: list[Order] = []
        self.followers: list[Callable[[LoggedEvent], object]] = []

    def stop(self) -> None:
        """Be a relay that is stopped."""
        self.known = replace(self.known, started=None)

    async def about(self) -> About:
        return self.known

    async def find(self, query: Query) -> list[Entry]:
        return await self.queue.find(query)

    async def count(self, conditions: Conditions, *, finished: bool = False) -> int:
        return await self.queue.count(conditions, finished=finished)

    async def select(self, conditions: Conditions) -> list[QueueId]:
        return await self.queue.select(conditions)

    async def domains(self) -> list[DomainShape]:
        return await self.queue.domains(self.now)

    async def summary(self) -> Summary:
        return await self.queue.summary()

    async def content(self, id: QueueId) -> bytes | None:
        return await self.queue.content(id)

    async def waits_for(self, id: QueueId) -> str:
        return self.waits.get(id, "")

    async def order(self, order: Order) -> OrderResult:
        self.ordered.append(order)
        return OrderResult(order.ids or ())

    async def destinations(self) -> list[DestinationState]:
        return self.known_destinations

    async def settings(self) -> Sequence[SettingState]:
        return self.known_settings

    async def rules(self) -> Sequence[RuleState]:
        return self.known_rules

    async def traffic(self, since: float) -> Sequence[TrafficMinute]:
        return [each for each in self.minutes if each.time >= since]

    async def alarms(self) -> Sequence[LoggedEvent]:
        return self.known_alarms

    async def findings(self) -> DoctorRun | None:
        return self.last_run

    async def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:
        self.followers.append(receive)
        return lambda: self.followers.remove(receive)
