"""Turns of look-ups: by asker, by the standing of a zone, and by zone."""

import pytest

from mta.dns.lookup_queue import HISTORY_TTL, MAX_ZONES, LookupQueue, Requester, ZoneHistory, ZoneStatus, zone_of

OURS, THEIRS = Requester.DELIVERY, Requester.UNTRUSTED_CLIENT


class Turns:
    """A queue with one place, which is taken, and the names of those that were let in since."""

    def __init__(self):
        self.queue = LookupQueue(1)
        self.queue.acquire(OURS, "first.test")
        self.begun = []

    def acquire(self, name, requester=OURS, zone="zone.test", priority=0):
        turn = self.queue.acquire(requester, zone, priority)
        turn.addCallback(lambda _: self.begun.append(name))
        return turn

    def order(self, *requesters):
        for requester in requesters:
            self.queue.release(requester)
        return self.begun


@pytest.fixture
def turns():
    return Turns()


def test_as_many_are_let_in_as_there_are_places():
    queue = LookupQueue(2)
    assert [queue.acquire(OURS, "a.test").called for _ in range(3)] == [True, True, False]
    for _ in range(3):
        queue.release(OURS)
    assert [queue.acquire(OURS, "a.test").called for _ in range(3)] == [True, True, False]


def test_those_of_one_zone_come_in_order(turns):
    for name in "abc":
        turns.acquire(name)
    assert turns.order(OURS, OURS, OURS) == ["a", "b", "c"]


def test_zones_come_in_turn_however_many_wait_for_one(turns):
    for number in range(100):
        turns.acquire(number, zone="silent.test")
    turns.acquire("healthy", zone="healthy.test")
    assert turns.order(OURS, OURS, OURS) == [0, "healthy", 1]


def test_requesters_take_turns_however_many_zones_one_asks_about(turns):
    for number in range(100):
        turns.acquire(number, THEIRS, f"invented{number}.test")
    for number in range(2):
        turns.acquire(f"mail {number}", OURS)
    assert turns.order(OURS, THEIRS, OURS, THEIRS) == [0, "mail 0", 1, "mail 1"]


def test_untrusted_clients_leave_a_quarter_of_the_places_to_deliveries():
    queue = LookupQueue(4)
    assert [queue.acquire(THEIRS, f"{number}.test").called for number in range(5)] == [True] * 3 + [False] * 2
    assert [queue.acquire(OURS, f"{number}.test").called for number in range(2)] == [True, False]
    queue.release(THEIRS)
    queue.release(THEIRS)
    assert [queue.acquire(requester, "z.test").called for requester in (THEIRS, OURS)] == [False, False]


def test_a_lower_priority_of_the_same_requester_comes_first(turns):
    turns.acquire("third", priority=2)
    turns.acquire("second", priority=1, zone="b.test")
    turns.acquire("first", priority=1, zone="a.test")
    turns.acquire("theirs", THEIRS, priority=9)
    assert turns.order(OURS, OURS, THEIRS, OURS) == ["second", "theirs", "first", "third"]


def test_one_that_was_cancelled_leaves_its_turn_to_the_next(turns):
    cancelled = turns.acquire("cancelled")
    cancelled.addErrback(lambda _: None).cancel()
    turns.acquire("next")
    assert turns.order(OURS) == ["next"]


def test_any_number_of_lookups_that_end_at_once_get_their_turn():
    queue = LookupQueue(1)
    queue.acquire(OURS, "a.test")
    ended = []
    for number in range(10_000):
        turn = queue.acquire(OURS, f"{number}.test").addCallback(ended.append)
        turn.addCallback(lambda _: queue.release(OURS))
    queue.release(OURS)
    assert len(ended) == 10_000
    assert queue.acquire(OURS, "a.test").called


def test_a_zone_is_remembered_for_some_minutes():
    zones = ZoneHistory()
    assert zones.status("a.test", 0) is ZoneStatus.UNKNOWN
    zones.note("a.test", ZoneStatus.SILENT, 0)
    assert zones.status("a.test", HISTORY_TTL - 1) is ZoneStatus.SILENT
    assert zones.status("a.test", HISTORY_TTL) is ZoneStatus.UNKNOWN
    zones.note("a.test", ZoneStatus.ANSWERING, 1)
    assert zones.status("a.test", 2) is ZoneStatus.ANSWERING


def test_of_very_many_zones_the_latest_are_remembered():
    zones = ZoneHistory()
    for number in range(MAX_ZONES + 1):
        zones.note(f"{number}.test", ZoneStatus.SILENT, number / 1e6)
    assert zones.status("0.test", 1) is ZoneStatus.UNKNOWN
    assert zones.status(f"{MAX_ZONES}.test", 1) is ZoneStatus.SILENT


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("a.b.c.example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("mx.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("www.example.de", "example.de"),
        ("mx.abc.de", "mx.abc.de"),
        ("localhost", "localhost"),
        ("", ""),
        ("..", ""),
    ],
)
def test_a_zone_is_the_domain_that_was_probably_registered(name, zone):
    assert zone_of(name) == zone
