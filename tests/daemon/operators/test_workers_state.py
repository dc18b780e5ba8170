"""The contract of RelayState for the parent of workers, over real queue files; and one relay made of its workers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.admin.state import DestinationState, LoggedEvent, Order
from mta.blocking import run_inline
from mta.config.settings import read_settings
from mta.daemon.operators.workers_state import WorkersState, added_up
from mta.daemon.parts.admin import AskedRelay, OwnState
from mta.event_log.log import EventLog
from mta.message.outcome import Failed
from mta.queue.disk.queue_dir import worker_home
from mta.queue.entries import Action, QueueId
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.rules.book import CurrentRules
from mta.smtp.address import parse_address
from mta.workers.operator_channel import MAX_OCTETS, PATIENCE, Returned, WorkerOperator
from tests.admin.contract import NAME, RelayStateContract
from tests.daemon.parts.test_admin import Delivery
from tests.queue.messages import NOW, mail, scratch


class WorkersCase:
    """A parent, and two workers with queues of their own, connected by lines of JSON."""

    def make(self) -> None:
        self.directory = scratch(self)  # type: ignore[arg-type]
        self.settings = read_settings(
            {
                "MAILNAME": NAME,
                "QUEUE_DIR": str(self.directory),
                "NET_DEV": "none0",
                "ALLOWED_SENDERS": "example.com",
                "WORKERS": "2",
            }
        )
        self.clock: Any = Clock()
        self.lines: list[str] = []
        self.actions: list[tuple[Action, list[QueueId], str]] = []
        self.event_log = EventLog(self.lines.append, lambda: NOW)
        self.workers: dict[int, WorkerOperator] = {}
        self.deliveries: dict[int, Delivery] = {}
        self.queues: dict[int, SqliteQueue] = {}
        rules = CurrentRules(self.settings.rules)
        self.state = WorkersState(
            self.settings,
            rules,
            event_log=self.event_log,
            reactor=self.clock,
            send=self.send,
            run=run_inline,
            wall_clock=lambda: NOW,
        )
        for number in (1, 2):
            self.start(number, rules)
        self.queue = self.queues[1]

    def start(self, number: int, rules: CurrentRules) -> None:
        queue = self.queues[number] = open_queue(worker_home(self.directory, number), run=run_inline, now=NOW)
        self.addCleanup(queue.close)  # type: ignore[attr-defined]
        self.deliveries[number] = Delivery()

        def applied(order: Order, ids: list[QueueId]) -> None:
            self.actions.append((order.action, ids, order.by))

        relay = AskedRelay(self.settings, queue, self.deliveries[number], rules, self.event_log, applied, lambda: NOW)
        self.workers[number] = WorkerOperator(OwnState(relay), lambda *words: self.take(number, *words))
        self.state.workers.started(number)

    def send(self, number: int, *words: Any) -> None:
        verb, *arguments = line(words)
        handler = self.workers[number].handlers().get(verb)
        if handler is not None:
            handler(*arguments)

    def take(self, number: int, *words: Any) -> None:
        verb, *arguments = line(words)
        self.state.workers.handlers(number)[verb](*arguments)

    def queue_dir(self) -> object:
        return self.directory

    def applied(self) -> Sequence[tuple[Action, list[QueueId], str]]:
        return self.actions

    def logged(self) -> Sequence[str]:
        return self.lines


def line(words: tuple[Any, ...]) -> Any:
    """Return words as a channel delivers them."""
    octets = json.dumps(words)
    assert len(octets) < 65536
    return json.loads(octets)


class FirstWorkerTests(WorkersCase, RelayStateContract, SynchronousTestCase):
    """All mail is in the queue of the first worker."""


class SecondWorkerTests(WorkersCase, RelayStateContract, SynchronousTestCase):
    """All mail is in the queue of the second worker."""

    def make(self) -> None:
        super().make()
        self.queue = self.queues[2]


class WorkersTests(WorkersCase, SynchronousTestCase):
    def setUp(self) -> None:
        self.make()
        self.ids = []
        for number in (1, 2):
            new = mail(f"{number}@b.test")
            self.queues[number].add(new, NOW, due=NOW + 60)
            self.ids.append(new.id)

    def now(self, asked: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(asked))

    def test_each_worker_is_told_of_its_own_messages(self) -> None:
        result = self.now(self.state.order(Order(Action.HOLD, None, "alice")))
        self.assertEqual(result.ids, tuple(self.ids))
        # The queues are read from the last to the first.
        self.assertEqual(sorted(self.actions), sorted((Action.HOLD, [id], "alice") for id in self.ids))

    def test_an_order_on_the_mail_of_a_worker_that_does_not_run_is_logged_by_the_parent(self) -> None:
        self.state.workers.ended(2)
        self.now(self.state.order(Order(Action.BOUNCE, tuple(self.ids), "alice")))
        self.assertEqual(self.actions, [(Action.BOUNCE, [self.ids[0]], "alice")])
        names = [each.split()[1] for each in self.lines if self.ids[1] in each]
        self.assertEqual(names, ["amended", "failed", "reported"])

    def test_a_message_that_waits_for_a_rate_is_known_to_one_worker(self) -> None:
        self.deliveries[2].rated = self.ids[1]
        self.assertEqual(self.now(self.state.waits_for(self.ids[1])), "the rate of 30-pace.toml:1")
        self.assertEqual(self.now(self.state.waits_for(self.ids[0])), "")

    def test_a_worker_that_hangs_or_ends_is_not_waited_for(self) -> None:
        self.patch(self.workers[1], "_send", lambda *_: None)
        self.deliveries[2].rated = self.ids[1]
        asked = Deferred.fromCoroutine(self.state.waits_for(self.ids[1]))
        self.assertNoResult(asked)
        self.clock.advance(PATIENCE)
        self.assertEqual(self.successResultOf(asked), "the rate of 30-pace.toml:1")
        asked = Deferred.fromCoroutine(self.state.waits_for(self.ids[1]))
        self.state.workers.ended(1)
        self.assertEqual(self.successResultOf(asked), "the rate of 30-pace.toml:1")
        self.state.workers.ended(2)
        self.assertEqual(self.now(self.state.destinations()), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_returned_message_with_many_failures_takes_several_lines(self) -> None:
        failure = Failed("550 " + "x" * 5000, "mx.b.test[192.0.2.1]:25")
        failures = tuple((parse_address(f"{number}@b.test"), failure) for number in range(100))
        returned = Returned(self.ids[0], parse_address("a@b.test"), failures, self.ids[1])
        self.state.workers.order(1, Order(Action.BOUNCE, None, "alice"), [self.ids[0]], [returned])
        names = [each.split()[1] for each in self.lines]
        self.assertEqual(names, ["failed"] * 100 + ["reported"])

    def test_events_and_errors_of_workers_are_those_of_the_relay(self) -> None:
        seen: list[LoggedEvent] = []
        end = self.now(self.state.follow(seen.append))
        self.take(2, "events", 0, [[NOW, "delivered", {"id": self.ids[1]}]])
        self.take(2, "error", NOW, "trouble", {"text": "disk"})
        self.event_log.trouble("worker 2 ended")
        self.assertEqual([each.name for each in seen], ["delivered", "trouble"])
        end()
        alarms = self.now(self.state.alarms())
        self.assertEqual([each.fields["text"] for each in alarms], ["worker 2 ended", "disk"])

    def test_many_destinations_come_in_several_lines(self) -> None:
        many = [DestinationState(f"{number}.test", 0, 0, 0, 1, domains=("d.test",) * 100) for number in range(100)]

        async def destinations() -> list[DestinationState]:
            return many

        for worker in self.workers.values():
            self.patch(worker._relay, "destinations", destinations)
        found = self.now(self.state.destinations())
        self.assertEqual([each.window for each in found], [2] * 100)
        self.assertGreater(len(json.dumps([each.domains for each in many])), MAX_OCTETS)


ONE = DestinationState(
    "b.test",
    waiting=3,
    connections=0,
    busy=0,
    window=2,
    pace=5.0,
    blocked_until=NOW + 30,
    blocked_because="refused",
    failures=1,
    hosts=("mx.b.test",),
    domains=("b.test",),
    most_messages=10,
)


def test_the_parts_of_a_destination_are_added_up() -> None:
    other = replace(ONE, waiting=1, busy=1, pace=None, throttled=True, domains=("c.test",), most_messages=5)
    found = added_up([ONE, replace(ONE, name="a.test", waiting=9), other])
    assert [each.name for each in found] == ["a.test", "b.test"]
    assert found[1] == replace(
        ONE, waiting=4, busy=1, window=4, throttled=True, failures=2, domains=("b.test", "c.test"), most_messages=5
    )


def test_a_destination_to_which_one_worker_is_connected_is_not_blocked() -> None:
    (found,) = added_up([ONE, replace(ONE, connections=1, blocked_until=None, blocked_because="")])
    assert (found.blocked_until, found.blocked_because, found.connections) == (None, "", 1)
