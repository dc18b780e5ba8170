"""Events of workers at the feed of the parent: sent only while somebody follows, bounded, errors always."""

from typing import Any

from twisted.internet.task import Clock

from mta.admin.feed import LOST, Feed
from mta.admin.feed_channel import ERROR, EVENTS, GATHER_SECONDS, MAX_WAITING, EventReceiver, EventSender
from mta.admin.state import LoggedEvent
from mta.event_log.log import EventLog
from mta.queue.interface import QueueId

NOON = 1_795_348_800.0
ID = QueueId("0123456789abc")


class Relay:
    """A parent and its workers, whose channels carry lines at once unless the parent hangs."""

    def __init__(self, workers: int = 2) -> None:
        self.clock = Clock()
        self.sent: list[tuple[Any, ...]] = []
        self.hangs = False
        self.log = EventLog(lambda _: None, lambda: NOON)
        self.receiver = EventReceiver(self.log.copy_to, self.to_worker, self.take_error, lambda: NOON)
        self.feed = Feed(self.receiver.attach)
        self.logs: dict[int, EventLog] = {}
        self.senders: dict[int, EventSender] = {}
        for number in range(1, workers + 1):
            self.start(number)

    def take_error(self, *words: Any) -> None:
        self.feed.receive_error(*words)

    def start(self, number: int) -> None:
        log = self.logs[number] = EventLog(lambda _: None, lambda: NOON)

        def send(*words: Any) -> None:
            self.sent.append((number, *words))
            if not self.hangs:
                self.receiver.handlers(number)[words[0]](*words[1:])

        self.senders[number] = EventSender(log.copy_to, send, self.clock)
        log.copy_errors_to(self.senders[number].receive_error)
        self.receiver.started(number)

    def to_worker(self, number: int, verb: str, *arguments: Any) -> None:
        self.senders[number].handlers()[verb](*arguments)

    def happen(self, worker: int, *ids: str) -> None:
        for id in ids:
            self.logs[worker].lease_lost(QueueId(id))
        self.clock.advance(GATHER_SECONDS)


def ids(events: list[LoggedEvent]) -> list[object]:
    return [event.fields.get("id", event.name) for event in events]


def test_workers_send_events_only_while_somebody_follows():
    relay = Relay()
    relay.happen(1, "before")
    events: list[LoggedEvent] = []
    end = relay.feed.follow(events.append)
    relay.happen(1, "a", "b")
    relay.happen(2, "c")
    relay.log.lease_lost(QueueId("own"))
    assert ids(events) == ["a", "b", "c", "own"]
    assert len(relay.sent) == 2, "events that are gathered share a line"
    end()
    relay.happen(1, "after")
    assert len(relay.sent) == 2
    assert relay.clock.getDelayedCalls() == []


def test_a_worker_that_starts_later_sends_its_events_too():
    relay = Relay(workers=1)
    events: list[LoggedEvent] = []
    relay.feed.follow(events.append)
    relay.start(2)
    relay.happen(2, "a")
    relay.receiver.ended(1)
    relay.start(1)
    relay.happen(1, "b")
    assert ids(events) == ["a", "b"]


def test_errors_are_sent_although_nobody_follows():
    relay = Relay()
    relay.logs[2].alarm("a promise is broken", ID)
    assert [words[:2] for words in relay.sent] == [(2, ERROR)]
    assert relay.feed.alarms() == [LoggedEvent(NOON, "alarm", {"id": ID, "text": "a promise is broken"})]


def test_a_parent_that_hangs_gets_one_line_and_is_told_how_many_events_it_missed():
    relay = Relay(workers=1)
    events: list[LoggedEvent] = []
    relay.feed.follow(events.append)
    relay.hangs = True
    relay.happen(1, "first")
    relay.happen(1, *(f"{number}" for number in range(MAX_WAITING + 7)))
    assert len(relay.sent) == 1
    relay.hangs = False
    number, _, *arguments = relay.sent[0]
    relay.receiver.handlers(number)[EVENTS](*arguments)
    for _ in range(1000):
        relay.clock.advance(GATHER_SECONDS)
    assert len(events) == 1 + MAX_WAITING + 1
    assert sum(event.fields["events"] for event in events if event.name == LOST) == 7
    assert ids(events)[0] == "first"
    assert ids(events)[-1] == f"{MAX_WAITING - 1}"


def test_a_line_is_shorter_than_the_channel_allows():
    relay = Relay(workers=1)
    events: list[LoggedEvent] = []
    relay.feed.follow(events.append)
    for number in range(100):
        relay.logs[1].unreported(ID, f"{number} " + "ä" * 3000)
    for _ in range(100):
        relay.clock.advance(GATHER_SECONDS)
    assert len(events) == 100
    assert len(relay.sent) > 1
    assert all(len(str(words)) < 65_000 for words in relay.sent)


def test_an_event_that_is_larger_than_a_line_is_lost_and_counted():
    relay = Relay(workers=1)
    events: list[LoggedEvent] = []
    relay.feed.follow(events.append)
    relay.logs[1]._emit_fields("x", {f"{number}": "\x01" * 4000 for number in range(10)})
    relay.happen(1, "a")
    for _ in range(3):
        relay.clock.advance(GATHER_SECONDS)
    assert sorted(map(str, ids(events))) == ["a", LOST]


def test_a_worker_that_closes_has_no_timer_left():
    relay = Relay(workers=1)
    relay.feed.follow(lambda _: None)
    relay.logs[1].lease_lost(ID)
    relay.senders[1].close()
    assert relay.clock.getDelayedCalls() == []
