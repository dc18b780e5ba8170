"""Events at a receiver: each at least once and in the order of its message, although receiver and relay go down."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from harness.event_receiver import EventReceiver
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO
from tests.length import choose

SECRET = "the-secret-of-the-events"
SENT = ("accepted", "delivered", "deferred", "failed", "reported")


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with EventReceiver(SECRET) as server:
        yield server


def settings(world, receiver, **more):
    return {"EVENTS_URL": receiver.url, "EVENTS_SECRET": world.secret(SECRET), **more}


def logged(relay) -> set[tuple[Any, ...]]:
    """Return the events in the log of a relay that must arrive."""
    return {key(event) for name in SENT for event in relay.events(name)}


def key(event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event.get(name) for name in ("event", "id", "to", "reply", "report"))


def check_order(events: list[dict[str, Any]]) -> None:
    """Check that the events of each message are in their order, by the first arrival of each."""
    seen: dict[str, list[str]] = {}
    for event in events:
        kinds = seen.setdefault(event["id"], [])
        if event["event"] not in kinds:
            kinds.append(event["event"])
    places = {"accepted": 0, "deferred": 1, "delivered": 2, "failed": 2, "reported": 3}
    for kinds in seen.values():
        assert kinds == sorted(kinds, key=places.__getitem__), kinds


def test_the_last_events_before_a_stop_arrive(world, receiver):
    answer = threading.Event()
    relay = world.relay(world.sink(Rule(".", "250 2.0.0 Ok", hold=answer)), **settings(world, receiver))
    relay.submit(mail("one"), TO)
    os.kill(relay.child.pid, signal.SIGTERM)
    relay.wait_for_events("stopping")
    answer.set()
    relay.child.wait()
    receiver.start()
    relay.start()
    until(lambda: logged(relay) <= {key(event) for event in receiver.events}, what="all events")
    until(lambda: len(receiver.events) >= 2, what="the acceptance and the delivery")  # noqa: PLR2004
    assert not any("rebuilt" in event for event in receiver.events)


def test_the_events_of_a_message_arrive_signed_and_in_order(world, receiver):
    receiver.start()
    receiver.statuses = [500]
    relay = world.relay(world.sink(Rule("RCPT", "550 5.1.1 no", times=1)), **settings(world, receiver))
    relay.submit(mail("one"), TO)
    until(lambda: {"failed", "reported"} <= {event["event"] for event in receiver.events}, what="a report")
    until(lambda: logged(relay) <= {key(event) for event in receiver.events}, what="all events")
    first = [event for event in receiver.events if event["id"] == receiver.events[0]["id"]]
    assert [event["event"] for event in first] == ["accepted", "failed", "reported"]
    assert [event["seq"] for event in first] == sorted({event["seq"] for event in first})
    assert receiver.forged == 0
    assert {batch["relay"] for batch in receiver.batches} == {"relay.example.test"}
    assert "not-for-the-log" not in relay.child.text


def test_each_event_arrives_although_the_receiver_is_down_and_the_relay_is_killed(world, receiver):
    """The receiver refuses connections under load, and the relay is killed in the middle of it, several times."""
    sink = world.sink(Rule(".", "451 4.3.0 later", times=5))
    relay = world.stopped_relay(sink, **settings(world, receiver))
    accepted = 0
    for _ in range(choose(2, 20)):
        relay.start()
        with relay.client() as client:
            for _ in range(choose(40, 400)):
                client.sendmail("sender@sender.test", TO, mail(f"{accepted}"))
                accepted += 1
            relay.kill()
    relay.start()
    relay.wait_until_empty()
    assert receiver.events == []
    known = logged(relay)
    receiver.start()
    until(lambda: known <= {key(event) for event in receiver.events}, what="all events of the log")

    def ids(name: str) -> set[str]:
        return {event["id"] for event in receiver.events if event["event"] == name}

    # A kill takes the last lines of the log, but not the events.
    until(lambda: len(ids("accepted")) >= accepted, what="the acceptance of each message")
    until(lambda: ids("delivered") >= ids("accepted"), what="the delivery of each message")
    check_order(receiver.events)
    assert receiver.forged == 0
    numbers = [event["seq"] for event in receiver.events]
    assert len(set(numbers)) == max(numbers) - min(numbers) + 1, "no number is missing"


def test_a_dead_receiver_delays_no_mail_and_is_told_once(world, receiver):
    relay = world.relay(sink := world.sink(), **settings(world, receiver))
    for number in range(20):
        relay.submit(mail(f"{number}"), TO)
    relay.wait_until_empty()
    assert len(sink.messages) == 20
    lines = [event for event in relay.wait_for_events("trouble") if "EVENTS_URL" in event["text"]]
    assert len(lines) == 1
    assert "connection refused" in lines[0]["text"]


def test_each_worker_has_a_spool_and_those_of_former_workers_are_sent(world, receiver):
    relay = world.stopped_relay(world.sink(), **settings(world, receiver, WORKERS="3"))
    relay.start()
    relay.wait_for_events("started")
    with ExitStack() as stack:
        # Sessions at the same time are spread over the workers, which all listen now.
        clients = [stack.enter_context(relay.client()) for _ in range(6)]
        for number in range(30):
            clients[number % 6].sendmail("sender@sender.test", TO, mail(f"{number}"))
    relay.wait_until_empty()
    relay.wait_for_events("delivered", 30)
    known = logged(relay)
    relay.stop()
    assert any(relay.queue_dir.glob("worker-*/events/*.jsonl")), "some mail came to another worker than the first"
    receiver.start()
    relay.environment["WORKERS"] = "1"
    relay.start()
    until(lambda: known <= {key(event) for event in receiver.events}, what="the events of all workers")
    check_order(receiver.events)
    assert not any(relay.queue_dir.glob("worker-*"))
