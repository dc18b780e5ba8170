"""Nodes join with a number and a tag of their own."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mta.queue.interface import QueueError
from mta.queue.postgres.membership.node import join, next_tag
from mta.queue.postgres.membership.takeover import give_up
from tests.queue.postgres.shared_queue import SharedQueue


def test_tags_go_round_in_a_circle():
    assert next_tag(0, ()) == 1
    assert next_tag(1023, ()) == 0
    assert next_tag(1022, {1023, 0, 2}) == 1


def test_with_every_tag_taken_no_node_can_join():
    assert next_tag(5, set(range(1024)) - {5}) == 5
    with pytest.raises(QueueError, match="1024 relays share this queue"):
        next_tag(5, range(1024))


def test_a_node_has_its_row_and_lanes(shared: SharedQueue):
    node = join(shared.session(), "mx1", "4.2", 7, lanes=2)
    assert (node.name, node.lanes) == ("mx1", 2)
    known = shared.rows("SELECT name, program, schema_known, tag, fenced FROM node WHERE id = %(id)s", id=node.id)
    assert known == [("mx1", "4.2", 7, node.tag, False)]
    ((left,),) = shared.rows(
        "SELECT extract(epoch FROM alive_until - clock_timestamp())::float8 FROM node WHERE id = %(id)s", id=node.id
    )
    assert 20 < left <= 30
    lanes = shared.rows("SELECT n, sending FROM lane WHERE node = %(id)s ORDER BY n", id=node.id)
    assert lanes == [(0, "{}"), (1, "{}")]


def test_the_tag_of_a_fenced_node_comes_again_only_after_all_others(shared: SharedQueue):
    first = shared.node()
    give_up(shared.session(), first.id)
    second = shared.node()
    assert (first.tag, second.tag) == (1, 2)
    shared.rows("UPDATE node SET tag = 1023 WHERE id = %(id)s", id=second.id)
    assert [shared.node().tag, shared.node().tag] == [0, 1]


def test_nodes_that_join_at_once_have_different_tags(shared: SharedQueue):
    with ThreadPoolExecutor(8) as pool:
        nodes = list(pool.map(lambda session: join(session, "mx", "1", 1, 1), [shared.session() for _ in range(8)]))
    assert sorted(node.tag for node in nodes) == list(range(1, 9))
    assert len({node.id for node in nodes}) == 8
