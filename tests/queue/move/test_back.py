"""The move of a queue in a database back to files: all of it once, wherever it is cut."""

from pathlib import Path

import pytest

from mta.cli.results import result
from mta.message.envelope import TlsDemand
from mta.queue.interface import QueueError
from mta.queue.move.back import MoveBack
from tests.queue.messages import NOW
from tests.queue.move.test_moving import Cut, Moving
from tests.queue.postgres.nodes import running_node


def back(moving: Moving, cut_at: str = "") -> str:
    def step(name: str) -> None:
        if name == cut_at:
            raise Cut

    return str(MoveBack(moving.directory, moving.server.connection_parameters(), moving.lines.append, step).run(NOW))


@pytest.fixture
def moving(tmp_path: Path, database_url: str) -> Moving:
    return Moving(tmp_path / "queue", database_url)


def test_there_and_back_changes_nothing(moving: Moving) -> None:
    before = moving.left()
    bodies = moving.bodies(moving.opened())
    moving.move()
    assert back(moving) == "moved the queue's messages: 20 waiting, 8 in the history"
    assert moving.left() == before
    assert moving.bodies(moving.opened()) == bodies
    entries, summary = moving.moved()
    assert entries == []
    assert summary.messages == 0


def test_the_demands_of_senders_come_back(moving: Moving) -> None:
    moving.move()
    back(moving)
    queue = moving.opened()
    claims = result(queue.claim(NOW * 2, 100, 600.0))
    assert {claim.envelope.tls_demand for claim in claims} == {TlsDemand.REQUIRED}
    queue.close()


@pytest.mark.parametrize("cut_at", ["begin", "rename", "empty", "merge"])
def test_a_way_back_that_was_cut_goes_on(moving: Moving, cut_at: str) -> None:
    before = moving.left()
    moving.move()
    with pytest.raises(Cut):
        back(moving, cut_at)
    assert back(moving).startswith("finished the move")
    assert moving.left() == before
    assert moving.moved()[0] == []


def test_no_relay_may_use_the_database_meanwhile(moving: Moving) -> None:
    moving.move()
    in_use = pytest.raises(QueueError, match="busy uses the queue in the database: stop all relays there first")
    with running_node(moving.url, "busy"), in_use:
        back(moving)
    with pytest.raises(Cut):
        back(moving, "empty")
    with pytest.raises(QueueError, match="is being moved to a QUEUE_DIR"), running_node(moving.url):
        pass
