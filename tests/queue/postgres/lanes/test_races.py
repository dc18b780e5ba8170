"""Batches that overlap with a transaction of another relay or an operator, which is committed while the batch waits."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from harness.waiting import until
from mta.queue.ids import to_id, to_number
from mta.queue.postgres.errors import Fenced
from mta.queue.postgres.lanes.batch import BatchResult, MailBatch
from mta.queue.postgres.lanes.lane import Lane
from mta.queue.postgres.lanes.statements import SQL
from mta.queue.postgres.session import DatabaseSession
from tests.queue.messages import NOW, mail
from tests.queue.postgres.lanes.lane_case import claim_like, plain_end
from tests.queue.postgres.shared_queue import SharedQueue

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_FINISH = """
INSERT INTO history (id, created, size, client, helo, protocol, body_type, smtputf8, login, message_id, subject, author,
                     tls, delay_reported, node, token, finished, failed, recipients)
VALUES (%(id)s, 0, 1, '', '', 'ESMTP', '7BIT', false, '', '', '', '', '', false, %(node)s, 2, 0, false, '[]')
"""


@pytest.fixture
def lane(shared: SharedQueue) -> Iterator[Lane]:
    lane = Lane(DatabaseSession(shared.parameters), 0)
    yield lane
    lane.close()


def overlapped(shared: SharedQueue, other: DatabaseSession, offer: Callable[[], BatchResult]) -> BatchResult:
    """Return the result of an offer during which the open transaction of `other` is committed."""
    with ThreadPoolExecutor(1) as pool:
        result: Future[BatchResult] = pool.submit(offer)
        until(lambda: result.done() or shared.rows(_WAITING) == [(1,)])
        other.rows("COMMIT")
        return result.result()


def test_a_message_that_is_being_removed_is_not_marked(shared: SharedQueue, lane: Lane) -> None:
    node = shared.node()
    shared.add(77, node)
    operator = shared.session()
    operator.rows("BEGIN")
    operator.rows("DELETE FROM message WHERE id = 77")
    batch = MailBatch(sending='{"77": [[0, 0]]}')
    batch.mark(77, 1)
    assert overlapped(shared, operator, lambda: lane.offer(node.id, batch, (), again=False)).marked == frozenset()


def test_a_second_offer_adds_nothing_that_a_peer_finishes_meanwhile(shared: SharedQueue, lane: Lane) -> None:
    node, peer = shared.node(), shared.node("peer")
    new = mail()
    number = to_number(new.id)
    shared.add(number, peer, token=2)
    other = shared.session()
    other.rows("BEGIN")
    other.rows("DELETE FROM message WHERE id = %(id)s", {"id": number})
    other.rows(_FINISH, {"id": number, "node": peer.id})
    batch = MailBatch()
    batch.add(new, NOW, NOW + 600, NOW)
    result = overlapped(shared, other, lambda: lane.offer(node.id, batch, (), again=True))
    assert result.added == frozenset()
    assert shared.rows("SELECT count(*) FROM message") == [(0,)]
    assert shared.rows("SELECT sum(accepted)::int FROM lane") == [(0,)]


def test_a_batch_that_waited_for_its_lane_counts_from_what_it_finds(shared: SharedQueue, lane: Lane) -> None:
    node, other, batch = shared.node(), shared.session(), busy_batch()
    shared.add(78, node)
    other.rows("BEGIN")
    other.rows("UPDATE lane SET accepted = 10, delivered = 5, failed = 3 WHERE node = %(id)s", {"id": node.id})
    result = overlapped(shared, other, lambda: lane.offer(node.id, batch, (), again=False))
    assert (len(result.added), result.ended) == (1, {78})
    counts = "SELECT accepted, delivered, failed, removed FROM lane WHERE node = %(id)s AND n = 0"
    assert shared.rows(counts, id=node.id) == [(11, 6, 3, 0)]


def test_a_batch_that_waited_for_its_lane_does_nothing_if_the_lane_was_taken_over(
    shared: SharedQueue, lane: Lane
) -> None:
    node, other, batch = shared.node(), shared.session(), busy_batch()
    shared.add(78, node)
    lane.offer(node.id, MailBatch(), (), again=False)
    other.rows("BEGIN")
    other.rows(SQL.enter, {"node": node.id, "lane": 0})
    with pytest.raises(Fenced):
        overlapped(shared, other, lambda: lane.offer(node.id, batch, (), again=False))
    assert shared.rows("SELECT id FROM message") == [(78,)]
    assert shared.rows("SELECT count(*) FROM history") == shared.rows("SELECT count(*) FROM recipient") == [(0,)]


def busy_batch() -> MailBatch:
    """Return a batch that adds a message and ends message 78."""
    batch = MailBatch()
    batch.add(mail(), NOW, NOW + 600, NOW)
    batch.end(plain_end(replace(claim_like(mail()), id=to_id(78))))
    return batch
