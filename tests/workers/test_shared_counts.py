"""The counts of workers: the numbers that one tells are counted by the others."""

import json

from twisted.internet.task import Clock

from mta.rate import Rate, RateUnit
from mta.rate_counts import Counted
from mta.workers.shared_counts import COUNTED, DELAY, CountsBroker, SharedCounts

ALICE, BOB = (Counted("digest", Rate(3, 3600), name) for name in ("alice", "bob"))
RECIPIENTS = Counted("digest", Rate(3, 3600, RateUnit.RECIPIENTS), "alice")


class Pair:
    """Two workers whose parent passes each line to the other."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.first = SharedCounts(self.clock, self._from_first)
        self.second = SharedCounts(self.clock, lambda *_: None)

    def _from_first(self, *words: object) -> None:
        self.lines.append(json.dumps(words))
        verb, *arguments = json.loads(self.lines[-1])
        self.second.handlers()[verb](*arguments)


def test_the_numbers_of_a_moment_travel_together() -> None:
    pair = Pair()
    for counted in (ALICE, ALICE, BOB):
        pair.first.counts.count(counted)
    assert pair.lines == []
    pair.clock.advance(DELAY)
    assert len(pair.lines) == 2
    pair.second.counts.count(ALICE)
    assert not pair.second.counts.has_room(ALICE)
    assert pair.second.counts.has_room(BOB)
    pair.clock.advance(1)
    assert len(pair.lines) == 2


def test_messages_and_recipients_are_counted_apart() -> None:
    pair = Pair()
    for _ in range(3):
        pair.first.counts.count(RECIPIENTS)
    pair.clock.advance(DELAY)
    assert not pair.second.counts.has_room(RECIPIENTS)
    assert pair.second.counts.has_room(ALICE)


def test_mail_under_way_is_not_told() -> None:
    pair = Pair()
    pair.first.counts.reserve(ALICE)
    pair.clock.advance(DELAY)
    assert pair.lines == []


def test_the_last_numbers_are_sent_before_the_end() -> None:
    pair = Pair()
    pair.first.counts.count(ALICE)
    pair.first.close()
    assert pair.lines[0].startswith(f'["{COUNTED}", "digest", "alice", 3, 3600, "messages", 1]')
    pair.first.close()
    assert pair.clock.getDelayedCalls() == []


def test_a_worker_that_starts_is_told_all_that_the_others_have_counted() -> None:
    clock = Clock()
    lines: list[tuple[int, str]] = []
    broker = CountsBroker(clock.seconds, lambda worker, *words: lines.append((worker, json.dumps(words))))
    first = SharedCounts(clock, lambda _verb, *words: broker.counted([2], *json.loads(json.dumps(words))))
    for _ in range(3):
        first.counts.count(ALICE)
    clock.advance(DELAY)
    assert [worker for worker, _ in lines] == [2]
    clock.advance(600)
    broker.started(3)
    worker, line = lines[-1]
    third = SharedCounts(clock, lambda *_: None)
    verb, *words = json.loads(line)
    third.handlers()[verb](*words)
    assert (worker, third.counts.has_room(ALICE), third.counts.has_room(BOB)) == (3, False, True)
    clock.advance(3000)
    assert third.counts.has_room(ALICE)
