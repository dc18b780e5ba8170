"""A copy that a dead relay may have sent is told of when another one is about to be sent, however late."""

from pathlib import Path

import pytest

from mta.queue.interface import LeaseLost, Settlement, Verdict
from mta.queue.postgres.membership.takeover import take_over
from mta.queue.postgres.queue import PostgresQueue
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.queue.messages import LATER, LEASE, NOW, mail
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import create_schema
from tests.queue.postgres.rows import end_lives
from tests.queue.postgres.test_crash import now

TIMES = 9_000_000_000.0


@pytest.fixture
def peer(database_url: str, tmp_path: Path) -> PostgresQueue:
    """Return a queue in which a message for two waits, of which a dead relay had marked the first recipient."""
    create_schema(database_url)
    dead, peer = (open_alone(database_url, tmp_path, lambda: NOW) for _ in range(2))
    claim = now(dead.add(mail("a@one.test", "b@two.test"), NOW, LEASE))
    now(dead.note_in_flight(claim.id, [0]))
    session = DatabaseSession(read_server(database_url).connection_parameters())
    end_lives(shared_cluster(), read_server(database_url).database, dead._node())
    take_over(session, dead._node(), by=peer._node())
    session.close()
    now(dead.close())
    return peer


def test_it_is_told_if_the_lease_of_a_living_relay_ran_out(database_url: str, tmp_path: Path):
    create_schema(database_url)
    slow, second, third = (open_alone(database_url, tmp_path, lambda: NOW) for _ in range(3))
    claim = now(slow.add(mail("a@one.test", "b@two.test"), NOW, LEASE))
    now(slow.note_in_flight(claim.id, [0]))
    other = now(slow.add(mail("c@three.test"), NOW, LEASE))
    taken = {claim.id: claim for claim in now(second.claim(NOW + LEASE, 10, LEASE))}
    assert set(taken) == {claim.id, other.id}
    assert now(second.note_in_flight(other.id, [0])) == frozenset()
    # It stays in the row, if the second relay loses it too before it sends.
    now(third.claim(NOW + 2 * LEASE, 10, LEASE))
    assert now(third.note_in_flight(claim.id, [0, 1])) == {0}
    assert now(third.note_in_flight(other.id, [0])) == {0}
    with pytest.raises(LeaseLost):
        now(slow.note_in_flight(claim.id, [1]))
    for queue in (slow, second, third):
        now(queue.close())


def claimed(peer: PostgresQueue):
    (claim,) = now(peer.claim(TIMES, 10, LEASE))
    return claim


def put_off(peer: PostgresQueue, claim, **options) -> None:
    verdicts = [Verdict(0, LATER, TIMES), Verdict(1, LATER, TIMES)]
    assert now(peer.settle(Settlement(claim, verdicts, NOW, **options)))


@pytest.mark.parametrize("keep", [False, True])
def test_it_is_told_after_attempts_that_sent_nothing(peer: PostgresQueue, keep: bool):
    claim = claimed(peer)
    put_off(peer, claim, keep_claim=keep)
    claim = claim if keep else claimed(peer)
    assert now(peer.note_in_flight(claim.id, [0, 1])) == {0}
    now(peer.close())


def test_it_is_told_once(peer: PostgresQueue):
    claim = claimed(peer)
    assert now(peer.note_in_flight(claim.id, [0, 1])) == {0}
    put_off(peer, claim)
    assert now(peer.note_in_flight(claimed(peer).id, [0, 1])) == frozenset()
    now(peer.close())
