"""The stream: events reach the spool and the receiver, the back-off, and troubles that are told."""

import json
from collections import deque
from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mta.blocking import run_inline
from mta.event_log.lines import render_text
from mta.event_log.log import EventLog
from mta.event_log.output import Output
from mta.events.fresh import MAX_EVENTS
from mta.events.spool import Batch, Spool
from mta.events.stream import (
    BUSY_GATHER_SECONDS,
    FIRST_PAUSE,
    GATHER_SECONDS,
    LONGEST_PAUSE,
    MAX_WAITING,
    TROUBLE_AGAIN,
    EventStream,
)
from mta.queue.interface import QueueId
from mta.smtp.address import Address

NOON = 1_795_348_800.0
#: The fields of `accepted`.
FIELDS = {"id": "", "client": "192.0.2.1", "helo": "h", "from": "<>", "recipients": 1, "size": 9}


class World:
    """A stream whose receiver answers as the test says."""

    def __init__(self, home, free=1 << 40, run=run_inline):
        self.clock = Clock()
        self.free = free
        self.spool = Spool(home, now=NOON, free=lambda _: self.free)
        self.answers: deque[str | None] = deque()
        self.sent: list[str] = []
        self.requests = 0
        self.flush: Callable[[], object] = lambda: None
        self.held: list[Deferred[str | None]] | None = None
        self.troubles: list[str] = []
        self.notices: list[str] = []
        self.stream = EventStream(
            self.spool,
            self.send,
            run=run,
            clock=self.clock,
            flush=lambda: self.flush(),  # noqa: PLW0108  a test sets it
            trouble=self.troubles.append,
            notice=self.notices.append,
        )
        self.render = self.stream.recording(render_text)

    async def send(self, batch: Batch) -> str | None:
        self.requests += 1
        if self.held is not None:
            self.held.append(Deferred())
            return await self.held[-1]
        why = self.answers.popleft() if self.answers else None
        if why is None:
            self.sent += [json.loads(line)["id"] for line in batch.records]
        return why

    def happen(self, *ids: str, event: str = "accepted", seconds: float = BUSY_GATHER_SECONDS) -> None:
        for id in ids:
            self.render(NOON, event, {**FIELDS, "id": id})
        self.clock.advance(seconds)


def closed(world: World) -> None:
    """Close the stream, and check that it is closed at once."""
    done = Deferred.fromCoroutine(world.stream.close())
    assert done.called
    done.addErrback(lambda failure: failure.raiseException())


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.stream.startService()
    return world


def test_events_are_sent_in_their_order_and_others_are_not(world):
    world.happen("1", "2")
    world.happen("x", event="login")
    world.happen("3")
    assert world.sent == ["1", "2", "3"]


def test_events_that_follow_soon_are_gathered_for_a_second(world):
    world.happen("1", seconds=GATHER_SECONDS)
    assert world.sent == ["1"]
    world.happen("2", seconds=BUSY_GATHER_SECONDS - 2 * GATHER_SECONDS)
    world.happen("3", seconds=GATHER_SECONDS)
    assert world.sent == ["1"]
    world.clock.advance(GATHER_SECONDS)
    assert world.sent == ["1", "2", "3"]
    assert world.requests == 2
    world.clock.advance(BUSY_GATHER_SECONDS)
    world.happen("4", seconds=GATHER_SECONDS)
    assert world.sent[-1] == "4"


def test_as_many_events_as_a_batch_has_are_sent_at_once(world):
    world.happen("0", seconds=GATHER_SECONDS)
    world.happen(*["1"] * (MAX_EVENTS - 1), seconds=0)
    assert world.requests == 1
    world.happen("2", seconds=0)
    assert world.requests == 2


def test_events_during_a_write_are_gathered_too(tmp_path):
    writes: list[Deferred[None]] = []

    def later(work):
        writes.append(Deferred().addCallback(lambda _: work()))
        return writes[-1]

    world = World(tmp_path, run=later)
    world.happen("1", "2", seconds=GATHER_SECONDS)
    assert len(writes) == 1
    world.happen("3")
    writes.pop().callback(None)
    assert not writes
    assert world.spool.waiting == 2
    done = Deferred.fromCoroutine(world.stream.close())
    while writes:
        writes.pop(0).callback(None)
    assert done.called
    assert world.spool.waiting == 3


def test_a_batch_that_is_not_received_comes_again_after_pauses_that_grow(world):
    world.answers.extend(["refused"] * 9)
    world.happen("1")
    pause = FIRST_PAUSE
    for _ in range(8):
        world.happen("2")
        world.clock.advance(pause - BUSY_GATHER_SECONDS)
        pause = min(pause * 2, LONGEST_PAUSE)
    assert world.requests == 9
    assert world.sent == []
    world.clock.advance(LONGEST_PAUSE)
    assert world.sent == ["1"] + ["2"] * 8
    assert len(world.troubles) == 1
    assert "refused" in world.troubles[0]
    assert world.notices == ["events are sent to EVENTS_URL again"]


def test_trouble_that_goes_on_is_told_again_after_an_hour(world):
    world.answers.extend(["refused"] * 1000)
    world.happen("1")
    for _ in range(int(TROUBLE_AGAIN / LONGEST_PAUSE) + 10):
        world.clock.advance(LONGEST_PAUSE)
    assert len(world.troubles) == 2


def test_events_while_a_request_runs_come_with_the_next_one(world):
    world.held = []
    world.happen("1")
    world.happen("2")
    assert world.requests == 1
    held, world.held = world.held, None
    held[0].callback(None)
    assert world.sent == ["2"]


def test_a_full_disk_drops_events_counts_them_and_tells(world):
    world.free = 0
    world.happen("1", "2")
    assert world.spool.dropped == 2
    assert world.troubles[0].startswith("2 events for EVENTS_URL were dropped: the disk has too little room")
    world.free = 1 << 40
    world.happen("3")
    assert world.sent == ["3"]


def test_events_beyond_the_bound_of_memory_are_dropped_and_counted(world):
    world.happen(*map(str, range(MAX_WAITING + 5)))
    assert world.spool.dropped == 5
    assert len(world.sent) == MAX_WAITING


def test_the_last_events_are_written_at_the_end_and_sent_by_the_next_start(world, tmp_path):
    world.stream.stopService()
    world.render(NOON, "accepted", {**FIELDS, "id": "1"})
    closed(world)
    assert world.sent == []
    again = World(tmp_path)
    assert not again.spool.was_killed
    again.stream.startService()
    assert again.sent == ["1"]


def test_events_whose_lines_are_not_made_yet_are_written_at_the_end(world, tmp_path):
    world.stream.stopService()
    with (tmp_path / "log").open("wb") as file:
        output = Output(file.fileno(), world.clock)
        event_log = EventLog(output.write, lambda: NOON, flush=output.flush, later=output.write_later)
        event_log.render_by(world.stream.recording)
        world.flush = event_log.flush
        event_log.reported(QueueId("1"), QueueId("2"), "failure", Address("ann", "x.test"))
        closed(world)
        output.close()
    again = World(tmp_path)
    again.stream.startService()
    assert again.sent == ["1"]


def test_a_request_that_runs_at_the_end_is_given_up(world):
    world.held = []
    world.happen("1")
    world.stream.stopService()
    closed(world)
    assert world.spool.waiting == 1
    assert not world.clock.getDelayedCalls()
