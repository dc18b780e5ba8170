"""A relay of several workers as an operator asks and orders it: their queue files as one, their answers as one."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.threads import deferToThreadPool

from mta.admin.doctor_file import last_run
from mta.admin.feed import Feed
from mta.admin.feed_channel import EventReceiver
from mta.admin.orders import Orders
from mta.admin.returning import Returned, log_returned
from mta.admin.state import (
    MAX_DOMAINS,
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
from mta.admin.traffic import Traffic
from mta.admin.unix_socket import AdminSocket, SocketFactory
from mta.admin.wire.relay import read_destination
from mta.blocking import RunBlocking
from mta.config.settings import Settings
from mta.daemon.operators.queue_files import QueueFiles
from mta.daemon.parts.admin import about, answer, by_waiting, rule_states, setting_states
from mta.daemon.queues.choosing import operators_queue
from mta.event_log.log import EventLog
from mta.queue.disk.queue_dir import worker_home
from mta.queue.interface import DomainShape, Entry, Query, QueueId, Summary
from mta.queue.search.conditions import Conditions
from mta.rules.book import CurrentRules
from mta.workers.operator_channel import DESTINATIONS, WAITS_FOR, SendTo, WorkersOperator

if TYPE_CHECKING:
    from mta.queue.postgres.operators_queue import OperatorsQueue


class WorkersState:
    """The RelayState of the parent of several workers; `mta.admin.state` has its contract."""

    def __init__(
        self,
        settings: Settings,
        rules: CurrentRules,
        *,
        event_log: EventLog,
        reactor: Any,
        send: SendTo,
        run: RunBlocking | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`send` sends a worker, by its number, a verb with arguments. `run` runs questions to the files."""
        self._settings = settings
        self._rules = rules
        self._event_log = event_log
        self._run = run or partial(deferToThreadPool, reactor, reactor.getThreadPool())
        self._wall_clock = wall_clock
        self._orders = Orders(settings.mailname, wall_clock)
        self._about = about(settings, wall_clock())
        self._numbers = {worker_home(settings.queue_dir, each): each for each in range(1, settings.workers + 1)}
        self._shared = operators_queue(settings, self._run)
        self._traffic = Traffic(settings.queue_dir, wall_clock)
        self._feed = Feed(self._attach)
        event_log.copy_errors_to(self._feed.receive_error)
        self._events = EventReceiver(event_log.copy_to, send, self._feed.receive_error, wall_clock)
        #: The workers, for the supervisor.
        self.workers = WorkersOperator(reactor, send, self._events)
        factory = SocketFactory(self, reactor, wall_clock, self._run)
        #: The service that listens to commands.
        self.socket = AdminSocket(reactor, settings.queue_dir, factory, event_log.trouble)

    def _attach(self, receive: Any) -> Callable[[], object]:
        return self._events.attach(receive)

    def _files(self) -> "QueueFiles | OperatorsQueue":
        return self._shared or QueueFiles(self._settings.queue_dir, self._run, self._wall_clock)

    async def about(self) -> About:
        """Return the version, the name and the start of the relay."""
        return self._about

    async def find(self, query: Query) -> list[Entry]:
        """Return messages in the order that the query asks for."""
        return await answer(self._files().find(query))

    async def count(self, conditions: Conditions, *, finished: bool = False) -> int:
        """Return the number of messages that meet conditions."""
        return await answer(self._files().count(conditions, finished=finished))

    async def select(self, conditions: Conditions) -> list[QueueId]:
        """Return the ids of the waiting messages that meet conditions."""
        return await answer(self._files().select(conditions))

    async def domains(self) -> list[DomainShape]:
        """Return the waiting recipients by domain."""
        return await answer(self._files().domains(self._wall_clock()))

    async def summary(self) -> Summary:
        """Return the counts of messages and recipients."""
        return await answer(self._files().summary())

    async def content(self, id: QueueId) -> bytes | None:
        """Return the octets of a waiting message, or None."""
        return await answer(self._files().content(id))

    async def waits_for(self, id: QueueId) -> str:
        """Return the reason for which a message waits, as one of the workers tells it."""
        return next(filter(None, await self.workers.ask(WAITS_FOR, id)), "")

    async def order(self, order: Order) -> OrderResult:
        """Apply an order to waiting messages."""
        files = self._files()
        if not isinstance(files, QueueFiles):
            return await self._orders.carry_out(order, files, self._tell_one)

        def done(given: Order, ids: list[QueueId], returned: Sequence[Returned]) -> None:
            self._tell(given, _by_home(ids, files.homes), returned)

        return await self._orders.carry_out(order, files, done)

    def _tell_one(self, order: Order, ids: list[QueueId], returned: Sequence[Returned]) -> None:
        """Tell one worker of messages in a shared queue, which all of them have, so that the log has the order once."""
        listening = next((home for home, number in self._numbers.items() if self.workers.listens(number)), None)
        self._tell(order, {listening: ids}, returned)

    def _tell(self, order: Order, by_home: dict[Path | None, list[QueueId]], returned: Sequence[Returned]) -> None:
        """Tell each worker of its messages; without it, log the order here."""
        for home, ids in by_home.items():
            number = self._numbers.get(home) if home is not None else None
            own = [each for each in returned if each.id in set(ids)]
            if number is not None and self.workers.listens(number):
                self.workers.order(number, order, ids, own)
                continue
            self._event_log.amended(order.action, ids, order.by, recipient=order.recipient, to=order.to)
            for each in own:
                log_returned(self._event_log, each)

    async def destinations(self) -> list[DestinationState]:
        """Return the destinations that the workers know now, each added up."""
        return added_up(map(read_destination, await self.workers.ask(DESTINATIONS)))

    async def settings(self) -> Sequence[SettingState]:
        """Return the settings in force."""
        return setting_states(self._settings)

    async def rules(self) -> Sequence[RuleState]:
        """Return the rules in force."""
        return rule_states(self._rules.book)

    async def traffic(self, since: float) -> Sequence[TrafficMinute]:
        """Return the minutes with mail from then on."""
        return self._traffic.since(since)

    async def alarms(self) -> Sequence[LoggedEvent]:
        """Return the last alarms and troubles of all processes, newest first."""
        return self._feed.alarms()

    async def findings(self) -> DoctorRun | None:
        """Return the findings of the last `smtprelay doctor`."""
        return last_run(self._settings.queue_dir)

    async def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:
        """Call `receive` for each later event of any worker."""
        return self._feed.follow(receive)


def _by_home(ids: Iterable[QueueId], homes: dict[QueueId, Path]) -> dict[Path | None, list[QueueId]]:
    """Return the ids by their homes, and take them out of `homes`."""
    found: dict[Path | None, list[QueueId]] = {}
    for id in ids:
        found.setdefault(homes.pop(id, None), []).append(id)
    return found


def added_up(destinations: Iterable[DestinationState]) -> list[DestinationState]:
    """Return destinations, most waiting first, in which the parts of each that several workers see are added up."""
    found: dict[str, DestinationState] = {}
    for each in destinations:
        known = found.get(each.name)
        found[each.name] = each if known is None else _joined(known, each)
    # A worker that waits for the penalty to end tells nothing new if another one is connected.
    return by_waiting(
        replace(each, blocked_until=None, blocked_because="") if each.connections else each for each in found.values()
    )


def _joined(one: DestinationState, other: DestinationState) -> DestinationState:
    return DestinationState(
        one.name,
        waiting=one.waiting + other.waiting,
        connections=one.connections + other.connections,
        busy=one.busy + other.busy,
        window=one.window + other.window,
        pace=_least(one.pace, other.pace),
        throttled=one.throttled or other.throttled,
        blocked_until=max(filter(None, (one.blocked_until, other.blocked_until)), default=None),
        blocked_because=one.blocked_because or other.blocked_because,
        failures=one.failures + other.failures,
        hosts=one.hosts or other.hosts,
        passed_over=tuple(dict.fromkeys(one.passed_over + other.passed_over)),
        domains=tuple(dict.fromkeys(one.domains + other.domains))[:MAX_DOMAINS],
        throttled_because=one.throttled_because or other.throttled_because,
        most_recipients=_least(one.most_recipients, other.most_recipients),
        most_messages=_least(one.most_messages, other.most_messages),
    )


N = TypeVar("N", int, float)


def _least(one: N | None, other: N | None) -> N | None:
    known = [each for each in (one, other) if each is not None]
    return min(known, default=None)
