"""One request whose connection is cut, at each moment: it is done once, and its result is that of an uncut one."""

import threading

import pytest

from harness.cutting_proxy import CuttingProxy, Moment
from mta.queue.entries import Status
from mta.queue.ids import to_number
from mta.queue.interface import Action, AttemptRecord, Query, Settlement, Verdict
from mta.queue.postgres.queue import STRAY_AGE, STRAYS_INTERVAL
from tests.queue.messages import LATER, LEASE, NEVER, TOOK, mail
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import NodeThread
from tests.queue.postgres.rows import read_rows

EACH = pytest.mark.parametrize("moment", list(Moment))


def cut(proxy: CuttingProxy, moment: Moment, words: str = "INTO message") -> None:
    """Have the next statement that contains these words be cut; one that is late arrives a moment later."""

    def decide(text: str) -> Moment | None:
        if proxy.cuts or words not in text:
            return None
        if moment is Moment.LATE:
            threading.Timer(0.2, proxy.deliver_late).start()
        return moment

    proxy.decide = decide


def rows(database: str):
    return read_rows(shared_cluster(), database)


def finish(proxy: CuttingProxy) -> None:
    """Deliver what is late, and make sure that a cut was made."""
    proxy.deliver_late()
    assert len(proxy.cuts) == 1


@EACH
def test_an_add(node: NodeThread, proxy: CuttingProxy, database: str, moment: Moment):
    cut(proxy, moment)
    new = mail()
    claim = node.queue.add(new, node.now(), LEASE)
    finish(proxy)
    assert claim.id == new.id
    assert rows(database).waiting == {to_number(new.id): 1}
    assert rows(database).ledger["accepted"] == 1
    assert node.queue.settle(Settlement(claim, [Verdict(0, TOOK)], node.now()))


@EACH
def test_a_settlement_that_finishes_a_message(node: NodeThread, proxy: CuttingProxy, database: str, moment: Moment):
    claim = node.queue.add(mail(), node.now(), LEASE)
    cut(proxy, moment)
    assert node.queue.settle(Settlement(claim, [Verdict(0, TOOK)], node.now()))
    finish(proxy)
    assert rows(database).finished == {to_number(claim.id): 1}
    assert rows(database).ledger["delivered"] == 1
    assert rows(database).missing == 0


@EACH
@pytest.mark.parametrize("words", ["INTO message", "COMMIT"])
def test_a_settlement_that_asks_for_another_attempt(
    node: NodeThread, proxy: CuttingProxy, database: str, words: str, moment: Moment
):
    claim = node.queue.add(mail(), node.now(), LEASE)
    cut(proxy, moment, words)
    attempt = AttemptRecord(node.now(), LATER.host, LATER.text, "4.7.1")
    assert node.queue.settle(Settlement(claim, [Verdict(0, LATER, node.now(), attempt=attempt)], node.now()))
    finish(proxy)
    (entry,) = node.queue.find(Query([claim.id], details=True))
    (recipient,) = entry.recipients
    assert (recipient.attempts, len(recipient.attempts_made)) == (1, 1)
    (again,) = node.queue.claim(node.now(), 10, LEASE)
    assert (again.token, again.pending[0].attempts) == (2, 1)


@EACH
@pytest.mark.parametrize("words", ["INTO message", "COMMIT"])
def test_a_settlement_with_a_report(node: NodeThread, proxy: CuttingProxy, database: str, words: str, moment: Moment):
    claim = node.queue.add(mail(), node.now(), LEASE)
    report = mail("alice@example.org", sender=None)
    cut(proxy, moment, words)
    assert node.queue.settle(Settlement(claim, [Verdict(0, NEVER)], node.now(), reports=[report]))
    finish(proxy)
    found = rows(database)
    assert (found.waiting, found.finished) == ({to_number(report.id): 1}, {to_number(claim.id): 1})
    assert (found.ledger["accepted"], found.ledger["failed"], found.missing) == (2, 1, 0)


@EACH
@pytest.mark.parametrize("words", ["INTO message", "COMMIT"])
def test_a_claim(node: NodeThread, proxy: CuttingProxy, words: str, moment: Moment):
    ids = {node.add_waiting() for _ in range(3)}
    cut(proxy, moment, words)
    claims = {claim.id: claim for claim in node.queue.claim(node.now(), 10, LEASE)}
    finish(proxy)
    # The relay looks for claims whose answer was lost when that cannot be on its way any more.
    node.ahead += STRAY_AGE + STRAYS_INTERVAL
    while set(claims) != ids:
        claims |= {claim.id: claim for claim in node.queue.claim(node.now(), 10, LEASE)}
    for claim in claims.values():
        assert node.queue.settle(Settlement(claim, [Verdict(0, TOOK)], node.now()))
    assert node.queue.summary().ledger.delivered == 3


@EACH
def test_a_mark(node: NodeThread, proxy: CuttingProxy, moment: Moment):
    claim = node.queue.add(mail(), node.now(), LEASE)
    cut(proxy, moment)
    assert node.queue.note_in_flight(claim.id, [0]) == frozenset()
    finish(proxy)
    assert node.queue.note_in_flight(claim.id, [0]) == {0}
    assert node.queue.settle(Settlement(claim, [Verdict(0, TOOK)], node.now()))


@EACH
@pytest.mark.parametrize("words", ["INTO message", "COMMIT"])
def test_a_release(node: NodeThread, proxy: CuttingProxy, words: str, moment: Moment):
    claim = node.queue.add(mail(), node.now(), LEASE)
    cut(proxy, moment, words)
    assert node.queue.release(claim, node.now())
    finish(proxy)
    (again,) = node.queue.claim(node.now(), 10, LEASE)
    assert (again.id, again.token) == (claim.id, 2)


@EACH
@pytest.mark.parametrize("words", ["INTO message", "COMMIT"])
def test_an_order(node: NodeThread, proxy: CuttingProxy, database: str, words: str, moment: Moment):
    id = node.add_waiting()
    cut(proxy, moment, words)
    # An operator repeats an order whose result he did not hear.
    node.patiently(lambda: node.queue.apply(Action.REMOVE, [id], node.now()), lambda _: True)
    finish(proxy)
    (entry,) = node.queue.find(Query([id], finished=True))
    assert entry.recipients[0].status is Status.REMOVED
    assert (rows(database).ledger["removed"], rows(database).missing) == (1, 0)
