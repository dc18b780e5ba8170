"""A whole delivery side on a simulated clock, which sends to a server with a limit."""

from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from harness.limited_server import LimitedServer
from harness.mail import mail
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.window import NewWindow, own_windows, window_limits
from mta.delivery.limits import DeliveryLimits
from mta.delivery.rates.broker import RateBroker
from mta.delivery.rates.journal import Journal, NoJournal
from mta.delivery.rates.leave import Leaves
from mta.delivery.reports import DsnReporter
from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.event_log.log import EventLog
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, Entry, Query
from mta.queue.memory import MemoryQueue
from mta.retry_schedule import RetrySchedule, RetryStep, RetryTerms, Shape
from mta.routing.carriage import Carriage
from mta.routing.choice import RouteChoice
from mta.routing.route import Plan, Routing
from mta.rules.book import CurrentRules
from mta.smtp.parameters import TlsDemand
from mta.workers.window_broker import WindowBroker
from mta.workers.window_client import SharedWindows

# Any time will do that is no multiple of a server's period.
NOW = 1_000_000.3
FOUR_DAYS = RetrySchedule((RetryStep(Shape.FIXED, 4 * 86400.0, 900.0),))


class _OneHost:
    """A router for which every domain has the one server as its host."""

    def __init__(self, carriage: Carriage | None) -> None:
        self.carriage = carriage

    def cached(
        self,
        domain: str,
        choice: RouteChoice | None = None,  # noqa: ARG002
        demand: TlsDemand | None = None,  # noqa: ARG002
    ) -> Routing:
        return Plan("mx.test" if self.carriage is None else f"{domain} by mx.test", (), self.carriage)

    def resolve(
        self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None
    ) -> "Deferred[Routing]":
        return succeed(self.cached(domain, choice, demand))


class _NoMailboxes:
    """Stands for the local mailboxes, which get no mail here."""

    def deliver(self, *_: object) -> None:
        raise AssertionError("no mail is local")


class DeliverySide:
    """A delivery side with a queue in memory and one server."""

    def __init__(self, limits: DeliveryLimits | None = None, schedule: RetrySchedule = FOUR_DAYS) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.lines: list[str] = []
        self.queues: list[MemoryQueue] = []
        self.schedule = schedule
        self.limits = limits
        self.sent: list[str] = []

    def to(
        self,
        server: LimitedServer,
        *,
        workers: int = 1,
        carriage: Carriage | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Start so many delivery sides with this server before them; several share their limits as workers do.

        With a carriage each domain is a destination of its own.
        """
        self.server = server
        self.router = _OneHost(carriage)
        self.rates = RateBroker(self.clock, self._tell_rate, journal or NoJournal())
        schedule_limits = window_limits(self.schedule)
        if workers == 1:
            self._leaves = [self._new_leaves(0)]
            self.services = [self._service(own_windows(schedule_limits), self._leaves[0])]
        else:
            self._shares = WindowBroker(schedule_limits, self._tell)
            self._windows = [SharedWindows(schedule_limits, partial(self._hear, number)) for number in range(workers)]
            self._leaves = [self._new_leaves(number) for number in range(workers)]
            self.services = [
                self._service(windows.new, leaves) for windows, leaves in zip(self._windows, self._leaves, strict=True)
            ]
        for service in self.services:
            service.startService()

    def pace(self) -> float | None:
        """Return the messages a second that the destination allows now, as far as the first delivery side knows."""
        for destination in self.services[0]._destinations.all():
            if destination.paced:
                return destination._window.rate(self.clock.seconds())
        return None

    def _tell(self, worker: int, verb: str, /, *words: object) -> None:
        self.clock.callLater(0.0001, lambda: self._windows[worker].handlers()[verb](*words))

    def _hear(self, worker: int, verb: str, /, *words: object) -> None:
        handlers = self._shares.handlers(worker, self.clock.seconds)
        self.clock.callLater(0.0001, lambda: handlers[verb](*words))

    def _new_leaves(self, worker: int) -> Leaves:
        return Leaves(partial(self._hear_rate, worker), self.clock.seconds)

    def _tell_rate(self, worker: int, verb: str, /, *words: object) -> None:
        self.clock.callLater(0.0001, lambda: self._leaves[worker].handlers()[verb](*words))

    def _hear_rate(self, worker: int, verb: str, /, *words: object) -> None:
        self.clock.callLater(0.0001, lambda: self.rates.handlers(worker)[verb](*words))

    def _service(self, windows: NewWindow, leaves: Leaves) -> DeliveryService:
        seconds = self.clock.seconds
        event_log = EventLog(self.lines.append, seconds)
        retry = RetryPolicy(RetryTerms(self.schedule), CurrentRules())
        reporter = DsnReporter("relay.test", IdSource(tag=3), retry)
        queue = MemoryQueue()
        self.queues.append(queue)
        context = DeliveryContext(self.clock, seconds, event_log)
        return DeliveryService(
            queue,
            self.router,
            self.server,
            _NoMailboxes(),  # type: ignore[arg-type]
            Settler(queue, reporter, retry, context),
            context=context,
            windows=windows,
            limits=self.limits,
            new_leave=leaves.new,
        )

    def send(self, count: int, *recipients: str) -> None:
        """Take messages the way the intake does."""
        for number in range(count):
            index = number % len(self.services)
            service, queue = self.services[index], self.queues[index]
            new = mail(*(recipients or ("bob@b.test",)))
            lease = service.lease(new.body.size)
            queue.add(new, self.clock.seconds(), lease).addCallback(partial(_taken, service))

    def run(self, count: int, longest: float) -> float:
        """Let time pass until the server has so many messages; return the seconds that took. Never passes `longest`."""
        begun = self.clock.seconds()
        while len(self.server.taken) < count:
            calls = self.clock.getDelayedCalls()
            step = min(call.getTime() for call in calls) - self.clock.seconds() if calls else longest
            self.clock.advance(max(step, 0.0))
            assert self.clock.seconds() - begun <= longest, f"{len(self.server.taken)} of {count} after {longest} s"
        return self.clock.seconds() - begun

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        for queue in self.queues:
            queue.find(Query(finished=True)).addCallback(found.extend)
        return found

    def events(self, name: str) -> list[str]:
        return [line for line in self.lines if line.split(" ")[1] == name]


def _taken(service: DeliveryService, claim: Claim | None) -> None:
    if claim is None:
        service.wake()
    else:
        service.take(claim)
