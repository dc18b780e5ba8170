"""Requests of an operator, the audit, the history, and the closing of a queue."""

from mta.queue.interface import (
    Action,
    Ledger,
    Query,
    QueueError,
    Settlement,
    Status,
    Verdict,
)
from tests.queue.contract.case import QueueCase
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail


class ActionContract(QueueCase):
    """`apply`."""

    def test_a_held_message_is_not_claimed_and_never_due(self):
        new = self.added()
        self.assertEqual(self.applied(Action.HOLD, new.id), [new.id])
        self.assertEqual(self.claims(), [])
        self.assertIsNone(self.now(self.queue.next_due()))
        self.assertTrue(self.entry(new.id).held)

    def test_a_hold_that_is_lifted_leaves_the_due_time_as_it_was(self):
        new = self.added(due=NOW + 60)
        self.applied(Action.HOLD, new.id)
        self.applied(Action.RELEASE, new.id)
        self.assertEqual(self.now(self.queue.next_due()), NOW + 60)

    def test_a_hold_does_not_stop_the_attempt_that_runs(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.applied(Action.HOLD, claim.id)
        self.assertTrue(self.settled(claim, Verdict(0, LATER, NOW + 5), Verdict(1, TOOK)))
        self.assertEqual(self.claims(NOW + 5), [])
        self.assertTrue(self.entry(claim.id).held)

    def test_retry_makes_due_now_and_lifts_a_hold(self):
        new = self.added(due=NOW + 60)
        self.applied(Action.HOLD, new.id)
        self.assertEqual(self.applied(Action.RETRY, new.id, now=NOW + 1), [new.id])
        self.assertEqual(self.now(self.queue.next_due()), NOW + 1)
        self.assertEqual(len(self.claims(NOW + 1)), 1)

    def test_a_retry_of_all_leaves_held_messages_alone(self):
        held, new = self.added(), self.added(due=NOW + 60)
        self.applied(Action.HOLD, held.id)
        self.assertEqual(self.applied(Action.RETRY, now=NOW + 1), [new.id])
        self.assertTrue(self.entry(held.id).held)
        self.assertEqual([claim.id for claim in self.claims(NOW + 1)], [new.id])
        self.assertEqual(self.applied(Action.RELEASE), [held.id])
        self.assertEqual([claim.id for claim in self.claims(NOW + 1)], [held.id])

    def test_an_entry_tells_since_when_a_message_is_held_or_in_delivery(self):
        new, born = self.added(due=NOW + 5), self.claimed()
        self.assertEqual((self.entry(new.id).held_since, self.entry(new.id).claimed_since), (None, None))
        self.assertEqual(self.entry(born.id).claimed_since, NOW)
        self.claims(NOW + 7)
        self.assertEqual(self.entry(new.id).claimed_since, NOW + 7)
        self.applied(Action.HOLD, new.id, now=NOW + 8)
        self.applied(Action.HOLD, new.id, now=NOW + 9)
        entry = self.entry(new.id)
        self.assertEqual((entry.held_since, entry.claimed_since), (NOW + 8, NOW + 7))
        self.applied(Action.RELEASE, new.id, now=NOW + 10)
        self.assertIsNone(self.entry(new.id).held_since)

    def test_retry_leaves_a_running_attempt_alone(self):
        claim = self.claimed()
        self.assertEqual(self.applied(Action.RETRY, claim.id), [claim.id])
        self.assertEqual(self.claims(NOW + 1), [])
        self.assertTrue(self.settled(claim, Verdict(0, TOOK)))

    def test_remove_ends_the_recipients_that_wait_and_no_others(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.settled(claim, Verdict(0, TOOK), Verdict(1, LATER, NOW + 60))
        self.assertEqual(self.applied(Action.REMOVE, claim.id, now=NOW + 1), [claim.id])
        statuses = [one.status for one in self.entry(claim.id).recipients]
        self.assertEqual(statuses, [Status.DELIVERED, Status.REMOVED])
        self.assertEqual(self.claims(NOW + 60), [])
        self.assertEqual(self.applied(Action.REMOVE, claim.id), [])

    def test_remove_cancels_a_running_lease(self):
        claim = self.claimed()
        self.applied(Action.REMOVE, claim.id)
        self.assertFalse(self.settled(claim, Verdict(0, TOOK), reports=[mail(sender=None)]))
        self.assertFalse(self.now(self.queue.release(claim, NOW)))
        self.assertEqual(self.entry(claim.id).recipients[0].status, Status.REMOVED)
        self.assertEqual(self.claims(), [])

    def test_apply_without_ids_means_all_that_wait(self):
        first, second = self.added(), self.added(due=NOW + 60)
        done = self.claimed()
        self.settled(done, Verdict(0, TOOK))
        self.assertEqual(self.applied(Action.RETRY), [first.id, second.id])
        self.assertEqual(self.applied(Action.HOLD), [first.id, second.id])
        self.assertEqual(self.claims(), [])
        self.assertEqual(self.applied(Action.RELEASE), [first.id, second.id])
        self.assertEqual(len(self.claims()), 2)
        self.assertEqual(self.applied(Action.REMOVE), [first.id, second.id])

    def test_apply_of_no_ids_or_unknown_ones_does_nothing(self):
        self.added()
        self.assertEqual(self.now(self.queue.apply(Action.REMOVE, [], NOW)), [])
        self.assertEqual(self.applied(Action.REMOVE, mail().id, "no such id"), [])
        self.assertEqual(len(self.claims()), 1)


class ReadContract(QueueCase):
    """`find`, `summary` and `audit`."""

    def test_find_returns_waiting_messages_in_the_order_of_their_arrival(self):
        first, second, third = self.added(), self.added(), self.added()
        self.assertEqual([one.id for one in self.now(self.queue.find(Query()))], [first.id, second.id, third.id])
        self.assertEqual([one.id for one in self.now(self.queue.find(Query(limit=2)))], [first.id, second.id])
        named = self.now(self.queue.find(Query([third.id, first.id, "no such id"])))
        self.assertEqual([one.id for one in named], [first.id, third.id])

    def test_find_shows_the_history_only_when_asked(self):
        done = self.claimed()
        self.settled(done, Verdict(0, TOOK))
        new = self.added()
        self.assertEqual([one.id for one in self.now(self.queue.find(Query()))], [new.id])
        self.assertEqual([one.id for one in self.now(self.queue.find(Query([done.id])))], [])
        both = self.now(self.queue.find(Query(finished=True)))
        self.assertEqual([one.id for one in both], [done.id, new.id])

    def test_an_entry_tells_all_an_operator_asks(self):
        claim = self.claimed("a@example.test", '"b c"@example.test', sender=None)
        self.settled(claim, Verdict(0, LATER, NOW + 60), Verdict(1, TOOK), now=NOW + 2)
        entry = self.entry(claim.id)
        self.assertEqual((entry.sender, entry.size, entry.created, entry.client), ("", 22, NOW, "192.0.2.7"))
        waits, went = entry.recipients
        self.assertEqual((waits.address, waits.status, waits.due), ("a@example.test", Status.WAITING, NOW + 60))
        self.assertEqual((waits.reply, waits.host, waits.finished), (LATER.text, LATER.host, None))
        self.assertEqual((went.address, went.status, went.due), ('"b c"@example.test', Status.DELIVERED, None))

    def test_an_entry_of_a_claimed_message_shows_the_end_of_the_lease(self):
        claim = self.claimed()
        self.assertEqual(self.entry(claim.id).recipients[0].due, NOW + LEASE)

    def test_a_summary_counts_messages_and_recipients(self):
        self.added(due=NOW + 60)
        self.applied(Action.HOLD)
        done = self.claimed("a@example.test", "b@example.test")
        self.settled(done, Verdict(0, TOOK), Verdict(1, NEVER))
        self.claimed()
        summary = self.now(self.queue.summary())
        self.assertEqual((summary.messages, summary.held, summary.claimed, summary.oldest), (2, 1, 1, NOW))
        counts = {Status.WAITING: 2, Status.DELIVERED: 1, Status.FAILED: 1, Status.REMOVED: 0}
        self.assertEqual(summary.recipients, counts)

    def test_the_oldest_message_is_told_though_one_that_waits_for_its_release_came_first(self):
        self.now(self.queue.add(mail(), NOW + 86400))
        self.now(self.queue.add(mail(), NOW + 7))
        self.now(self.queue.add(mail(), NOW + 9))
        self.assertEqual(self.now(self.queue.summary()).oldest, NOW + 7)

    def test_a_summary_counts_the_history_and_the_reports_that_failed(self):
        took, failed, report = self.claimed(), self.claimed("a@b.test", "c@d.test"), self.claimed(sender=None)
        half = self.claimed("a@b.test", "c@d.test", sender=None)
        self.settled(took, Verdict(0, TOOK))
        self.settled(failed, Verdict(0, NEVER), Verdict(1, NEVER))
        self.settled(report, Verdict(0, NEVER))
        self.settled(half, Verdict(0, NEVER))
        summary = self.now(self.queue.summary())
        self.assertEqual((summary.finished, summary.failed, summary.unreported), (3, 2, 2))
        self.assertEqual([self.entry(one.id).unreported for one in (failed, report, half)], [False, True, True])

    def test_a_summary_of_an_empty_queue_is_zeros(self):
        summary = self.now(self.queue.summary())
        self.assertEqual((summary.messages, summary.held, summary.claimed, summary.oldest), (0, 0, 0, None))

    def test_the_ledger_accounts_for_every_recipient_ever_accepted(self):
        self.added()
        self.applied(Action.REMOVE)
        done = self.claimed("a@example.test", "b@example.test", "c@example.test")
        report = mail()
        verdicts = [Verdict(0, TOOK), Verdict(1, NEVER), Verdict(2, LATER, NOW + 60)]
        self.settled(done, *verdicts, reports=[report])
        # Too late to count.
        self.settled(done, *verdicts)
        self.assertEqual(self.ledger(), Ledger(accepted=5, delivered=1, failed=1, removed=1, waiting=2))
        self.now(self.queue.forget(NOW + 1))
        self.assertEqual(self.ledger(), Ledger(accepted=5, delivered=1, failed=1, removed=1, waiting=2))
        self.assertEqual(self.ledger().missing, 0)

    def test_an_audit_returns_the_first_due_message_that_is_not_held(self):
        self.assertIsNone(self.now(self.queue.audit()).first)
        self.applied(Action.HOLD, self.added(due=NOW).id)
        self.added(due=NOW + 60)
        first = self.added(due=NOW + 30)
        audit = self.now(self.queue.audit())
        self.assertEqual((audit.first, audit.never_due), ((first.id, NOW + 30), None))
        self.assertEqual(audit.ledger, self.ledger())


class EndContract(QueueCase):
    """`forget` and `close`."""

    def test_forget_drops_messages_that_were_finished_before(self):
        claims = [self.claimed() for _ in range(3)]
        for seconds, claim in enumerate(claims):
            self.settled(claim, Verdict(0, TOOK), now=NOW + seconds)
        waiting = self.added()
        self.assertEqual(self.now(self.queue.forget(NOW + 2, limit=1)), 1)
        self.assertEqual(self.now(self.queue.forget(NOW + 2)), 1)
        self.assertEqual(self.now(self.queue.forget(NOW + 2)), 0)
        left = self.now(self.queue.find(Query(finished=True)))
        self.assertEqual([one.id for one in left], [claims[2].id, waiting.id])
        self.assertEqual(self.now(self.queue.summary()).recipients[Status.DELIVERED], 1)

    def test_a_closed_queue_refuses_everything(self):
        claim = self.claimed()
        self.now(self.queue.close())
        self.now(self.queue.close())
        for refused in (
            self.queue.add(mail(), NOW),
            self.queue.claim(NOW, 1, LEASE),
            self.queue.settle(Settlement(claim, [Verdict(0, TOOK)], NOW)),
            self.queue.release(claim, NOW),
            self.queue.note_in_flight(claim.id, [0]),
            self.queue.release_deferred(NOW, NOW, 1),
            self.queue.next_due(),
            self.queue.audit(),
            self.queue.apply(Action.HOLD, None, NOW),
            self.queue.find(Query()),
            self.queue.summary(),
            self.queue.forget(NOW),
        ):
            self.failure(refused, QueueError)
