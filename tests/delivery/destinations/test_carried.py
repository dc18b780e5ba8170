"""A destination whose carriage rules have set: connections, and messages on each."""

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from harness.mail import claim
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.window import WindowLimits, own_windows
from mta.delivery.job import Group, Job
from mta.delivery.rates.broker import RateBroker
from mta.delivery.rates.journal import NoJournal
from mta.delivery.rates.leave import Leaves
from mta.delivery.remote.interface import TransactionResult
from mta.delivery.task_group import TaskGroup
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.rate import read_rate
from mta.routing.carriage import Carriage, CarriageRate
from mta.routing.route import Plan
from tests.fakes.connector import FakeConnector

NOW = 1000.0


class Carried:
    """A destination with a carriage, and its connections."""

    def __init__(self, carriage: Carriage | None) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.connector = FakeConnector()
        context = DeliveryContext(self.clock, self.clock.seconds, EventLog(lambda _: None, self.clock.seconds))
        self.destination = Destination(
            "mx.test", own_windows(WindowLimits()), self.connector, context, carriage=carriage
        )
        self.tasks = TaskGroup()

    def send(self, count: int) -> None:
        for _ in range(count):
            job = Job(claim("bob@b.test"), NOW)
            group = Group(job, job.claim.pending, NOW)
            self.tasks.start(self.destination.send(group, Plan("mx.test", ())))


@pytest.fixture
def one() -> Iterator[Carried]:
    carried = Carried(Carriage(connections=1, messages_per_connection=2))
    yield carried
    carried.destination.close()


def test_a_connection_that_is_being_ended_counts_until_it_is_down(one: Carried) -> None:
    one.send(5)
    (first,) = one.connector.connections
    assert (len(one.connector.requests), first.ended) == (2, "quit")
    first.downs.pop()()
    _, second = one.connector.connections
    assert (len(one.connector.requests), second.ended) == (4, "quit")
    second.downs.pop()()
    assert len(one.connector.requests) == 5


def test_an_idle_connection_that_is_ended_counts_until_it_is_down(one: Carried) -> None:
    one.send(1)
    one.clock.advance(10)
    (first,) = one.connector.connections
    assert first.ended == "quit"
    one.send(1)
    assert len(one.connector.connections) == 1
    first.downs.pop()()
    assert len(one.connector.requests) == 2


def test_without_a_rule_a_connection_that_is_being_ended_does_not_count() -> None:
    carried = Carried(None)
    carried.send(501)
    assert [connection.downs for connection in carried.connector.connections] == [[], []]
    carried.destination.close()


def test_the_window_grows_to_the_number_of_a_rule() -> None:
    carried = Carried(Carriage(connections=3))
    carried.connector.held = True
    carried.send(10)
    assert len(carried.connector.connections) == 3
    carried.destination.abort()
    carried.destination.close()


class Rated(Carried):
    """Two destinations of one rate, of which the first takes no connection."""

    def __init__(self) -> None:
        super().__init__(Carriage(connections=2))
        self.broker = RateBroker(self.clock, self._hear, NoJournal())
        self.leaves = Leaves(self._ask, self.clock.seconds)
        self.down, self.up = (self._new(name) for name in ("down.test", "up.test"))

    def _hear(self, _: int, verb: str, /, *words: object) -> None:
        self.leaves.handlers()[verb](*words)

    def _ask(self, verb: str, /, *words: object) -> None:
        self.broker.handlers(0)[verb](*words)

    def _new(self, name: str) -> tuple[Destination, FakeConnector]:
        connector = FakeConnector()
        context = DeliveryContext(self.clock, self.clock.seconds, EventLog(lambda _: None, self.clock.seconds))
        rate = CarriageRate("30-pace.toml:1", (read_rate("2 messages / 10 seconds"),))
        carriage = Carriage(rates=(rate,))
        windows = own_windows(WindowLimits())
        return (
            Destination(name, windows, connector, context, carriage=carriage, new_leave=self.leaves.new),
            connector,
        )

    def send_to(self, destination: Destination, count: int) -> list[Job]:
        jobs = [Job(claim("bob@b.test"), NOW) for _ in range(count)]
        for job in jobs:
            self.tasks.start(destination.send(Group(job, job.claim.pending, NOW), Plan(destination.name, ())))
        return jobs


def test_a_destination_that_is_down_keeps_no_leave_from_the_others() -> None:
    rated = Rated()
    (down, connector), (up, working) = rated.down, rated.up
    connector.down = TryLater("connection refused", status="4.4.1")
    connector.slow = True
    failing = rated.send_to(down, 3)
    rated.send_to(up, 4)
    # The one that is being opened has a place in the rate.
    assert len(working.requests) == 1
    connector.connect()
    assert all(job.results for job in failing)
    assert len(working.requests) == 2
    rated.clock.advance(10)
    assert len(working.requests) == 4
    down.close()
    up.close()


def test_a_lost_connection_with_leave_is_counted_and_the_mail_goes_on() -> None:
    rated = Rated()
    (down, connector), (up, working) = rated.down, rated.up
    connector.held = True
    rated.send_to(down, 1)
    connector.connections[0].answer(TransactionResult({0: TryLater("lost", status="4.4.2")}), usable=False)
    rated.send_to(up, 2)
    assert len(working.requests) == 1
    rated.clock.advance(10)
    assert len(working.requests) == 2
    down.close()
    up.close()
