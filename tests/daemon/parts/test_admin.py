"""The contract of RelayState for a relay of one process, and its destinations."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.admin.state import DestinationState, NotRunning, Order
from mta.blocking import run_inline
from mta.config.settings import read_settings
from mta.daemon.parts.admin import AskedRelay, OwnState
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.window import WindowLimits, own_windows
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.queue.entries import Action, QueueId
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.rules.book import CurrentRules
from tests.admin.contract import NAME, RelayStateContract
from tests.fakes.connector import FakeConnector
from tests.queue.messages import NOW, scratch


class Delivery:
    """A delivery that knows some destinations, and that one message waits for a rate."""

    def __init__(self) -> None:
        self.known: list[Destination] = []
        self.rated = QueueId("")

    def destinations(self) -> Sequence[Destination]:
        return self.known

    def waits_for(self, id: QueueId) -> str:
        return "the rate of 30-pace.toml:1" if id == self.rated else ""


class ReplaceableQueue:
    """A queue whose methods a test may replace, which those of a compiled class cannot be."""

    def __init__(self, queue: SqliteQueue) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class OwnStateTests(RelayStateContract, SynchronousTestCase):
    def make(self) -> None:
        self.directory = scratch(self)
        self.queue: Any = ReplaceableQueue(open_queue(self.directory, run=run_inline, now=NOW))
        self.addCleanup(lambda: self.now(self.queue.close()))
        environ = {
            "MAILNAME": NAME,
            "QUEUE_DIR": str(self.directory),
            "NET_DEV": "none0",
            "ALLOWED_SENDERS": "example.com",
        }
        settings = read_settings(environ)
        self.lines: list[str] = []
        self.actions: list[tuple[Action, list[QueueId], str]] = []
        self.delivery = Delivery()
        self.event_log = EventLog(self.lines.append, lambda: NOW)

        def applied(order: Order, ids: list[QueueId]) -> None:
            self.actions.append((order.action, ids, order.by))

        relay = AskedRelay(
            settings, self.queue, self.delivery, CurrentRules(settings.rules), self.event_log, applied, lambda: NOW
        )
        self.state = OwnState(relay)

    def queue_dir(self) -> object:
        return self.directory

    def applied(self) -> Sequence[tuple[Action, list[QueueId], str]]:
        return self.actions

    def logged(self) -> Sequence[str]:
        return self.lines

    def test_a_message_tells_the_rate_that_it_waits_for(self) -> None:
        self.delivery.rated = self.added().id
        self.assertEqual(self.now(self.state.waits_for(self.delivery.rated)), "the rate of 30-pace.toml:1")

    def test_destinations_tell_their_limits_and_failures(self) -> None:
        clock = Clock()
        context = DeliveryContext(clock, lambda: NOW, self.event_log)
        names = ("b.test", "a.test")
        self.delivery.known = [
            Destination(name, own_windows(WindowLimits(start=3)), FakeConnector(), context) for name in names
        ]
        self.assertEqual(
            self.now(self.state.destinations()),
            [
                DestinationState("a.test", waiting=0, connections=0, busy=0, window=3),
                DestinationState("b.test", waiting=0, connections=0, busy=0, window=3),
            ],
        )
        self.delivery.known[0]._feedback.failed(TryLater("connection refused", "mx.b.test[192.0.2.1]:25"))
        down = self.now(self.state.destinations())[1]
        self.assertEqual((down.blocked_until, down.failures, down.window), (NOW + 30, 1, 1))
        self.assertEqual(down.blocked_because, "mx.b.test[192.0.2.1]:25: connection refused")

    def test_events_cannot_be_followed_without_a_feed(self) -> None:
        self.refused(self.state.follow(print), NotRunning)
