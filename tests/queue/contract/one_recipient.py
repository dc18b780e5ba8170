"""Orders that are limited to one recipient: `apply` and `bounce` with `recipient`."""

from typing import Any

from mta.queue.interface import Action, Ledger, QueueError, Status, Verdict
from tests.queue.contract.case import QueueCase
from tests.queue.messages import LATER, NOW, TOOK

A, B = "a@example.test", "b@example.test"
WAITING, DELIVERED, FAILED, REMOVED = Status


class OneRecipientContract(QueueCase):
    """`apply` and `bounce`, each for one recipient."""

    def statuses(self, id: Any) -> list[Status]:
        return [one.status for one in self.entry(id).recipients]

    def bounced_for(self, *ids: Any, recipient: str, reports: Any = lambda _claim, _verdicts: ()) -> list[Any]:
        return self.now(self.queue.bounce(ids, NOW + 5, "returned", reports, recipient=recipient))

    def test_remove_takes_the_named_recipient_and_leaves_the_others(self):
        both, other, only = self.added(A, B), self.added(B), self.added(A)
        self.assertEqual(self.applied(Action.REMOVE, both.id, other.id, only.id, recipient=A), [both.id, only.id])
        self.assertEqual(
            [self.statuses(each.id) for each in (both, other, only)], [[REMOVED, WAITING], [WAITING], [REMOVED]]
        )
        claims = {claim.id: [one.recipient.address.local for one in claim.pending] for claim in self.claims()}
        self.assertEqual(claims, {both.id: ["b"], other.id: ["b"]})
        self.assertEqual(self.ledger(), Ledger(accepted=4, removed=2, waiting=2))
        self.assertEqual(self.applied(Action.REMOVE, both.id, only.id, recipient=A), [])

    def test_an_order_for_all_messages_is_for_those_in_which_the_recipient_waits(self):
        both, _other, only = self.added(A, B), self.added(B), self.added(A)
        self.assertEqual(self.applied(Action.REMOVE, recipient=A), [both.id, only.id])
        self.assertEqual(self.applied(Action.REMOVE, recipient="nobody@example.test"), [])

    def test_an_address_is_known_in_any_case_and_with_its_quotes(self):
        first, second = self.added("Carol@Example.Test"), self.added('"d e"@example.test')
        self.assertEqual(self.applied(Action.REMOVE, recipient="carol@EXAMPLE.test"), [first.id])
        self.assertEqual(self.applied(Action.REMOVE, recipient='"D E"@example.test'), [second.id])

    def test_a_lease_goes_on_while_another_recipient_waits(self):
        claim = self.claimed(A, B)
        self.assertEqual(self.applied(Action.REMOVE, claim.id, recipient=A), [claim.id])
        self.assertTrue(self.settled(claim, Verdict(0, TOOK), Verdict(1, LATER, NOW + 60)))
        self.assertEqual(self.statuses(claim.id), [REMOVED, WAITING])
        self.assertEqual(self.ledger(), Ledger(accepted=2, removed=1, waiting=1))
        self.assertEqual(self.now(self.queue.next_due()), NOW + 60)

    def test_a_lease_ends_with_the_last_recipient(self):
        claim = self.claimed(A, B)
        self.applied(Action.REMOVE, claim.id, recipient=A)
        self.bounced_for(claim.id, recipient=B)
        self.assertFalse(self.settled(claim, Verdict(0, TOOK), Verdict(1, TOOK)))
        self.assertEqual(self.statuses(claim.id), [REMOVED, FAILED])
        self.assertEqual(self.ledger(), Ledger(accepted=2, failed=1, removed=1))

    def test_the_message_ends_when_the_other_recipients_have_their_result(self):
        claim = self.claimed(A, B)
        self.applied(Action.REMOVE, claim.id, recipient=B)
        self.assertTrue(self.settled(claim, Verdict(0, TOOK)))
        self.assertEqual(self.statuses(claim.id), [DELIVERED, REMOVED])
        self.assertEqual(self.now(self.queue.summary()).messages, 0)

    def test_bounce_reports_the_named_recipient_alone(self):
        new, other = self.added(A, B), self.added(B)
        made: list[Any] = []

        def reports(claim: Any, verdicts: Any) -> Any:
            made.append((claim.id, [verdict.index for verdict in verdicts]))
            return ()

        self.assertEqual(self.bounced_for(new.id, other.id, recipient=A, reports=reports), [new.id])
        self.assertEqual(made, [(new.id, [0])])
        self.assertEqual((self.statuses(new.id), self.statuses(other.id)), ([FAILED, WAITING], [WAITING]))
        self.assertEqual(self.ledger(), Ledger(accepted=3, failed=1, waiting=2))

    def test_the_body_stays_until_the_last_recipient_is_gone(self):
        new = self.added(A, B, body=b"Subject: hi\r\n\r\nhello\r\n")
        self.applied(Action.REMOVE, new.id, recipient=A)
        (claim,) = self.claims()
        self.assertEqual(b"".join(claim.body.chunks()), b"Subject: hi\r\n\r\nhello\r\n")

    def test_retry_is_for_the_messages_in_which_the_recipient_waits(self):
        first, second = self.added(A, B, due=NOW + 60), self.added(B, due=NOW + 60)
        self.assertEqual(self.applied(Action.RETRY, first.id, second.id, recipient=A), [first.id])
        self.assertEqual([claim.id for claim in self.claims()], [first.id])

    def test_a_hold_of_one_recipient_is_refused_if_another_waits(self):
        only, both = self.added(A), self.added(A, B)
        refusal = self.failure(self.queue.apply(Action.HOLD, [only.id, both.id], NOW, recipient=A), QueueError)
        self.assertIn(f"message {both.id} has other recipients that wait", str(refusal))
        self.assertFalse(self.entry(only.id).held)
        self.assertEqual(self.applied(Action.HOLD, only.id, recipient=A), [only.id])
        self.assertTrue(self.entry(only.id).held)
        self.applied(Action.HOLD, both.id)
        self.failure(self.queue.apply(Action.RELEASE, None, NOW, recipient=A), QueueError)
        self.assertTrue(self.entry(only.id).held)
        self.assertEqual(self.applied(Action.RELEASE, only.id, recipient=A), [only.id])
        self.applied(Action.REMOVE, both.id, recipient=B)
        self.assertEqual(self.applied(Action.RELEASE, recipient=A), [both.id])
