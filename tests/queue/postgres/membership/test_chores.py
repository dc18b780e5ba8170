"""Chores go round among the relays, and the sweep leaves only what is needed."""

from concurrent.futures import ThreadPoolExecutor

from mta.queue.postgres.membership.chores import longest_transaction, sweep, take_chore
from mta.queue.postgres.membership.node import Node
from mta.queue.postgres.membership.takeover import give_up
from tests.queue.postgres.shared_queue import SharedQueue

_COUNTS = "SELECT sum(accepted)::int, sum(delivered)::int, sum(failed)::int, sum(removed)::int FROM lane"


def fence_long_ago(shared: SharedQueue, node: Node, seconds: float) -> None:
    give_up(shared.session(), node.id)
    shared.let_lease_end(node, seconds)


def add_chunk(shared: SharedQueue, message: int, node: Node) -> None:
    shared.rows("INSERT INTO chunk VALUES (%(id)s, 0, %(node)s, 'x')", id=message, node=node.id)


def chunks(shared: SharedQueue) -> list[int]:
    return [id for (id,) in shared.rows("SELECT message_id FROM chunk ORDER BY message_id")]


def test_a_chore_is_had_by_one_relay_each_time(shared: SharedQueue):
    with ThreadPoolExecutor(4) as pool:
        sessions = [shared.session() for _ in range(4)]
        taken = list(pool.map(lambda session: take_chore(session, "takeover", 60), sessions))
    assert sorted(taken) == [False, False, False, True]
    assert not take_chore(shared.session(), "takeover", 60)
    shared.rows("UPDATE chore SET next = clock_timestamp()")
    assert take_chore(shared.session(), "takeover", 60)
    assert not take_chore(shared.session(), "nonsense", 60)


def test_counts_of_nodes_that_are_long_gone_go_to_the_operators_lane(shared: SharedQueue):
    old, recent, mine = shared.node(), shared.node(), shared.node()
    shared.rows("UPDATE lane SET accepted = 10 + n, delivered = 5, failed = 2, removed = 1 WHERE node <> 0")
    shared.rows("UPDATE lane SET accepted = 100 WHERE node = 0")
    before = shared.rows(_COUNTS)
    fence_long_ago(shared, old, 90000)
    fence_long_ago(shared, recent, 3600)
    sweep(shared.session())
    assert shared.rows(_COUNTS) == before
    assert shared.rows("SELECT id FROM node ORDER BY id") == [(0,), (recent.id,), (mine.id,)]
    assert shared.rows("SELECT accepted, delivered, failed, removed FROM lane WHERE node = 0") == [(121, 10, 4, 2)]
    assert shared.rows("SELECT DISTINCT node FROM lane WHERE node = %(id)s", id=old.id) == []


def test_the_newest_node_stays_for_its_tag(shared: SharedQueue):
    nodes = [shared.node() for _ in range(3)]
    for node in nodes:
        fence_long_ago(shared, node, 90000)
    sweep(shared.session())
    assert shared.rows("SELECT id FROM node WHERE id <> 0") == [(nodes[-1].id,)]
    assert shared.node().tag == nodes[-1].tag + 1


def test_many_old_nodes_go_in_several_statements(shared: SharedQueue):
    shared.rows(
        "INSERT INTO node (name, program, schema_known, tag, alive_until, fenced)"
        " SELECT '', '', 1, 1, '2020-01-01', true FROM generate_series(1, 450)"
    )
    sweep(shared.session())
    assert shared.rows("SELECT count(*)::int FROM node WHERE id <> 0") == [(1,)]


def test_chunks_without_a_message_go_when_their_node_is_gone(shared: SharedQueue):
    gone, recent, mine = shared.node(), shared.node(), shared.node()
    shared.add(1)
    for message, node in ((1, gone), (2, gone), (3, recent), (4, mine)):
        add_chunk(shared, message, node)
    shared.rows("INSERT INTO chunk VALUES (5, 0, 99999, 'x')")
    fence_long_ago(shared, gone, 700)
    fence_long_ago(shared, recent, 60)
    sweep(shared.session())
    assert chunks(shared) == [1, 3, 4]


def test_chunks_whose_add_failed_go_after_an_hour_though_their_node_lives(shared: SharedQueue):
    mine = shared.node()
    shared.add(1)
    for message in (1, 2, 3):
        add_chunk(shared, message, mine)
    shared.rows("UPDATE chunk SET stored = stored - 3590")
    shared.rows("UPDATE chunk SET stored = stored - 20 WHERE message_id < 3")
    sweep(shared.session())
    assert chunks(shared) == [1, 3]


def test_a_transaction_that_is_open_for_long_is_found(shared: SharedQueue):
    assert longest_transaction(shared.session()) is None
    other = shared.session()
    other.rows("BEGIN")
    other.rows("SELECT 1")
    ((process,),) = other.rows("SELECT pg_backend_pid()")
    assert longest_transaction(shared.session()) is None
    found = longest_transaction(shared.session(), age=0)
    assert found is not None
    assert found.name == f"of smtprelay (process {process})"
    assert "has been open in the queue's database for 0 minutes" in str(found)
