"""The database is away: clients wait for it, and hear in time whether their message was accepted."""

from collections import Counter

import pytest

from harness.cutting_proxy import CuttingProxy, Moment
from harness.postgres import Cluster
from harness.waiting import until
from mta.queue.ids import to_number
from mta.queue.interface import QueueError
from mta.queue.postgres.lanes.gathering import PATIENCE
from mta.queue.postgres.membership.takeover import take_over
from tests.queue.messages import LEASE, mail
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import NodeThread, create_schema, running_node
from tests.queue.postgres.rows import end_lives, read_rows


def rows(database: str):
    return read_rows(shared_cluster(), database)


def go_away(proxy: CuttingProxy, moment: Moment) -> None:
    """Cut the next statement that adds a message, and let no connection through until `come_back`."""

    def decide(text: str) -> Moment | None:
        if proxy.cuts:
            return Moment.BEFORE
        return moment if "INTO message" in text else None

    proxy.decide = decide


def come_back(proxy: CuttingProxy) -> None:
    proxy.decide = lambda _: None


def test_clients_wait_for_a_primary_that_is_stopped_and_hear_250_when_it_is_back():
    shared_cluster()
    with Cluster() as server:
        database = server.database()
        create_schema(server.url(database))
        with running_node(server.url(database)) as node:
            node.add_waiting()
            server.stop()
            adds = dict(node.begin_add() for _ in range(5))
            until(lambda: node.postgres._lanes.trouble, what="an offer that fails")
            with pytest.raises(QueueError, match="does not answer"):
                node.queue.require_room(1)
            assert not any(done.called for done in adds.values())
            server.start()
            until(lambda: all(done.called for done in adds.values()), what="answers after the return")
            assert {node.wait(done).id for done in adds.values()} == set(adds)
            assert read_rows(server, database).waiting.total() == 6
            node.queue.require_room(1)


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.ANSWERED, Moment.LATE])
def test_a_client_that_was_kept_too_long_hears_451_and_its_message_is_withdrawn(
    node: NodeThread, proxy: CuttingProxy, database: str, moment: Moment
):
    go_away(proxy, moment)
    id, done = node.begin_add()
    until(lambda: proxy.cuts)
    node.ahead += PATIENCE - 1
    assert not done.called
    node.ahead += 2
    with pytest.raises(QueueError):
        node.wait(done)
    come_back(proxy)
    until(lambda: node.postgres._lanes.trouble is None)
    proxy.deliver_late()
    until(lambda: not rows(database).waiting, what="the withdrawal of the message")
    assert (rows(database).ledger["accepted"], rows(database).missing) == (0, 0)
    # The second attempt of the client is another message.
    claim = node.queue.add(mail(), node.now(), LEASE)
    assert rows(database).waiting == Counter([to_number(claim.id)])
    assert claim.id != id


def test_a_message_that_is_a_peers_by_now_is_accepted(node: NodeThread, proxy: CuttingProxy, database: str):
    go_away(proxy, Moment.ANSWERED)
    fenced = node.id
    id, done = node.begin_add()
    until(lambda: rows(database).waiting)
    with running_node(shared_cluster().url(database), "peer") as peer:
        end_lives(shared_cluster(), database, fenced)
        session = peer._new_session()
        assert take_over(session, fenced, by=peer.id).messages == 1
        session.close()
        come_back(proxy)
        # Accepted, but the claim is not this node's.
        assert node.wait(done) is None
        assert node.id != fenced
        (claim,) = peer.queue.claim(peer.now(), 10, LEASE)
        assert claim.id == id
        assert rows(database).waiting == Counter([to_number(id)])
        assert (rows(database).ledger["accepted"], rows(database).missing) == (1, 0)
        assert sum("shown no sign of life" in line for line in node.troubles) == 1
