"""Waiting domains get the state of their destination, also of one that is down and has no mail in memory."""

from mta.admin.state import DestinationState
from mta.admin.views.waiting import destination_state, waiting_domains
from mta.queue.interface import DomainShape

NOW = 1_000_000.0
HOST = "mx1.b.test[192.0.2.1]:25"
DOWN = DestinationState(
    "mx1.b.test", waiting=0, connections=0, busy=0, window=1, blocked_until=NOW + 60, blocked_because="refused"
)


def shape(domain: str, host: str = "") -> DomainShape:
    return DomainShape(domain, 3, 0, 0, NOW - 600, (0, 3, 0, 0, 0), "connection refused", host)


def test_a_destination_that_is_down_is_found_by_the_host_of_the_last_reply() -> None:
    down, other = waiting_domains([shape("b.test", HOST), shape("c.test", "mx1.c.test[192.0.2.2]:25")], [DOWN], NOW)
    assert (down.state, down.kind, down.why) == ("down", "failed", "refused")
    assert (other.state, other.why) == ("waits", "mx1.c.test[192.0.2.2]:25: connection refused")


def test_a_domain_without_a_reply_has_no_destination() -> None:
    nameless = DestinationState("", waiting=0, connections=0, busy=0, window=1, failures=1)
    (found,) = waiting_domains([shape("b.test")], [nameless], NOW)
    assert found.state == "waits"


def test_the_pace_of_a_rule_is_no_trouble() -> None:
    paced = DestinationState("b.test", waiting=0, connections=1, busy=0, window=5, pace=30.0)
    assert destination_state(paced, NOW) == ("working", "delivered")
    throttled = DestinationState("b.test", waiting=0, connections=1, busy=0, window=5, pace=1.0, throttled=True)
    assert destination_state(throttled, NOW) == ("slowed down", "deferred")
