"""A whole delivery side whose mail has a rate by a rule, on a clock: never more in any span, and no attempt counted."""

from itertools import pairwise

import pytest

from harness.limited_delivery import DeliverySide
from harness.limited_server import LimitedServer, Unlimited
from mta.queue.interface import Status
from mta.rate import read_rate
from mta.routing.carriage import Carriage, CarriageRate


def rates(*texts: str, place: str = "30-pace.toml:1") -> tuple[CarriageRate, ...]:
    return (CarriageRate(place, tuple(map(read_rate, texts))),)


def most_within(times: list[float], seconds: float) -> int:
    """Return the largest number of these times in any span of so many seconds."""
    return max(sum(first <= at < first + seconds for at in times) for first in times)


def assert_only_delivered(relay: DeliverySide, count: int) -> None:
    relay.clock.advance(1)
    recipients = [recipient for entry in relay.entries() for recipient in entry.recipients]
    assert [recipient.status for recipient in recipients] == [Status.DELIVERED] * count
    # Those that had to wait were not tried in vain.
    assert {recipient.attempts for recipient in recipients} == {1}
    for event in ("deferred", "reported", "destination-throttled"):
        assert relay.events(event) == []


@pytest.mark.parametrize("workers", [1, 4])
def test_ten_a_minute_of_25_at_once_are_ten_at_once_and_never_more_in_a_minute(workers: int) -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited(), latency=0.3)
    relay.to(server, workers=workers, carriage=Carriage(rates=rates("10 messages/minute")))
    relay.send(25)
    relay.run(10, 10)
    assert len(server.taken) == 10
    relay.run(25, 240)
    assert most_within(server.taken, 60) == 10
    assert_only_delivered(relay, 25)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_rate_of_a_rule_holds_across_its_destinations_which_take_turns(workers: int) -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited(), latency=0.1)
    relay.to(server, workers=workers, carriage=Carriage(rates=rates("5 messages / 10 seconds")))
    relay.send(30, "a@a.test")
    for number in range(10):
        relay.send(1, f"b@b{number}.test")
    relay.run(40, 240)
    assert most_within(server.taken, 10) == 5
    assert_only_delivered(relay, 40)


def test_each_destination_has_a_rate_of_its_own_with_rate_each() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited())
    relay.to(server, carriage=Carriage(rates_each=rates("1 message / 30 seconds")))
    for number in range(3):
        relay.send(2, f"b@b{number}.test")
    relay.run(3, 1)
    relay.run(6, 35)
    assert server.taken[3] - server.taken[2] > 29
    assert_only_delivered(relay, 6)


def test_several_rates_hold_together() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited())
    relay.to(server, carriage=Carriage(rates=rates("3 messages / 2 seconds", "10 messages/minute")))
    relay.send(20)
    relay.run(20, 140)
    assert most_within(server.taken, 2) == 3
    assert most_within(server.taken, 60) == 10
    assert_only_delivered(relay, 20)


def test_recipients_are_counted_and_a_message_with_too_many_goes_in_parts() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited(), latency=0.5)
    relay.to(server, carriage=Carriage(rates=rates("5 recipients / 10 seconds")))
    relay.send(2, *(f"r{number}@b.test" for number in range(7)))
    # Two parts of 5 and 2, four transactions.
    relay.run(4, 60)
    assert min(later - at for at, later in pairwise(server.taken)) > 5
    assert_only_delivered(relay, 14)


def test_mail_for_a_day_waits_in_the_queue_and_other_mail_goes() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited())
    relay.to(server, carriage=Carriage(rates=rates("5 messages/day")))
    relay.send(40)
    relay.run(5, 1)
    relay.clock.pump([1.0] * 30)
    (service,) = relay.services
    assert service._work.jobs == {}
    # They come back now and then, not together, and are looked at without an attempt.
    relay.clock.pump([10.0] * 120)
    assert len(server.taken) == 5
    assert len(service._work.jobs) < 5
    relay.run(10, 86_400)
    relay.run(40, 8 * 86_400)
    assert most_within(server.taken, 86_400) == 5
    assert_only_delivered(relay, 40)


def test_mail_that_waits_for_days_is_not_reported_late_and_not_given_up() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited())
    relay.to(server, carriage=Carriage(rates=rates("1 message / 3 days")))
    relay.send(4)
    relay.run(4, 10 * 86_400)
    assert_only_delivered(relay, 4)


def test_the_operator_can_ask_which_messages_wait_for_which_rate() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, Unlimited()), carriage=Carriage(rates=rates("5 messages/minute")))
    relay.send(40)
    (service,) = relay.services
    relay.run(5, 1)
    waiting = [entry for entry in relay.entries() if entry.recipients[0].status is Status.WAITING]
    # Some of them are in memory, the others in the queue.
    assert {entry.claimed for entry in waiting} == {True, False}
    assert {service.waits_for(entry.id) for entry in waiting} == {"the rate of 30-pace.toml:1"}
    relay.run(40, 900)
    relay.clock.advance(1)
    assert {service.waits_for(entry.id) for entry in relay.entries()} == {""}


def test_a_stop_gives_back_what_waits_and_its_leave() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, Unlimited()), carriage=Carriage(rates=rates("2 messages/minute")))
    relay.send(8)
    relay.run(2, 1)
    (service,) = relay.services
    service.stopService()
    relay.clock.pump([0.1] * 5)
    relay.rates.close()
    assert relay.clock.getDelayedCalls() == []
    assert [entry.claimed for entry in relay.entries()] == [False] * 8


def test_a_rate_that_is_lifted_by_new_rules_holds_no_more_mail() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited())
    relay.to(server, carriage=Carriage(rates=rates("2 messages/hour")))
    relay.send(6)
    relay.run(2, 1)
    relay.router.carriage = Carriage(connections=3)
    relay.send(1)
    relay.run(7, 310)
    assert_only_delivered(relay, 7)


def test_new_rules_that_leave_a_rate_as_it_was_give_no_second_allowance() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited())
    relay.to(server, carriage=Carriage(rates=rates("4 messages/minute")))
    relay.send(6)
    relay.run(4, 1)
    relay.router.carriage = Carriage(rates=rates("4 messages/minute"), connections=2)
    relay.send(4)
    relay.run(10, 240)
    assert most_within(server.taken, 60) == 4
    assert_only_delivered(relay, 10)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_connection_is_never_two(workers: int) -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited(), latency=0.2, connections=1)
    relay.to(server, workers=workers, carriage=Carriage(connections=1, messages_per_connection=3))
    relay.send(20)
    relay.run(20, 60)
    assert server.refused == []
    assert_only_delivered(relay, 20)


def test_more_connections_than_the_relay_opens_by_itself() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, Unlimited(), latency=5.0)
    relay.to(server, carriage=Carriage(connections=40))
    relay.send(400)
    relay.run(400, 200)
    assert 20 < server.most_transactions <= 40
