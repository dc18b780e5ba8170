"""A dead node's mail is given to the others, with the marks of its copies in flight, and the node is fenced off."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mta.queue.postgres.membership.node import Node
from mta.queue.postgres.membership.takeover import Takeover, dead_nodes, give_up, take_over
from mta.queue.sql.marks import read_marks
from tests.queue.postgres.shared_queue import SharedQueue

_SET_MARKS = "UPDATE lane SET sending = %(sending)s WHERE node = %(id)s AND n = %(n)s"


@pytest.fixture
def dead(shared: SharedQueue) -> Node:
    node = shared.node("dead")
    shared.let_lease_end(node, 12)
    return node


@pytest.fixture
def mine(shared: SharedQueue) -> Node:
    return shared.node("mine")


def test_only_nodes_whose_lease_is_over_are_dead(shared: SharedQueue, dead: Node, mine: Node):
    assert dead_nodes(shared.session()) == [dead.id]


def test_its_messages_are_due_for_any_relay_under_a_new_token(shared: SharedQueue, dead: Node, mine: Node):
    shared.add(1, dead, token=4)
    shared.add(2, mine)
    shared.add(3)
    before = time.time()
    takeover = take_over(shared.session(), dead.id, by=mine.id)
    assert takeover is not None
    assert (takeover.node, takeover.name, takeover.messages) == (dead.id, "dead", 1)
    assert 12 <= takeover.overdue < 20
    node, token, due = shared.message(1, "node, token, due")
    assert (node, token) == (None, 5)
    assert before - 1 < due < time.time() + 1
    assert shared.message(2, "node, token, due") == (mine.id, 1, 9e9)
    assert shared.message(3, "node, token, due") == (None, 0, 9e9)


def test_the_node_and_its_lanes_are_fenced_off(shared: SharedQueue, dead: Node, mine: Node):
    take_over(shared.session(), dead.id, by=mine.id)
    assert shared.rows("SELECT DISTINCT fenced FROM lane WHERE node = %(id)s", id=dead.id) == [(True,)]
    assert shared.rows("SELECT fenced FROM node WHERE id = %(id)s", id=dead.id) == [(True,)]
    assert shared.rows("SELECT DISTINCT fenced FROM lane WHERE node IN (0, %(id)s)", id=mine.id) == [(False,)]
    assert take_over(shared.session(), dead.id, by=mine.id) is None
    assert dead_nodes(shared.session()) == []


def test_marks_of_messages_that_it_still_had_are_kept_as_doubt(shared: SharedQueue, dead: Node, mine: Node):
    for lane, sending in enumerate(('{"1":[[0,0]],"2":[[0,3]],"4":[[0,0]]}', '{"1":[[2,3]],"9":[[0,0]]}')):
        shared.rows(_SET_MARKS, id=dead.id, n=lane, sending=sending)
    shared.add(1, dead)
    shared.add(2, mine)
    shared.add(3, dead)
    shared.add(4, dead, doubt='{"4":[[5,5]]}')
    shared.add(5, dead, doubt='{"5":[[6,7]]}')
    take_over(shared.session(), dead.id, by=mine.id)
    doubts = [shared.message(id, "doubt")[0] for id in (1, 2, 3, 4, 5)]
    read = [doubt and read_marks(doubt) for doubt in doubts]
    assert read == [{1: {0, 2, 3}}, None, None, {4: {0, 5}}, {5: {6, 7}}]
    assert shared.rows("SELECT DISTINCT sending FROM lane") == [("{}",)]


def test_the_counts_of_its_lanes_stay(shared: SharedQueue, dead: Node, mine: Node):
    shared.rows("UPDATE lane SET accepted = 5, delivered = 3 WHERE node = %(id)s AND n = 1", id=dead.id)
    take_over(shared.session(), dead.id, by=mine.id)
    assert shared.rows("SELECT sum(accepted)::int, sum(delivered)::int FROM lane") == [(5, 3)]


def test_a_node_that_has_shown_a_sign_of_life_meanwhile_is_left_alone(shared: SharedQueue, mine: Node):
    alive = shared.node("alive")
    shared.add(1, alive)
    assert take_over(shared.session(), alive.id, by=mine.id) is None
    assert shared.message(1, "node") == (alive.id,)


def test_a_node_whose_own_lease_is_over_takes_nobody_over(shared: SharedQueue, dead: Node, mine: Node):
    shared.let_lease_end(mine)
    assert take_over(shared.session(), dead.id, by=mine.id) is None
    assert take_over(shared.session(), mine.id, by=dead.id) is None


def test_a_node_that_leaves_gives_everything_back(shared: SharedQueue, mine: Node):
    shared.add(1, mine)
    assert give_up(shared.session(), mine.id) == Takeover(mine.id, "mine", 1, 0.0)
    assert shared.message(1, "node") == (None,)
    assert give_up(shared.session(), mine.id) is None


def test_a_takeover_waits_for_a_batch_of_the_node_and_sees_its_changes(shared: SharedQueue, dead: Node, mine: Node):
    batch = shared.session()
    batch.rows("BEGIN")
    batch.rows("SELECT 1 FROM lane WHERE node = %(id)s AND n = 1 FOR UPDATE", {"id": dead.id})
    with ThreadPoolExecutor(1) as pool:
        taking_over = pool.submit(take_over, shared.session(), dead.id, by=mine.id)
        while not shared.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not taking_over.done()
        shared.add(1, dead)
        batch.rows(_SET_MARKS, {"id": dead.id, "n": 1, "sending": '{"1":[[0,0]]}'})
        batch.rows("COMMIT")
        takeover = taking_over.result()
    assert takeover is not None
    assert takeover.messages == 1
    assert shared.message(1, "node, doubt") == (None, '{"1": [[0, 0]]}')


def test_of_several_nodes_that_take_over_at_once_one_does_it(shared: SharedQueue, dead: Node):
    shared.add(1, dead)
    nodes = [shared.node() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(take_over, shared.session(), dead.id, by=node.id) for node in nodes]
        done = [takeover for job in jobs if (takeover := job.result()) is not None]
    assert len(done) == 1
    assert shared.message(1, "token") == (2,)
