"""Turns of look-ups: by asker, by the standing of a zone, and by zone."""

import pytest

from mta.dns.lookup_queue import HISTORY_TTL, MAX_ZONES, Asker, LookupQueue, Standing, ZoneHistory, zone_of

OURS, THEIRS = Asker.DELIVERY, Asker.STRANGER


class Turns:
    """A queue with one place, which is taken, and the names of those that were let in since."""

    def __init__(self):
        self.queue = LookupQueue(1)
        self.queue.enter(OURS, "first.test")
        self.begun = []

    def enter(self, name, asker=OURS, zone="zone.test", level=0):
        turn = self.queue.enter(asker, zone, level)
        turn.addCallback(lambda _: self.begun.append(name))
        return turn

    def order(self, *askers):
        for asker in askers:
            self.queue.leave(asker)
        return self.begun


@pytest.fixture
def turns():
    return Turns()


def test_as_many_are_let_in_as_there_are_places():
    queue = LookupQueue(2)
    assert [queue.enter(OURS, "a.test").called for _ in range(3)] == [True, True, False]
    for _ in range(3):
        queue.leave(OURS)
    assert [queue.enter(OURS, "a.test").called for _ in range(3)] == [True, True, False]


def test_those_of_one_zone_come_in_order(turns):
    for name in "abc":
        turns.enter(name)
    assert turns.order(OURS, OURS, OURS) == ["a", "b", "c"]


def test_zones_come_in_turn_however_many_wait_for_one(turns):
    for number in range(100):
        turns.enter(number, zone="silent.test")
    turns.enter("healthy", zone="healthy.test")
    assert turns.order(OURS, OURS, OURS) == [0, "healthy", 1]


def test_askers_come_in_turn_however_many_zones_one_asks_about(turns):
    for number in range(100):
        turns.enter(number, THEIRS, f"invented{number}.test")
    for number in range(2):
        turns.enter(f"mail {number}", OURS)
    assert turns.order(OURS, THEIRS, OURS, THEIRS) == [0, "mail 0", 1, "mail 1"]


def test_strangers_leave_a_quarter_of_the_places_to_the_mail():
    queue = LookupQueue(4)
    assert [queue.enter(THEIRS, f"{number}.test").called for number in range(5)] == [True] * 3 + [False] * 2
    assert [queue.enter(OURS, f"{number}.test").called for number in range(2)] == [True, False]
    queue.leave(THEIRS)
    queue.leave(THEIRS)
    assert [queue.enter(asker, "z.test").called for asker in (THEIRS, OURS)] == [False, False]


def test_a_lower_level_of_the_same_asker_comes_first(turns):
    turns.enter("third", level=2)
    turns.enter("second", level=1, zone="b.test")
    turns.enter("first", level=1, zone="a.test")
    turns.enter("theirs", THEIRS, level=9)
    assert turns.order(OURS, OURS, THEIRS, OURS) == ["second", "theirs", "first", "third"]


def test_one_that_was_cancelled_leaves_its_turn_to_the_next(turns):
    cancelled = turns.enter("cancelled")
    cancelled.addErrback(lambda _: None).cancel()
    turns.enter("next")
    assert turns.order(OURS) == ["next"]


def test_any_number_of_lookups_that_end_at_once_get_their_turn():
    queue = LookupQueue(1)
    queue.enter(OURS, "a.test")
    ended = []
    for number in range(10_000):
        turn = queue.enter(OURS, f"{number}.test").addCallback(ended.append)
        turn.addCallback(lambda _: queue.leave(OURS))
    queue.leave(OURS)
    assert len(ended) == 10_000
    assert queue.enter(OURS, "a.test").called


def test_a_zone_is_remembered_for_some_minutes():
    zones = ZoneHistory()
    assert zones.standing("a.test", 0) is Standing.UNKNOWN
    zones.note("a.test", Standing.SILENT, 0)
    assert zones.standing("a.test", HISTORY_TTL - 1) is Standing.SILENT
    assert zones.standing("a.test", HISTORY_TTL) is Standing.UNKNOWN
    zones.note("a.test", Standing.ANSWERS, 1)
    assert zones.standing("a.test", 2) is Standing.ANSWERS


def test_of_very_many_zones_the_latest_are_remembered():
    zones = ZoneHistory()
    for number in range(MAX_ZONES + 1):
        zones.note(f"{number}.test", Standing.SILENT, number / 1e6)
    assert zones.standing("0.test", 1) is Standing.UNKNOWN
    assert zones.standing(f"{MAX_ZONES}.test", 1) is Standing.SILENT


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
def test_a_zone_is_what_was_probably_registered(name, zone):
    assert zone_of(name) == zone
