"""The queues of several workers, combined for the commands of an operator."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME, worker_home
from mta.queue.interface import (
    Action,
    Claim,
    NewMail,
    Query,
    QueueError,
    QueueFull,
    QueueId,
    Settlement,
    Status,
    Verdict,
)
from mta.queue.memory import MemoryQueue
from mta.queue.search.conditions import Conditions, State
from mta.queue.sqlite import schema
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.queue.worker_queues.combined import CombinedQueue, open_queues, with_home
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail

Told = list[tuple[Path, Action, list[QueueId]]]


def result(waiting: "Deferred[Any]") -> Any:
    results: list[Any] = []
    waiting.addBoth(results.append)
    (answer,) = results
    if isinstance(answer, Failure):
        answer.raiseException()
    return answer


def opened(home: Path) -> SqliteQueue:
    """Return a home's queue as its worker has it open, but for the waits for the disk."""
    queue = open_queue(home, run=run_inline, now=NOW)
    queue._connection.execute("PRAGMA synchronous = OFF")
    return queue


def fill(home: Path, mails: Sequence[NewMail]) -> None:
    queue = opened(home)
    for new in mails:
        result(queue.add(new, NOW))
    result(queue.close())


def spread(directory: Path, workers: int, messages: int) -> list[QueueId]:
    """Make homes and deal messages to them in turn."""
    mails = [mail() for _ in range(messages)]
    for number in range(workers):
        fill(worker_home(directory, number + 1), mails[number::workers])
    return [new.id for new in mails]


@contextmanager
def seen(directory: Path, told: Told | None = None) -> Iterator[CombinedQueue]:
    def applied(home: Path, action: Action, ids: Sequence[QueueId]) -> None:
        if told is not None:
            told.append((home, action, list(ids)))

    queues = open_queues(directory, run=run_inline, now=NOW, applied=applied)
    yield queues
    result(queues.close())


def found(queues: CombinedQueue, query: Query | None = None) -> list[QueueId]:
    return [entry.id for entry in result(queues.find(query or Query()))]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_messages_are_found_in_the_order_they_came_and_no_more_than_wanted(tmp_path, workers):
    ids = spread(tmp_path, workers, 7)
    with seen(tmp_path) as queues:
        assert found(queues) == ids
        assert found(queues, Query(limit=4)) == ids[:4]
        assert found(queues, Query([ids[5], ids[2]])) == [ids[2], ids[5]]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_counts_are_added_up(tmp_path, workers):
    ids = spread(tmp_path, workers, 7)
    with seen(tmp_path) as queues:
        result(queues.apply(Action.HOLD, ids[:5], NOW))
        result(queues.apply(Action.REMOVE, ids[4:6], NOW))
        summary = result(queues.summary())
    assert (summary.messages, summary.held, summary.claimed, summary.oldest) == (5, 4, 0, NOW)
    assert summary.recipients == {Status.WAITING: 5, Status.DELIVERED: 0, Status.FAILED: 0, Status.REMOVED: 2}


def test_a_change_is_made_where_the_message_is_and_told_there(tmp_path):
    ids = spread(tmp_path, 3, 6)
    told: Told = []
    with seen(tmp_path, told) as queues:
        assert result(queues.apply(Action.HOLD, [ids[3], ids[1], ids[0]], NOW)) == [ids[0], ids[1], ids[3]]
        assert [entry.held for entry in result(queues.find(Query()))] == [True, True, False, True, False, False]
    assert told == [(tmp_path / "worker-2", Action.HOLD, [ids[1]]), (tmp_path, Action.HOLD, [ids[0], ids[3]])]


def test_a_change_to_all_is_made_in_each_queue_and_in_that_of_queue_dir_last(tmp_path):
    # A merge moves messages there: asked the other way round, one on its way would be passed by.
    ids = spread(tmp_path, 3, 6)
    told: Told = []
    with seen(tmp_path, told) as queues:
        assert result(queues.apply(Action.RETRY, None, NOW)) == ids
    assert [home for home, _, _ in told] == [tmp_path / "worker-3", tmp_path / "worker-2", tmp_path]


def test_a_message_that_a_merge_has_in_two_files_is_listed_once_and_as_queue_dir_has_it(tmp_path):
    both, other = mail(), mail()
    fill(tmp_path / "worker-2", [both, other])
    fill(tmp_path, [both])
    target = opened(tmp_path)
    result(target.apply(Action.HOLD, None, NOW))
    with seen(tmp_path) as queues:
        assert [(entry.id, entry.held) for entry in result(queues.find(Query()))] == [
            (both.id, True),
            (other.id, False),
        ]
        assert found(queues, Query(limit=2)) == [both.id, other.id]
        assert result(queues.apply(Action.REMOVE, [both.id], NOW)) == [both.id]
        assert found(queues) == [other.id]
    result(target.close())


def test_a_home_whose_worker_has_not_begun_is_left_out(tmp_path):
    ids = spread(tmp_path, 2, 2)
    (tmp_path / "worker-3").mkdir()
    with seen(tmp_path) as queues:
        assert found(queues) == ids


def test_the_first_worker_may_be_the_one_that_has_not_begun(tmp_path):
    waiting = mail()
    fill(tmp_path / "worker-2", [waiting])
    shutil.rmtree(tmp_path / "bodies", ignore_errors=True)
    with seen(tmp_path) as queues:
        assert found(queues) == [waiting.id]


@pytest.mark.parametrize("there", [True, False])
def test_no_queue_at_all_is_the_line_of_one_queue(tmp_path, there):
    directory = tmp_path if there else tmp_path / "none"
    with pytest.raises(QueueError) as alone:
        open_queue(directory, run=run_inline, now=NOW, create=False, recover=False)
    with pytest.raises(QueueError) as refused, seen(directory):
        pass
    assert str(refused.value) == str(alone.value)


def test_a_home_that_is_merged_away_meanwhile_is_no_error(tmp_path):
    ours, theirs = mail(), mail()
    fill(tmp_path, [ours])
    fill(tmp_path / "worker-2", [theirs])
    with seen(tmp_path) as queues:
        fill(tmp_path, [theirs])
        shutil.rmtree(tmp_path / "worker-2")
        assert found(queues) == [ours.id, theirs.id]
        assert result(queues.apply(Action.HOLD, None, NOW)) == [ours.id, theirs.id]
        assert [entry.held for entry in result(queues.find(Query()))] == [True, True]
        assert result(queues.summary()).held == 2


def test_a_damaged_queue_is_named(tmp_path):
    spread(tmp_path, 2, 2)
    damaged = tmp_path / "worker-2" / FILE_NAME
    damaged.write_bytes(damaged.read_bytes()[:8192])
    with pytest.raises(QueueError) as refused, seen(tmp_path):
        pass
    assert str(refused.value).startswith(f"{damaged} is damaged (")
    assert str(refused.value).endswith("restore it from a backup, or move it away to start empty")


def test_a_queue_that_another_program_keeps_to_itself_is_named(tmp_path, monkeypatch):
    spread(tmp_path, 2, 2)
    monkeypatch.setattr(schema, "READER_PATIENCE", 0.01)
    connection = sqlite3.connect(tmp_path / "worker-2" / FILE_NAME, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(QueueError, match=f"in {tmp_path}/worker-2: the queue file is locked"), seen(tmp_path):
        pass
    connection.close()


def test_a_queue_that_fails_is_named_and_earlier_actions_are_reported(tmp_path):
    ids = spread(tmp_path, 3, 6)
    told: Told = []
    with seen(tmp_path, told) as queues:
        (tmp_path / "worker-2" / FILE_NAME).write_bytes(b"no queue" * 4096)
        (tmp_path / "worker-2" / f"{FILE_NAME}-wal").unlink()
        with pytest.raises(QueueError, match=rf"in {tmp_path}/worker-2: the queue file "):
            result(queues.apply(Action.HOLD, None, NOW))
    assert told == [(tmp_path / "worker-3", Action.HOLD, ids[2::3])]


def test_a_home_that_cannot_be_read_is_named():
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        spread(directory, 2, 2)
        (directory / "worker-2").chmod(0)
        us = os.geteuid()
        os.seteuid(us or 65534)
        try:
            with pytest.raises(QueueError, match=f"{directory}/worker-2") as refused, seen(directory):
                pass
        finally:
            os.seteuid(us)
            (directory / "worker-2").chmod(0o700)
    assert isinstance(refused.value.__cause__, PermissionError)


def test_an_error_of_the_only_queue_is_as_it_is(tmp_path):
    error = QueueFull("no room")
    assert with_home(tmp_path, error, [tmp_path]) is error


def test_an_error_keeps_its_class(tmp_path):
    told = with_home(tmp_path, QueueFull("no room"), [tmp_path, tmp_path / "worker-2"])
    assert isinstance(told, QueueFull)
    assert str(told) == f"in {tmp_path}: no room"


# Where each message lies, how many recipients it has, and what became of the first attempt, if there was one.
lots = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(1, 3),
        st.none() | st.lists(st.sampled_from([TOOK, LATER, NEVER]), max_size=3),
    ),
    max_size=8,
)
places = st.lists(st.integers(0, 7), max_size=4)
#: `bounce` does the last one.
APPLIED = [action for action in Action if action is not Action.BOUNCE]
actions = st.tuples(st.sampled_from(APPLIED), st.none() | places, st.sampled_from(["", "", "r0@example.test"]))
queries = st.builds(lambda chosen, finished, limit: (chosen, finished, limit), places, st.booleans(), st.integers(1, 9))


def no_reports(_claim: Claim, _verdicts: Sequence[Verdict]) -> Sequence[NewMail]:
    return ()


@settings(max_examples=60)
@given(lots, st.lists(actions, max_size=4), st.lists(queries, max_size=3))
def test_several_queues_answer_like_one_that_has_all_their_messages(lot, applied, questions):
    with tempfile.TemporaryDirectory(prefix="smtprelay-test-") as directory:
        parts = [opened(worker_home(Path(directory), number)) for number in (1, 2, 3)]
        several = CombinedQueue([(Path(directory), part) for part in parts], lambda *_: None)
        one = MemoryQueue()
        ids = [
            attempted([one, parts[place]], NOW + number, count, outcomes)
            for number, (place, count, outcomes) in enumerate(lot)
        ]

        def chosen(places: Sequence[int]) -> list[QueueId]:
            return [ids[place] for place in places if place < len(ids)]

        for action, chosen_places, recipient in applied:
            wanted = None if chosen_places is None else chosen(chosen_places)
            # A hold of one recipient may fail in one queue after it was applied in another.
            to = "" if action in {Action.HOLD, Action.RELEASE} else recipient
            answers = [result(each.apply(action, wanted, NOW + 9, recipient=to, to="mx")) for each in (several, one)]
            assert answers[0] == answers[1]
        for back, recipient in ((chosen([1]), "r1@example.test"), (chosen([0, 2]), "")):
            returned = [
                result(each.bounce(back, NOW + 9, "no", no_reports, recipient=recipient)) for each in (several, one)
            ]
            assert returned[0] == returned[1]
        for chosen_places, finished, limit in [([], True, 9), ([], False, 9), *questions]:
            query = Query(chosen(chosen_places), finished, limit)
            assert result(several.find(query)) == result(one.find(query))
            newest = replace(query, newest_first=True, conditions=Conditions(words=("r1",)))
            assert result(several.find(newest)) == result(one.find(newest))
        for conditions in (Conditions(), Conditions(states=(State.FAILED,)), Conditions(recipient="r2@*")):
            assert result(several.count(conditions, finished=True)) == result(one.count(conditions, finished=True))
            assert result(several.select(conditions)) == result(one.select(conditions))
        assert result(several.summary()) == result(one.summary())
        shapes = [
            [replace(each, reply="", host="") for each in result(queue.domains(NOW + 9))] for queue in (several, one)
        ]
        assert shapes[0] == shapes[1]
        result(several.close())


def attempted(
    queues: Sequence[SqliteQueue | MemoryQueue], now: float, recipients: int, outcomes: Sequence[Any] | None
) -> QueueId:
    """Add a message to each of these queues, claimed; settle it if there are outcomes."""
    new = mail(*(f"r{number}@example.test" for number in range(recipients)))
    for queue in queues:
        claim = result(queue.add(new, now, lease=LEASE))
        if outcomes is not None:
            parted = zip(range(recipients), outcomes, strict=False)
            verdicts = [Verdict(index, outcome, now + 60 if outcome is LATER else None) for index, outcome in parted]
            result(queue.settle(Settlement(claim, verdicts, now)))
    return new.id
