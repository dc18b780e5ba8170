"""A destination as an operator sees it while it delivers: the mail that waits, and the limits that it has shown."""

from dataclasses import replace

from harness.limited_delivery import DeliverySide
from harness.limited_server import LimitedServer, SlidingWindow
from mta.admin.state import MAX_DOMAINS, DestinationState
from mta.daemon.parts.admin import destination_state
from mta.delivery.destinations.host_limits import LIMIT_SECONDS, HostLimits
from mta.routing.route import Plan, Route


def state(relay: DeliverySide) -> DestinationState:
    (destination,) = relay.services[0].destinations()
    return destination_state(destination)


def test_a_pace_is_told_with_the_reply_that_asked_for_it() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, SlidingWindow(20, 60)))
    relay.send(60)
    relay.run(30, 200)
    told = state(relay)
    assert told.throttled
    assert told.pace is not None
    assert told.throttled_because.endswith("Throttling failure: Maximum sending rate exceeded.")
    assert (told.domains, told.waiting > 0) == (("b.test",), True)
    relay.run(60, 400)


def test_hosts_domains_and_learned_limits_are_told() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, SlidingWindow(1000, 1)))
    relay.send(1)
    relay.run(1, 10)
    (destination,) = relay.services[0].destinations()
    told = destination_state(destination)
    assert (told.throttled_because, told.most_recipients, told.most_messages) == ("", None, None)
    destination._pool.plan = replace(
        Plan("mx.test", ()), routes=(Route("mx1.test", "192.0.2.1", 25), Route("mx1.test", "192.0.2.2", 25))
    )
    limits = destination._pool.host_limits
    limits.recipients_refused(10, relay.clock.seconds())
    limits.messages_refused(20, relay.clock.seconds())
    limits.pass_over(["mx1.test[192.0.2.2]:25"], relay.clock.seconds())
    told = destination_state(destination)
    assert (told.hosts, told.passed_over) == (("mx1.test",), ("mx1.test[192.0.2.2]:25",))
    assert (told.most_recipients, told.most_messages) == (10, 20)


def test_no_more_domains_are_told_than_a_bound() -> None:
    relay = DeliverySide()
    relay.to(LimitedServer(relay.clock, SlidingWindow(1, 60)))
    for number in range(20):
        relay.send(1, f"bob@d{number}.test")
    (destination,) = relay.services[0].destinations()
    waiting = destination.waiting_domains(MAX_DOMAINS)
    assert len(waiting) > 5
    assert destination.waiting_domains(5) == waiting[:5]


def test_a_learned_limit_is_forgotten_after_some_hours() -> None:
    limits = HostLimits()
    limits.recipients_refused(10, 100.0)
    assert limits.learned(100.0) == (10, None)
    assert limits.learned(100.0 + LIMIT_SECONDS) == (None, None)
