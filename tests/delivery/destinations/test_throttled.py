"""A whole delivery side before servers with limits, on a clock: the time of a batch, and its attempts."""

from collections.abc import Callable

import pytest

from harness.limited_delivery import NOW, DeliverySide
from harness.limited_server import AtRandom, FixedWindow, Limit, LimitedServer, SlidingWindow, TokenBucket, Unlimited
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import Action, Status
from mta.retry_schedule import RetrySchedule, RetryStep, Shape
from mta.smtp.replies import Reply, reply


def assert_all_went_well(relay: DeliverySide, count: int) -> None:
    """Assert that each message was delivered at the first attempt that counts, and that nothing was reported."""
    relay.clock.advance(1)
    entries = relay.entries()
    assert len(entries) == count
    recipients = [recipient for entry in entries for recipient in entry.recipients]
    assert {recipient.status for recipient in recipients} == {Status.DELIVERED}
    assert {recipient.attempts for recipient in recipients} == {1}
    assert relay.events("deferred") == []
    assert relay.events("reported") == []
    assert len(relay.server.taken) == count


LIMITS: dict[str, tuple[Callable[[], Limit], float]] = {
    "bucket": (lambda: TokenBucket(5, 5), 5.0),
    "strict": (lambda: TokenBucket(5, 1), 5.0),
    "deep": (lambda: TokenBucket(5, 50), 5.0),
    "second": (lambda: FixedWindow(5, 1), 5.0),
    "sliding": (lambda: SlidingWindow(5, 1), 5.0),
    "punishing": (lambda: SlidingWindow(5, 1, punishes=True), 5.0),
    "minute": (lambda: FixedWindow(20, 60), 20 / 60),
    "sliding minute": (lambda: SlidingWindow(20, 60), 20 / 60),
    "punishing minute": (lambda: SlidingWindow(20, 60, punishes=True), 20 / 60),
    "hour": (lambda: FixedWindow(20, 3600), 20 / 3600),
    "sliding hour": (lambda: SlidingWindow(20, 3600), 20 / 3600),
    "punishing hour": (lambda: SlidingWindow(20, 3600, punishes=True), 20 / 3600),
    "strict hour": (lambda: TokenBucket(20 / 3600, 1), 20 / 3600),
    "fast": (lambda: FixedWindow(50, 1), 50.0),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", LIMITS)
def test_sixty_messages_at_once_take_the_time_that_the_limit_allows_and_half_of_it(name: str, workers: int) -> None:
    new_limit, rate = LIMITS[name]
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, new_limit()), workers=workers)
    relay.send(60)
    # Two workers see less of a server that takes no two messages together.
    relay.run(60, (1.8 if (name, workers) == ("strict", 2) else 1.5) * 60 / rate)
    assert_all_went_well(relay, 60)


@pytest.mark.long
def test_five_thousand_messages_at_five_a_second_are_all_delivered_and_none_is_returned() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, SlidingWindow(5, 1)))
    relay.send(5000)
    relay.run(5000, 1500)
    assert_all_went_well(relay, 5000)


@pytest.mark.parametrize("workers", [1, 2])
def test_three_transactions_at_a_time_are_found_and_kept_to(workers: int) -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, at_a_time=3, latency=1.0), workers=workers)
    relay.send(60)
    relay.run(60, 1.5 * 60 / 3)
    assert_all_went_well(relay, 60)
    assert relay.server.most_transactions == 3
    assert len(relay.server.refused) < 10


@pytest.mark.parametrize("workers", [1, 2])
def test_three_connections_at_a_time_are_found_and_kept_to(workers: int) -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, connections=3, latency=1.0), workers=workers)
    relay.send(60)
    relay.run(60, 1.5 * 60 / 3)
    assert_all_went_well(relay, 60)
    assert len(relay.server.refused) < 10


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "said",
    [
        reply(454, "", "Throttling failure"),
        reply(421, "4.7.0", "Too many connections"),
        reply(421, "4.7.0", "Too many messages on this connection"),
    ],
    ids=str,
)
def test_refusals_at_random_do_not_hold_the_mail_for_days(said: Reply, workers: int) -> None:
    for seed in range(4):
        relay = DeliverySide()
        few = (seed % 3) or None
        relay.to(LimitedServer(relay.clock, AtRandom(seed), refusal=said, at_a_time=few), workers=workers)
        relay.send(80)
        relay.run(80, 6 * 3600)
        assert_all_went_well(relay, 80)


def test_a_limit_of_one_connection_costs_new_connections_and_no_time() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, of_one_connection=7))
    relay.send(200)
    relay.run(200, 5)
    assert_all_went_well(relay, 200)
    # Each of the first connections finds the limit; those after them end before it.
    assert len(relay.server.refused) <= 5


def test_a_message_that_is_refused_for_itself_slows_nothing_down() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, FixedWindow(0, 1), refusal=reply(451, "4.7.1", "Greylisted, try again later")))
    relay.send(50)
    relay.clock.pump([0.1] * 20)
    assert len(relay.events("deferred")) == 50
    assert relay.events("destination-throttled") == []
    assert {recipient.attempts for entry in relay.entries() for recipient in entry.recipients} == {1}


def test_the_operator_hears_once_when_it_begins_and_once_when_it_is_over() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, SlidingWindow(5, 1))
    relay.to(server)
    relay.send(60)
    relay.run(60, 18)
    (line,) = relay.events("destination-throttled")
    assert 'destination=mx.test pace="5 a second"' in line
    assert "454 Throttling failure" in line
    assert relay.events("destination-unthrottled") == []
    relay.clock.advance(5 * 3600)
    server.limit = Unlimited()
    relay.send(2)
    relay.run(62, 5)
    assert len(relay.events("destination-unthrottled")) == 1
    assert len(relay.events("destination-throttled")) == 1


def test_mail_that_would_wait_long_is_in_the_queue_and_not_in_memory() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, SlidingWindow(20, 3600)))
    relay.send(60)
    relay.clock.pump([1.0] * 400)
    (service,) = relay.services
    assert service._work.room() >= DeliveryLimits().jobs - 2
    waiting = [entry for entry in relay.entries() if entry.recipients[0].status is Status.WAITING]
    dues = {entry.recipients[0].due for entry in waiting if not entry.claimed}
    # They do not come back together.
    assert len(dues) > 30


def test_mail_that_is_only_throttled_is_reported_late_and_settled_when_its_time_is_over() -> None:
    relay = DeliverySide(schedule=RetrySchedule((RetryStep(Shape.FIXED, 2 * 86400.0, 900.0),)))
    relay.to(LimitedServer(relay.clock, FixedWindow(0, 1), refusal=reply(452, "4.7.1", "Rate limit exceeded")))
    relay.send(3)
    for _ in range(4 * 24 * 4):
        relay.clock.pump([1.0] + [30.0] * 30)
    statuses = [entry.recipients[0].status for entry in relay.entries() if entry.sender]
    assert statuses == [Status.FAILED] * 3
    assert "waits for the pace of mx.test, which said: 452 4.7.1 Rate limit exceeded" in relay.events("failed")[0]


def test_a_quota_of_the_day_is_waited_for_and_teaches_no_pace() -> None:
    relay = DeliverySide()
    said = reply(550, "5.4.5", "Daily user sending limit exceeded.")
    server = LimitedServer(relay.clock, FixedWindow(100, 86400.0, 86400.0 - NOW % 86400 - 7 * 3600), refusal=said)
    relay.to(server)
    relay.send(150)
    relay.run(150, 7 * 3600 + 4000)
    # The window ended after seven hours, and the rest went at once.
    assert server.taken[-1] - server.taken[-49] < 400
    assert_all_went_well(relay, 150)


def test_an_operator_who_retries_has_the_destination_asked_at_once() -> None:
    relay = DeliverySide()
    server = LimitedServer(relay.clock, SlidingWindow(20, 3600))
    relay.to(server)
    relay.send(30)
    relay.clock.pump([10.0] * 60)
    server.limit = Unlimited()
    (service,), (queue,) = relay.services, relay.queues
    queue.apply(Action.RETRY, None, relay.clock.seconds()).addCallback(lambda ids: service.applied(Action.RETRY, ids))
    relay.clock.pump([0.1] * 10)
    assert len(server.taken) > 20


def test_a_stop_gives_back_mail_that_waits_for_the_pace() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, SlidingWindow(5, 1)))
    relay.send(60)
    relay.clock.pump([0.1] * 20)
    relay.services[0].stopService()
    relay.clock.pump([0.1] * 5)
    assert relay.clock.getDelayedCalls() == []
    waiting = [entry for entry in relay.entries() if entry.recipients[0].status is Status.WAITING]
    assert len(waiting) + len(relay.server.taken) == 60
    assert {entry.claimed for entry in waiting} == {False}
