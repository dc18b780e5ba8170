"""The move of a queue in files to a database: all of it once, wherever it is cut, with its history and ledger."""

import shutil
from pathlib import Path

import pytest

from mta.blocking import run_inline
from mta.cli.results import result
from mta.message.envelope import TlsDemand
from mta.queue.disk.queue_dir import FILE_NAME, lock_relay, worker_home
from mta.queue.interface import Entry, Query, QueueError, Summary
from mta.queue.move.moving import Move, MovedMail
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.url import read_server
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from tests.queue.homes import KINDS, fill
from tests.queue.messages import NOW
from tests.queue.postgres.nodes import running_node

ALL = [(name, large) for name in KINDS for large in (False, True)] * 2
#: The messages of ALL that wait, and those in the history.
WAITING, FINISHED = 20, 8


class Cut(Exception):  # noqa: N818
    """The end of the program."""


class Moving:
    """A queue in files, and a database to which it is moved."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self.server = read_server(url)
        self.lines: list[str] = []
        fill(directory, ALL)

    def move(self, cut_at: tuple[str, int] = ("", 0)) -> MovedMail:
        """Move the queue; `cut_at` is the name of the step before which the program ends, and the times it came."""
        steps: list[str] = []

        def step(name: str) -> None:
            steps.append(name)
            if (name, steps.count(name)) == cut_at:
                raise Cut

        parameters = self.server.connection_parameters()
        return Move(self.directory, parameters, "1.0", self.lines.append, slice_size=7, step=step).run(NOW)

    def moved(self) -> tuple[list[Entry], Summary]:
        """Return what an operator sees in the database."""
        queue = OperatorsQueue(self.server, run_inline)
        try:
            return result(queue.find(Query(finished=True))), result(queue.summary())
        finally:
            queue.close()

    def bodies(self, queue: OperatorsQueue | SqliteQueue) -> dict[str, bytes | None]:
        """Return the body of each message that waits, and close the queue."""
        try:
            return {each.id: result(queue.content(each.id)) for each in result(queue.find(Query()))}
        finally:
            queue.close()

    def opened(self) -> SqliteQueue:
        """Open the queue of QUEUE_DIR."""
        return open_queue(self.directory, run=run_inline, now=NOW)

    def left(self) -> tuple[list[Entry], Summary]:
        """Return what an operator sees in QUEUE_DIR."""
        queue = open_queue(self.directory, run=run_inline, now=NOW)
        try:
            return result(queue.find(Query(finished=True))), result(queue.summary())
        finally:
            queue.close()


@pytest.fixture
def moving(tmp_path: Path, database_url: str) -> Moving:
    return Moving(tmp_path / "queue", database_url)


def test_all_that_an_operator_sees_is_the_same_after_a_move(moving: Moving) -> None:
    before = moving.left()
    moved = moving.move()
    assert (moved.waiting, moved.finished) == (WAITING, FINISHED)
    assert moving.moved() == before


def test_the_bodies_come_along(moving: Moving) -> None:
    before = moving.bodies(moving.opened())
    moving.move()
    assert moving.bodies(OperatorsQueue(moving.server, run_inline)) == before
    assert len({len(body or b"") for body in before.values()}) > 1


def test_the_demands_of_senders_come_along(moving: Moving) -> None:
    moving.move()
    with running_node(moving.url) as node:
        claims = node.queue.claim(NOW * 2, 100, 600.0)
        assert {claim.envelope.tls_demand for claim in claims} == {TlsDemand.REQUIRED}


def test_copies_that_may_have_arrived_are_remembered(moving: Moving) -> None:
    queue = open_queue(moving.directory, run=run_inline, now=NOW)
    claim = result(queue.claim(NOW * 2, 1, 600.0))[0]
    result(queue.note_in_flight(claim.id, [0]))
    queue.close()
    moving.move()
    with running_node(moving.url) as node:
        claims = {each.id: each for each in node.queue.claim(NOW * 2, 100, 600.0)}
        assert node.queue.note_in_flight(claim.id, [0]) == {0}
        assert len(claims) > 1


@pytest.mark.parametrize(
    "cut_at",
    [("begin", 1), ("add messages", 1), ("add messages", 3), ("finish", 1), ("confirm", 1), ("empty", 1)],
    ids=str,
)
def test_a_move_that_was_cut_goes_on(moving: Moving, cut_at: tuple[str, int]) -> None:
    before = moving.left()
    with pytest.raises(Cut):
        moving.move(cut_at)
    assert str(moving.move()).startswith("finished the move of messages: ")
    assert moving.moved() == before
    assert moving.left()[0] == []


def test_the_queues_of_other_workers_are_moved_too(moving: Moving) -> None:
    fill(worker_home(moving.directory, 2), ALL)
    moved = moving.move()
    assert (moved.waiting, moved.finished) == (2 * WAITING, 2 * FINISHED)
    assert moving.lines[0].startswith("merged the messages of worker 2")


def test_the_same_files_twice_are_refused(moving: Moving, tmp_path: Path) -> None:
    # As after a restored backup of files that were moved.
    copy = tmp_path / "copy"
    shutil.copytree(moving.directory, copy)
    moving.move()
    moving.directory = copy
    with pytest.raises(QueueError, match="belongs to another message in the database"):
        moving.move()


def test_no_relay_claims_a_message_before_the_end(moving: Moving) -> None:
    with pytest.raises(Cut):
        moving.move(("finish", 1))
    with running_node(moving.url) as node:
        assert node.queue.claim(NOW * 2, 100, 600.0) == []
        moving.move()
        assert len(node.queue.claim(NOW * 2, 100, 600.0)) > 0


def test_the_queue_directory_is_empty_afterwards(moving: Moving) -> None:
    moving.move()
    entries, summary = moving.left()
    assert entries == []
    assert summary.messages == 0
    assert list((moving.directory / "bodies").iterdir()) == []


def test_a_queue_that_a_relay_uses_is_not_moved(moving: Moving) -> None:
    with lock_relay(moving.directory), pytest.raises(QueueError, match="another smtprelay"):
        moving.move()


def test_a_directory_without_a_queue(tmp_path: Path, database_url: str) -> None:
    parameters = read_server(database_url).connection_parameters()
    with pytest.raises(QueueError, match="there is no queue in"):
        Move(tmp_path, parameters, "1.0", print).run(NOW)
    assert not (tmp_path / FILE_NAME).exists()
