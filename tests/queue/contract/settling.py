"""Settlements of claims."""

from mta.message.body import MemoryBody
from mta.queue.interface import (
    Ledger,
    NewMail,
    Query,
    QueueError,
    Settlement,
    Status,
    Verdict,
)
from tests.queue.contract.case import QueueCase
from tests.queue.messages import GONE, LATER, LEASE, NEVER, NOW, TOOK, envelope, mail, octets


class SettleContract(QueueCase):
    """`settle`."""

    def test_a_message_all_of_whose_recipients_are_final_leaves_for_the_history(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.assertTrue(self.settled(claim, Verdict(1, NEVER), Verdict(0, TOOK), now=NOW + 3))
        self.assertEqual(self.now(self.queue.find(Query())), [])
        self.assertIsNone(self.now(self.queue.next_due()))
        entry = self.entry(claim.id)
        self.assertEqual((entry.claimed, entry.held), (False, False))
        self.assertEqual([one.status for one in entry.recipients], [Status.DELIVERED, Status.FAILED])
        self.assertEqual([one.finished for one in entry.recipients], [NOW + 3, NOW + 3])
        self.assertEqual([one.due for one in entry.recipients], [None, None])
        self.assertEqual([one.attempts for one in entry.recipients], [1, 1])
        self.assertEqual((entry.recipients[1].reply, entry.recipients[1].host), (NEVER.text, NEVER.host))

    def test_a_second_attempt_under_one_claim_is_counted(self):
        claim = self.claimed()
        self.settled(claim, Verdict(0, LATER, NOW), keep_claim=True)
        self.settled(claim, Verdict(0, TOOK))
        (one,) = self.entry(claim.id).recipients
        self.assertEqual((one.status, one.attempts, one.reply), (Status.DELIVERED, 2, TOOK.text))
        self.assertEqual(self.ledger().missing, 0)

    def test_a_message_given_back_is_due_at_the_earliest_due_of_its_waiting_recipients(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        self.settled(claim, Verdict(0, LATER, NOW + 90), Verdict(1, LATER, NOW + 30), Verdict(2, TOOK))
        self.assertEqual(self.now(self.queue.next_due()), NOW + 30)

    def test_a_recipient_without_verdict_stays_as_it_is(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.settled(claim, Verdict(0, LATER, NOW + 90))
        self.assertEqual(self.now(self.queue.next_due()), NOW)
        self.assertEqual([one.attempts for one in self.entry(claim.id).recipients], [1, 0])

    def test_a_message_of_which_some_were_not_tried_comes_no_earlier_than_is_asked(self):
        claim = self.claimed("a@x.test", "b@x.test", "c@x.test")
        self.settled(claim, Verdict(0, LATER, NOW + 90), not_before=NOW + 60)
        self.assertEqual(self.now(self.queue.next_due()), NOW + 60)
        (claim,) = self.now(self.queue.claim(NOW + 60, 1, LEASE))
        self.settled(claim, Verdict(0, LATER, NOW + 90), not_before=NOW - 5)
        self.assertLess(self.now(self.queue.next_due()), NOW + 60)

    def test_a_settlement_with_no_verdict_gives_the_claim_back(self):
        claim = self.claimed()
        self.assertTrue(self.settled(claim))
        self.assertEqual(len(self.claims()), 1)

    def test_try_later_without_a_due_is_a_failure(self):
        claim = self.claimed()
        self.settled(claim, Verdict(0, LATER))
        self.assertEqual(self.entry(claim.id).recipients[0].status, Status.FAILED)

    def test_a_discarded_recipient_is_removed_and_its_rule_is_in_the_history(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        self.settled(claim, Verdict(0, GONE), Verdict(1, TOOK), now=NOW + 3)
        first = self.entry(claim.id).recipients[0]
        self.assertEqual((first.status, first.finished, first.due), (Status.REMOVED, NOW + 3, None))
        self.assertEqual((first.reply, first.host, first.attempts), ("discarded by the rule 20-routes.toml:3", "", 0))
        (again,) = self.claims()
        self.settled(again, Verdict(2, GONE))
        self.assertEqual(self.now(self.queue.find(Query())), [])
        summary = self.now(self.queue.summary())
        self.assertEqual(summary.ledger, Ledger(accepted=3, delivered=1, removed=2))
        self.assertEqual((summary.failed, summary.unreported), (0, 0))

    def test_a_recipient_that_is_final_stays_so(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.settled(claim, Verdict(0, TOOK), keep_claim=True)
        self.settled(claim, Verdict(0, NEVER), Verdict(1, NEVER))
        statuses = [one.status for one in self.entry(claim.id).recipients]
        self.assertEqual(statuses, [Status.DELIVERED, Status.FAILED])

    def test_of_two_verdicts_for_one_recipient_the_first_final_one_stands(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.assertTrue(self.settled(claim, Verdict(0, TOOK), Verdict(0, LATER, NOW + 9), Verdict(1, NEVER)))
        statuses = [one.status for one in self.entry(claim.id).recipients]
        self.assertEqual(statuses, [Status.DELIVERED, Status.FAILED])
        self.assertEqual(self.now(self.queue.find(Query())), [])

    def test_a_repeated_settlement_has_no_effect(self):
        claim = self.claimed()
        self.assertTrue(self.settled(claim, Verdict(0, TOOK)))
        self.assertFalse(self.settled(claim, Verdict(0, NEVER), reports=[mail(sender=None)]))
        self.assertEqual(self.entry(claim.id).recipients[0].status, Status.DELIVERED)
        self.assertEqual(self.claims(), [])

    def test_a_late_settlement_with_an_old_token_changes_and_adds_nothing(self):
        old = self.claimed("a@example.test", "b@example.test")
        (new,) = self.claims(NOW + LEASE)
        for verdicts in ([Verdict(0, NEVER), Verdict(1, NEVER)], [Verdict(0, NEVER)], []):
            report = self.written(mail(sender=None), self.large())
            self.assertFalse(self.settled(old, *verdicts, reports=[report], delay_reported=True))
        self.assertFalse(self.now(self.queue.release(old, NOW)))
        self.assertEqual([one.attempts for one in self.entry(old.id).recipients], [0, 0])
        self.assertEqual(len(self.now(self.queue.find(Query(finished=True)))), 1)
        self.assertTrue(self.settled(new, Verdict(0, TOOK), Verdict(1, TOOK)))

    def test_a_settlement_after_the_lease_ran_out_counts_until_the_next_claim(self):
        claim = self.claimed()
        self.assertTrue(self.settled(claim, Verdict(0, TOOK), now=NOW + 10 * LEASE))

    def test_reports_are_due_at_once_and_unclaimed(self):
        claim = self.claimed()
        report = mail("alice@example.org", sender=None)
        self.settled(claim, Verdict(0, NEVER), now=NOW + 2, reports=[report])
        self.assertEqual(self.now(self.queue.next_due()), NOW + 2)
        (bounce,) = self.claims(NOW + 2)
        self.assertEqual((bounce.id, bounce.token, bounce.created), (report.id, 1, NOW + 2))

    def test_a_report_that_cannot_be_added_undoes_the_settlement(self):
        claim = self.claimed()
        self.failure(
            self.queue.settle(
                Settlement(claim, [Verdict(0, NEVER)], NOW, reports=[NewMail(claim.id, envelope(), MemoryBody(b""))])
            ),
            QueueError,
        )
        self.assertEqual(self.entry(claim.id).recipients[0].status, Status.WAITING)
        self.assertTrue(self.settled(claim, Verdict(0, TOOK)))

    def test_a_settlement_that_failed_can_be_offered_again(self):
        claim, there = self.claimed(), self.added(due=NOW + 60)
        report = self.written(mail(sender=None), self.large())
        failing = self.queue.settle(Settlement(claim, [Verdict(0, NEVER)], NOW, reports=[report, there]))
        self.failure(failing, QueueError)
        self.assertEqual(len(self.now(self.queue.find(Query()))), 2)
        self.assertTrue(self.settled(claim, Verdict(0, NEVER), reports=[report]))
        (bounce,) = self.claims()
        self.assertEqual((bounce.id, octets(bounce.body)), (report.id, self.large()))

    def test_a_claim_that_is_kept_settles_again(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.assertTrue(self.settled(claim, Verdict(0, TOOK), keep_claim=True))
        self.assertEqual(self.claims(), [])
        self.assertTrue(self.entry(claim.id).claimed)
        self.assertTrue(self.settled(claim, Verdict(1, LATER, NOW + 9)))
        (again,) = self.claims(NOW + 9)
        self.assertEqual([pending.index for pending in again.pending], [1])

    def test_a_kept_claim_ends_with_the_last_waiting_recipient(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.settled(claim, Verdict(0, TOOK), keep_claim=True)
        self.settled(claim, Verdict(1, TOOK), keep_claim=True)
        self.assertEqual(self.now(self.queue.find(Query())), [])
        self.assertFalse(self.settled(claim, Verdict(1, NEVER)))

    def test_a_reported_delay_is_remembered(self):
        claim = self.claimed()
        self.settled(claim, Verdict(0, LATER, NOW + 5), delay_reported=True)
        (second,) = self.claims(NOW + 5)
        self.assertTrue(second.delay_reported)
        self.settled(second, Verdict(0, LATER, NOW + 9))
        (third,) = self.claims(NOW + 9)
        self.assertTrue(third.delay_reported)
        self.assertEqual(third.pending[0].attempts, 2)
