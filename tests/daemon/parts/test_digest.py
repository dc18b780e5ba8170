"""The digest in the queue: once a day over restarts and kills, of all workers, and none without failures."""

from functools import partial
from pathlib import Path
from typing import Any

from mta.admin.digest import DAY, FILE_NAME, HOUR
from mta.blocking import run_inline
from mta.daemon.parts.digest import LOOK_INTERVAL, DigestMaker
from mta.daemon.queues.own import own_failures
from mta.event_log.log import EventLog
from mta.queue.disk.queue_dir import worker_home
from mta.queue.ids import IdSource
from mta.queue.interface import Entry, Query, Settlement, Verdict
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.smtp.address import parse_address
from tests.queue.messages import NEVER, TOOK, mail

#: 2026-11-22T06:00:00Z.
SIX = 1_795_348_800.0 - 6 * HOUR


class Place:
    """QUEUE_DIR, its queues and a clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = SIX - HOUR
        self.queue = self.open(1)
        self.lines: list[str] = []
        self.added = 0
        self.maker = self.new_maker()

    def open(self, worker: int) -> SqliteQueue:
        return open_queue(worker_home(self.directory, worker), run=run_inline, now=self.now)

    def new_maker(self, *, shared: bool = False) -> DigestMaker:
        return DigestMaker(
            self.queue,
            self.directory,
            partial(own_failures, self.directory),
            name="relay.test",
            postmaster=parse_address("root@ops.test"),
            ids=IdSource(1),
            run=run_inline,
            event_log=EventLog(self.lines.append, lambda: self.now),
            added=self.note_added,
            wall_clock=lambda: self.now,
            shared=shared,
        )

    def note_added(self) -> None:
        self.added += 1

    def finish(self, *outcomes: Any, queue: SqliteQueue | None = None, waits: bool = False) -> None:
        """Finish a message whose recipients have these outcomes; with `waits` one more recipient waits on."""
        queue = queue or self.queue
        addresses = [f"u{number}@y.test" for number in range(len(outcomes) + waits)]
        claims: list[Any] = []
        queue.add(mail(*addresses), self.now, 600.0).addCallback(claims.append)
        verdicts = [Verdict(index, outcome) for index, outcome in enumerate(outcomes)]
        queue.settle(Settlement(claims[0], verdicts, self.now))

    def look(self) -> float | None:
        waits: list[float | None] = []
        self.maker.look().addCallback(waits.append)
        return waits[0]

    def digests(self) -> list[Entry]:
        found: list[list[Entry]] = []
        self.queue.find(Query(finished=True)).addCallback(found.append)
        return [entry for entry in found[0] if entry.message_id.startswith("digest-")]

    def content(self) -> bytes:
        contents: list[bytes | None] = []
        self.queue.content(self.digests()[-1].id).addCallback(contents.append)
        assert contents[0] is not None
        return contents[0]


def test_failures_of_a_day_make_one_digest_at_its_end(tmp_path):
    place = Place(tmp_path)
    place.look()
    place.finish(NEVER, TOOK)
    place.finish(NEVER, waits=True)
    place.look()
    assert place.digests() == []
    place.now = SIX + 1
    place.finish(NEVER)
    place.look()
    place.look()
    (entry,) = place.digests()
    assert entry.message_id == "digest-2026-11-22@relay.test"
    assert [each.address for each in entry.recipients] == ["root@ops.test"]
    assert b"Subject: 2 recipients failed until 2026-11-22\r\n" in place.content()
    assert place.added == 1
    assert f"the digest for POSTMASTER is message {entry.id}" in place.lines[-1]
    place.now += DAY
    place.look()
    assert [each.message_id[:17] for each in place.digests()] == ["digest-2026-11-22", "digest-2026-11-23"]
    assert b"Subject: 1 recipient failed until 2026-11-23\r\n" in place.content()


def test_a_day_without_failures_has_no_digest(tmp_path):
    place = Place(tmp_path)
    place.finish(TOOK)
    place.now = SIX + 1
    place.look()
    assert place.digests() == []
    assert (tmp_path / FILE_NAME).exists(), "so that the day is not counted again"


def test_a_restart_makes_no_second_digest_even_after_a_kill_before_the_note(tmp_path):
    place = Place(tmp_path)
    place.finish(NEVER)
    place.now = SIX + 1
    place.look()
    place.maker = place.new_maker()
    place.look()
    assert len(place.digests()) == 1
    (tmp_path / FILE_NAME).unlink()
    place.maker = place.new_maker()
    place.look()
    assert len(place.digests()) == 1
    assert (tmp_path / FILE_NAME).exists()


def test_the_failures_of_all_workers_are_in_the_digest(tmp_path):
    place = Place(tmp_path)
    for worker in (2, 3):
        place.finish(NEVER, queue=place.open(worker))
    worker_home(tmp_path, 4).mkdir()
    place.now = SIX + 1
    place.look()
    assert b"2 recipients failed" in place.content()


def test_a_queue_that_fails_is_told_once_and_tried_again(tmp_path):
    place = Place(tmp_path)
    place.finish(NEVER)
    place.now = SIX + 1
    (tmp_path / "digest.json.new").mkdir()
    place.look()
    place.look()
    assert sum("the daily digest for POSTMASTER cannot be made yet" in line for line in place.lines) == 1
    (tmp_path / "digest.json.new").rmdir()
    place.look()
    assert len(place.digests()) == 1
    assert (tmp_path / FILE_NAME).exists()


def test_the_next_look_comes_in_time(tmp_path):
    place = Place(tmp_path)
    assert place.look() == LOOK_INTERVAL
    place.now = SIX - 100
    assert place.look() == 101


def test_relays_that_share_a_queue_make_one_digest_together(tmp_path):
    place = Place(tmp_path)
    place.finish(NEVER, TOOK)
    place.now = SIX + 60
    makers = [place.new_maker(shared=True) for _ in range(3)]
    for maker in makers:
        maker.look()
    assert len(place.digests()) == 1
    assert place.added == 1
    assert place.lines[-1].count("the digest for POSTMASTER is message") == 1
