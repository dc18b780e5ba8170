"""Settlements and claims whose connection is lost at each moment: recorded once, reports sent once, no mail stuck."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from harness.cutting_proxy import CuttingProxy, Moment
from harness.waiting import until
from mta.queue.entries import AttemptRecord
from mta.queue.interface import Claim, Query, Settlement, Verdict
from mta.queue.postgres.mail.statements import SQL
from tests.queue.messages import LATER, LEASE, NEVER, mail
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import NodeThread, create_schema, running_node


class Cut:
    """Cuts one connection: at a statement that begins so, or at the COMMIT after it."""

    def __init__(self, proxy: CuttingProxy, statement: str, moment: Moment, *, at_commit: bool) -> None:
        self._wanted = [statement[:40], "COMMIT"] if at_commit else [statement[:40]]
        self._moment = moment
        proxy.decide = self

    def __call__(self, text: str) -> Moment | None:
        if self._wanted and text.startswith(self._wanted[0]):
            self._wanted.pop(0)
            return None if self._wanted else self._moment
        return None


@contextmanager
def node_behind_proxy() -> Iterator[tuple[CuttingProxy, NodeThread]]:
    server = shared_cluster()
    database = server.database()
    create_schema(server.url(database))
    with CuttingProxy(server.socket) as proxy, running_node(proxy.url(database)) as node:
        yield proxy, node
    server.drop(database)


def result_of(proxy: CuttingProxy, node: NodeThread, begin: Callable[[], Any]) -> Any:
    """Return a result while the proxy delivers statements that come late."""
    begun = node.start(begin)

    def ended() -> bool:
        proxy.deliver_late()
        return begun.called

    until(ended)
    return node.wait(begun)


@pytest.mark.parametrize("at_commit", [False, True], ids=["statement", "commit"])
def test_a_settlement_is_recorded_once_and_its_report_added_once(at_commit: bool) -> None:
    with node_behind_proxy() as (proxy, node):
        for moment in Moment:
            claim = node.queue.add(mail("a@x.test", "b@x.test"), node.now(), LEASE)
            Cut(proxy, SQL.settle, moment, at_commit=at_commit)
            settlement = settlement_of(claim, node.now())

            async def settle(settlement: Settlement = settlement) -> bool:
                return await node.postgres.settle(settlement)

            assert result_of(proxy, node, settle), moment
            assert len(proxy.cuts) == 1, moment
            proxy.cuts.clear()
            (entry,) = node.queue.find(Query([claim.id], details=True))
            assert [(one.attempts, len(one.attempts_made)) for one in entry.recipients] == [(1, 0), (1, 1)], moment
            assert not entry.claimed, moment
            assert len(node.queue.find(Query([settlement.reports[0].id]))) == 1, moment
        assert node.queue.summary().ledger.missing == 0


def settlement_of(claim: Claim, now: float) -> Settlement:
    attempt = AttemptRecord(now, "mx", "451 later", "4.7.1")
    verdicts = [Verdict(0, NEVER), Verdict(1, LATER, now + 900, attempt=attempt)]
    return Settlement(claim, verdicts, now, [mail("alice@example.org", sender=None)])


@pytest.mark.parametrize("at_commit", [False, True], ids=["statement", "commit"])
def test_a_claim_whose_answer_is_lost_keeps_no_mail_waiting(at_commit: bool) -> None:
    with node_behind_proxy() as (proxy, node):
        for moment in Moment:
            id = node.add_waiting()
            Cut(proxy, SQL.claim, moment, at_commit=at_commit)

            async def claim() -> list[Claim]:
                return await node.postgres.claim(node.now(), 10, LEASE)

            found = result_of(proxy, node, claim)
            assert len(proxy.cuts) == 1, moment
            proxy.cuts.clear()
            assert {one.id for one in found} <= {id}, moment
            for one in found:
                node.wait(node.start(partial(node.busy.deliver, one)))
            node.deliver_all()
            assert node.busy.books.settled[id] == 1, moment
        assert node.queue.summary().messages == 0
