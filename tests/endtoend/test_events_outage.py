"""The receiver of events is down for a long time under load, and the relay is killed meanwhile."""

import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, Self

import pytest

from harness.daemon import Daemon
from harness.event_receiver import EventReceiver
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.length import choose

SECRET = "the-secret-of-the-events"
#: The places of the events of one message in their order.
PLACES = {"accepted": 0, "deferred": 1, "delivered": 2, "failed": 2, "reported": 3}
RECIPIENTS = ("fine@example.test", "later@example.test", "fine@example.test", "never@example.test")
CLIENTS = 4


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with EventReceiver(SECRET) as server:
        yield server


class Clients:
    """Clients that send messages, each from an address of its own, while the relay comes and goes."""

    def __init__(self, relay: Daemon) -> None:
        self._relay = relay
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        #: The senders of the messages that were answered 250.
        self.acknowledged: set[str] = set()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(smtplib.SMTPException, OSError), self._relay.client() as client:
                while not self._stop.wait(0.005):
                    self._send(client)
            self._stop.wait(0.05)

    def _send(self, client: smtplib.SMTP) -> None:
        with self._lock:
            self._number += 1
            number = self._number
        sender = f"s{number}@example.test"
        client.sendmail(sender, RECIPIENTS[number % len(RECIPIENTS)], mail(f"{number}"))
        with self._lock:
            self.acknowledged.add(sender)


def key(event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event.get(name) for name in ("event", "id", "to", "reply", "report"))


def out_of_order(events: list[dict[str, Any]]) -> list[list[str]]:
    """Return the kinds of events of each message whose first arrivals are not in their order."""
    seen: dict[str, list[str]] = {}
    for event in events:
        kinds = seen.setdefault(event["id"], [])
        if event["event"] not in kinds:
            kinds.append(event["event"])
    return [kinds for kinds in seen.values() if kinds != sorted(kinds, key=PLACES.__getitem__)]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_receiver_that_was_down_under_load_and_over_a_kill_gets_each_event_in_order(world, receiver, workers):
    sink = world.sink(
        Rule("RCPT", "451 4.2.1 later", match="later", times=choose(20, 200)),
        Rule("RCPT", "550 5.1.1 no such user", match="never"),
    )
    relay = world.stopped_relay(
        sink, EVENTS_URL=receiver.url, EVENTS_SECRET=world.secret(SECRET), WORKERS=workers, HISTORY_DAYS="1"
    )
    relay.start()
    began = time.monotonic()
    down, killed = choose(8.0, 100.0), choose(4.0, 50.0)
    with ExitStack() as stack:
        clients = stack.enter_context(Clients(relay))
        until(lambda: time.monotonic() - began > killed, what="the time of the kill")
        relay.kill()
        relay.start()
        until(lambda: time.monotonic() - began > down, what="the end of the outage")
    receiver.start()
    up = time.monotonic()
    relay.wait_until_empty()
    known = {key(event) for name in PLACES for event in relay.events(name)}
    until(lambda: known <= {key(event) for event in receiver.events}, what="all events of the log")
    until(lambda: complete(receiver.events), what="the end of each message")
    took = time.monotonic() - up
    events = list(receiver.events)
    accepted = {event["from"].strip("<>") for event in events if event["event"] == "accepted"}
    assert clients.acknowledged <= accepted
    assert out_of_order(events) == []
    assert receiver.forged == 0
    assert max(batch["dropped"] for batch in receiver.batches) == 0
    for worker in {event["worker"] for event in events}:
        numbers = {event["seq"] for event in events if event["worker"] == worker}
        assert len(numbers) == max(numbers) - min(numbers) + 1, "no number is missing"
    twice = len(events) - len({(event["worker"], event["seq"]) for event in events})
    again = sum(Counter(key(event) for event in events).values()) - len({key(event) for event in events})
    print(  # noqa: T201  the figures of this run
        f"{len(clients.acknowledged)} messages answered 250 in {down:.0f} s, {len(events)} events,"
        f" {twice} sent twice, {again} of equal content, all received {took:.1f} s after the receiver came back"
    )


def complete(events: list[dict[str, Any]]) -> bool:
    """Whether each accepted message has its last event, and each failure its report."""
    kinds: dict[str, set[str]] = {}
    for event in list(events):
        kinds.setdefault(event["id"], set()).add(event["event"])
    ended = all("accepted" not in each or each & {"delivered", "failed"} for each in kinds.values())
    return ended and all("failed" not in each or "reported" in each for each in kinds.values())
