"""A destination whose carriage rules have set: connections, and messages on each."""

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from harness.mail import claim
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.window import WindowLimits, own_windows
from mta.delivery.job import Group, Job
from mta.delivery.task_group import TaskGroup
from mta.event_log.log import EventLog
from mta.routing.carriage import Carriage
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
