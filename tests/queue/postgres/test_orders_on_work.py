"""Orders of a machine without a relay on messages that a relay has in work."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.interface import Action, Claim, LeaseLost, Query, Settlement, Status, Verdict
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.url import read_server
from tests.queue.messages import LATER, LEASE, NOW, TOOK, mail, scratch
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.tables import Tables


class OrderOnWorkTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = scratch(self)
        directory.mkdir()
        url = Tables(self).url
        self.relay = open_alone(url, directory, lambda: NOW)
        self.operator = OperatorsQueue(read_server(url), run_inline)
        self.addCleanup(lambda: self.now(self.operator.close()))
        self.addCleanup(lambda: self.now(self.relay.close()))

    def now(self, deferred: "Deferred[Any]") -> Any:
        return self.successResultOf(deferred)

    def claimed(self, *recipients: str) -> Claim:
        claim = self.now(self.relay.add(mail(*recipients), NOW, lease=LEASE))
        assert isinstance(claim, Claim)
        return claim

    def order(self, action: Action, claim: Claim, **parts: str) -> None:
        self.assertEqual(self.now(self.operator.apply(action, [claim.id], NOW, **parts)), [claim.id])

    def settled(self, claim: Claim, *verdicts: Verdict) -> bool:
        return self.now(self.relay.settle(Settlement(claim, verdicts, NOW)))

    def statuses(self, claim: Claim) -> list[Status]:
        (entry,) = self.now(self.operator.find(Query([claim.id], finished=True)))
        return [one.status for one in entry.recipients]

    def test_a_removed_message_is_not_sent(self) -> None:
        claim = self.claimed()
        self.order(Action.REMOVE, claim)
        self.failureResultOf(self.relay.note_in_flight(claim.id, [0]), LeaseLost)
        self.assertFalse(self.settled(claim, Verdict(0, TOOK)))
        self.assertEqual(self.statuses(claim), [Status.REMOVED])
        self.assertEqual(self.now(self.operator.summary()).ledger.missing, 0)

    def test_a_message_that_was_marked_before_is_sent_and_the_order_counts(self) -> None:
        claim = self.claimed()
        self.assertEqual(self.now(self.relay.note_in_flight(claim.id, [0])), frozenset())
        self.order(Action.REMOVE, claim)
        self.assertFalse(self.settled(claim, Verdict(0, TOOK)))
        self.assertEqual(self.statuses(claim), [Status.REMOVED])

    def test_a_recipient_that_is_removed_leaves_the_others_to_the_relay(self) -> None:
        claim = self.claimed("a@example.test", "b@example.test")
        self.order(Action.REMOVE, claim, recipient="A@example.test")
        self.assertTrue(self.settled(claim, Verdict(0, TOOK), Verdict(1, TOOK)))
        self.assertEqual(self.statuses(claim), [Status.REMOVED, Status.DELIVERED])
        self.assertEqual(self.now(self.operator.summary()).ledger.missing, 0)

    def test_a_hold_lets_the_running_attempt_end_and_stops_the_next_one(self) -> None:
        claim = self.claimed()
        self.order(Action.HOLD, claim)
        self.now(self.relay.note_in_flight(claim.id, [0]))
        self.assertTrue(self.settled(claim, Verdict(0, LATER, NOW)))
        self.assertEqual(self.now(self.relay.claim(NOW, 1, LEASE)), [])
        self.order(Action.RELEASE, claim)
        self.assertEqual([each.id for each in self.now(self.relay.claim(NOW, 1, LEASE))], [claim.id])

    def test_a_returned_message_is_not_sent(self) -> None:
        claim = self.claimed()
        self.assertEqual(self.now(self.operator.bounce([claim.id], NOW, "returned", lambda *_: ())), [claim.id])
        self.failureResultOf(self.relay.note_in_flight(claim.id, [0]), LeaseLost)
        self.assertEqual(self.statuses(claim), [Status.FAILED])
