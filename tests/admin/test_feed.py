"""The feed: nothing is attached without followers, their number is bounded, slow ones are told of their losses."""

import pytest

from mta.admin.feed import LOST, MAX_ALARMS, MAX_TEXT, Feed, SlowFollower
from mta.admin.state import LoggedEvent, TooMany
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.queue.interface import QueueId

NOON = 1_795_348_800.0
ID = QueueId("0123456789abc")


def feed_of_log(**options: int) -> tuple[Feed, EventLog]:
    event_log = EventLog(lambda _: None, lambda: NOON)
    feed = Feed(event_log.copy_to, **options)
    event_log.copy_errors_to(feed.receive_error)
    return feed, event_log


def test_followers_get_the_known_fields_of_each_event():
    feed, event_log = feed_of_log()
    events: list[LoggedEvent] = []
    others: list[LoggedEvent] = []
    feed.follow(events.append)
    end = feed.follow(others.append)
    event_log.destination_down("example.net", TryLater("silent", ""), NOON)
    end()
    end()
    event_log.lease_lost(ID)
    assert [event.name for event in events] == ["destination-down", "lease-lost"]
    assert events[0].fields == {
        "destination": "example.net",
        "until": "2026-11-22T12:00:00.000Z",
        "reason": "silent",
    }
    assert events[1] == LoggedEvent(NOON, "lease-lost", {"id": ID})
    assert [event.name for event in others] == ["destination-down"]


def test_the_log_gives_no_copies_unless_somebody_follows():
    """An event of a relay without followers calls the plain renderer."""
    lines: list[str] = []
    event_log = EventLog(lines.append, lambda: NOON)
    feed = Feed(event_log.copy_to)
    plain = event_log._render
    first, second = feed.follow(lambda _: None), feed.follow(lambda _: None)
    assert event_log._render == event_log._copy_and_render
    first()
    assert event_log._render == event_log._copy_and_render
    second()
    assert event_log._render is plain
    events: list[LoggedEvent] = []
    feed.follow(events.append)
    event_log.lease_lost(ID)
    assert len(events) == len(lines) == 1


def test_another_receiver_of_copies_stays_when_the_last_follower_leaves():
    event_log = EventLog(lambda _: None, lambda: NOON)
    copies: list[str] = []
    event_log.copy_to(lambda now, name, fields: copies.append(name))
    Feed(event_log.copy_to).follow(lambda _: None)()
    event_log.lease_lost(ID)
    assert copies == ["lease-lost"]


def test_the_number_of_followers_is_bounded():
    feed, _ = feed_of_log(followers=2)
    end = feed.follow(lambda _: None)
    feed.follow(lambda _: None)
    with pytest.raises(TooMany, match="2 programs follow"):
        feed.follow(lambda _: None)
    end()
    feed.follow(lambda _: None)


def test_the_last_errors_are_kept_without_followers_newest_first():
    feed, event_log = feed_of_log()
    event_log.notice("not an error")
    event_log.lease_lost(ID)
    event_log.trouble("a disk is slow", ID)
    event_log.fault("a bug", "x" * 10_000)
    event_log.rules_not_taken_up("1 mistake", ["a.toml:1: no"])
    assert [event.name for event in feed.alarms()] == ["trouble", "trouble", "fault", "trouble"]
    assert feed.alarms()[3].fields == {"id": ID, "text": "a disk is slow"}
    assert len(str(feed.alarms()[2].fields["traceback"])) == MAX_TEXT
    for number in range(MAX_ALARMS + 5):
        event_log.alarm(f"{number}")
    assert [event.fields["text"] for event in feed.alarms()] == [f"{number}" for number in range(MAX_ALARMS + 4, 4, -1)]


def test_errors_that_repeat_are_kept_as_often_as_they_are_logged():
    lines: list[str] = []
    event_log = EventLog(lines.append, lambda: NOON)
    feed = Feed(event_log.copy_to)
    event_log.copy_errors_to(feed.receive_error)
    for _ in range(1000):
        event_log.trouble("the same")
    assert len(feed.alarms()) == len(lines) == 10


def event(number: int) -> LoggedEvent:
    return LoggedEvent(NOON + number, "delivered", {"id": f"{number}"})


class Reader:
    """A reader that takes so many events, and then pauses its follower."""

    def __init__(self, limit: int) -> None:
        self.read: list[LoggedEvent] = []
        self.takes = 0
        self.follower = SlowFollower(self.write, limit=limit)

    def write(self, event: LoggedEvent) -> None:
        self.read.append(event)
        self.takes -= 1
        if self.takes <= 0:
            self.follower.pause()

    def names(self) -> list[str]:
        return [str(each.fields.get("id", each.name)) for each in self.read]


def test_events_wait_for_a_slow_reader_in_their_order():
    reader = Reader(limit=3)
    for number in range(4):
        reader.follower.receive(event(number))
    assert reader.names() == ["0"]
    reader.takes = 2
    reader.follower.resume()
    assert reader.names() == ["0", "1", "2"]
    reader.takes = 10
    reader.follower.resume()
    reader.follower.receive(event(4))
    assert reader.names() == ["0", "1", "2", "3", "4"]


def test_a_slow_reader_is_told_how_many_events_it_missed_where_they_are_missing():
    reader = Reader(limit=2)
    for number in range(10):
        reader.follower.receive(event(number))
    reader.takes = 1
    reader.follower.resume()
    # There is room again, but an event after the gap must not come before the notice of it.
    reader.follower.receive(event(10))
    reader.takes = 10
    reader.follower.resume()
    reader.follower.receive(event(11))
    assert reader.names() == ["0", "1", "2", LOST, "11"]
    assert reader.read[3].fields == {"events": 8}
