"""Three relays deliver from one queue: a dead destination, a living one, and relays that join."""

from itertools import pairwise

from twisted.internet.defer import Deferred

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.window import NewWindow, WindowLimits
from mta.delivery.relays.shares import SETTLE
from mta.delivery.relays.window import RelayWindows
from mta.delivery.remote.interface import Connection
from mta.delivery.reports import DsnReporter
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.message.outcome import TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import Status
from mta.routing.route import Plan
from tests.delivery.service_case import ServiceCase
from tests.fakes.connector import FakeConnector
from tests.fakes.relay_boards import LOOK, CommonTable, FakeBoard
from tests.length import choose

REFUSED = TryLater("connection refused", "mx.dead.test[192.0.2.9]:25", "4.4.1")
LIMITS = WindowLimits(first_penalty=30.0, longest_penalty=120.0)
# Seconds until a connection is opened or refused.
OPENING = 1.0


class TimedConnector(FakeConnector):
    """Opens connections a second later, and remembers when it was asked for each."""

    def __init__(self, case: "SeveralRelaysTests") -> None:
        super().__init__()
        self.case = case
        self.held = True

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> Deferred[Connection | TryLater]:
        self.case.opened.append(self.case.clock.seconds())
        opening: Deferred[Connection | TryLater] = Deferred()
        self.case.clock.callLater(OPENING, self._opened, plan, opening)
        return opening

    def _opened(self, plan: Plan, opening: Deferred[Connection | TryLater]) -> None:
        self.down = self.case.down
        opening.callback(self._result(plan))

    @property
    def in_use(self) -> int:
        return sum(connection.pending is not None or connection.usable for connection in self.connections)


class SeveralRelaysTests(ServiceCase):
    def setUp(self) -> None:
        self.opened: list[float] = []
        self.down: TryLater | None = None
        self.living: tuple[int, ...] = (1, 2, 3)
        self.relays: list[DeliveryService] = []
        self.connectors: list[TimedConnector] = []
        super().setUp()
        self.table = CommonTable(self.clock, (LIMITS.first_penalty, LIMITS.longest_penalty))

    def relay(self, number: int) -> DeliveryService:
        """Start a relay."""
        windows = RelayWindows(LIMITS, wall_clock=self.clock.seconds, living=lambda: self.living, relay=lambda: number)
        FakeBoard(self.table, windows)
        connector = TimedConnector(self)
        self.connectors.append(connector)
        relay = self.service_of(connector, windows.new, number)
        self.relays.append(relay)
        relay.startService()
        return relay

    def service_of(self, connector: FakeConnector, windows: NewWindow, tag: int) -> DeliveryService:
        context = DeliveryContext(self.clock, self.clock.seconds, self.event_log)
        reporter = DsnReporter("relay.test", IdSource(tag=tag), self.retry)
        settler = Settler(self.queue, reporter, self.retry, context)
        return DeliveryService(
            self.queue,
            self.router,
            connector,
            self.mailboxes,
            settler,
            context=context,
            windows=windows,
            limits=self.limits,
        )

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(int(seconds / step)):
            self.clock.advance(step)

    def answer_all(self) -> None:
        for connector in self.connectors:
            for connection in connector.connections:
                if connection.pending is not None:
                    connection.answer()

    @property
    def in_use(self) -> int:
        return sum(connector.in_use for connector in self.connectors)

    def waiting(self) -> int:
        return self.successResultOf(self.queue.summary()).messages

    def test_a_dead_destination_is_probed_once_a_step_by_all_relays_together(self):
        self.down = REFUSED
        for number in self.living:
            self.relay(number)
        self.pass_time(SETTLE)
        for number in range(choose(400, 10_000)):
            self.add(f"u{number}@dead.test")
        for relay in self.relays:
            relay.wake()
        self.pass_time(LOOK + 2 * OPENING)
        # Until the first news each relay finds out by itself.
        first = len(self.opened)
        self.assertLessEqual(first, LIMITS.start)
        self.pass_time(30 + 60 + 120 + 120 + 120)
        probes = self.opened[first:]
        gaps = [later - earlier for earlier, later in pairwise(probes)]
        self.assertIn(len(probes), (4, 5))
        for gap, penalty in zip(gaps, (60, 120, 120, 120), strict=False):
            self.assertTrue(penalty <= gap <= penalty + 15, gaps)
        attempts = [entry.recipients[0].attempts for entry in self.entries()]
        self.assertLess(sum(attempts), len(self.opened) * 2 * self.limits.waiting_unconnected)
        self.down = None
        for _ in range(choose(250, 1000)):
            self.pass_time(5)
            self.answer_all()
        self.assertEqual(self.waiting(), 0)
        self.assertEqual({entry.recipients[0].status for entry in self.entries()}, {Status.DELIVERED})
        self.assertEqual(self.table.rows, {})

    def test_a_living_destination_never_has_more_connections_than_from_one_relay(self):
        for number in self.living:
            self.relay(number)
        self.pass_time(SETTLE)
        for number in range(choose(600, 10_000)):
            self.add(f"u{number}@busy.test")
        most = 0
        for relay in self.relays:
            relay.wake()
        while self.waiting():
            self.pass_time(1)
            most = max(most, self.in_use)
            self.answer_all()
        self.assertEqual(most, LIMITS.most)

    def test_a_relay_that_joins_takes_its_share_from_the_others(self):
        self.living = (1,)
        self.relay(1)
        self.pass_time(SETTLE)
        for number in range(1500):
            self.add(f"u{number}@busy.test")
        self.relays[0].wake()
        for _ in range(20):
            self.pass_time(1)
            self.answer_all()
        self.assertEqual(self.in_use, LIMITS.most)
        self.relay(2)
        # The new relay knows it at once, and the old one with its next sign of life.
        self.living = (1, 2)
        for number in range(500):
            self.add(f"v{number}@busy.test")
        self.relays[1].wake()
        most = 0
        while self.waiting():
            self.pass_time(1)
            most = max(most, self.in_use)
            self.answer_all()
        self.assertLessEqual(most, LIMITS.most + 1)
        self.assertGreater(len(self.connectors[1].requests), 200)
