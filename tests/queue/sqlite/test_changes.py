"""The messages that changed since a time, as a start after a kill reads them."""

from collections.abc import Iterator

import pytest

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.interface import AttemptRecord, NewMail, QueueId, Settlement, Verdict
from mta.queue.sqlite.operator.changes import changes_since
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail

OLD = NOW - 1000.0


class World:
    """A queue whose changes are read."""

    def __init__(self, directory):
        self.path = directory / FILE_NAME
        self.queue: SqliteQueue = open_queue(directory, run=run_inline, now=NOW)

    def add(self, new: NewMail, now: float = OLD) -> QueueId:
        self.queue.add(new, now)
        return new.id

    def settle(self, id: QueueId, now: float, verdict: Verdict, *reports: NewMail) -> None:
        claims: list = []
        self.queue.claim(now, 100, LEASE).addCallback(claims.extend)
        for claim in claims:
            if claim.id == id:
                self.queue.settle(Settlement(claim, [verdict], now, reports=reports))
            else:
                self.queue.release(claim, now)

    def changed(self) -> dict[QueueId, tuple[int, bool]]:
        """Return the ids of the messages that changed, with their attempts and whether a client submitted them."""
        changes = changes_since(self.path, NOW - 10)
        return {
            entry.id: (len(entry.recipients[0].attempts_made), entry.id in changes.submitted)
            for entry in changes.entries
        }


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    world = World(tmp_path / "queue")
    yield world
    world.queue.close()


def test_a_message_that_was_added_since_is_found(world):
    world.add(mail())
    id = world.add(mail(), NOW)
    assert world.changed() == {id: (0, True)}


def test_a_message_that_was_tried_since_is_found_with_its_attempt(world):
    id = world.add(mail())
    attempt = AttemptRecord(NOW, LATER.host, LATER.text, LATER.status)
    world.settle(id, NOW, Verdict(0, LATER, NOW + 900, attempt=attempt))
    assert world.changed() == {id: (1, False)}


def test_a_message_that_was_finished_since_is_found_with_its_report(world):
    id = world.add(mail())
    report = mail(sender=None)
    world.settle(id, NOW, Verdict(0, NEVER), report)
    assert set(world.changed()) == {id, report.id}


def test_a_recipient_that_was_done_since_is_found_while_others_wait(world):
    id = world.add(mail("a@example.test", "b@example.test"))
    world.settle(id, NOW, Verdict(0, TOOK))
    assert world.changed() == {id: (0, False)}


def test_a_message_that_was_finished_before_is_left_out(world):
    world.settle(world.add(mail()), OLD, Verdict(0, TOOK))
    assert world.changed() == {}
