"""The contract of a Queue, run against every one of them. A TestCase inherits it and gives `make_queue`."""

import random
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.message.body import Body, MemoryBody
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret
from mta.message.outcome import Delivered, Failed, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import (
    Action,
    Claim,
    DeferralFilter,
    DueMessage,
    Ledger,
    NewMail,
    Pending,
    Query,
    Queue,
    QueueError,
    QueueFull,
    Settlement,
    Status,
    Verdict,
)
from mta.smtp.address import Address, parse_address

NOW = 1_700_000_000.0
LEASE = 600.0
_ids = IdSource(7)

TOOK = Delivered("250 2.0.0 Ok: queued as 1A", "mx.example.test[192.0.2.1]:25")
LATER = TryLater("451 4.7.1 Greylisted", "mx.example.test[192.0.2.1]:25")
NEVER = Failed("550 5.1.1 No such user", "mx.example.test[192.0.2.1]:25")


def envelope(*recipients: str | Recipient, sender: str | None = "alice@example.org") -> Envelope:
    return Envelope(
        sender=None if sender is None else parse_address(sender),
        recipients=tuple(
            one if isinstance(one, Recipient) else Recipient(parse_address(one))
            for one in recipients or ("bob@example.test",)
        ),
        origin=Origin("192.0.2.7", "client.example.org", "ESMTP"),
    )


def mail(*recipients: str | Recipient, body: Body | bytes = b"Subject: hi\r\n\r\nhello\r\n", **parts: Any) -> NewMail:
    content = MemoryBody(body) if isinstance(body, bytes) else body
    return NewMail(_ids.new(NOW), envelope(*recipients, **parts), content)


def scratch(case: SynchronousTestCase) -> Path:
    """Return a path where nothing is yet, in a directory that goes with the test."""
    directory = tempfile.TemporaryDirectory(prefix="smtprelay-test-")
    case.addCleanup(directory.cleanup)
    return Path(directory.name) / "scratch"


def octets(body: Body) -> bytes:
    return b"".join(body.chunks())


class QueueContract:
    """Tests by the interface alone. `self.now(deferred)` gives the result of what has fired."""

    queue: Queue

    def make_queue(self) -> Queue:
        raise NotImplementedError

    def fill_disk(self) -> None:
        """Make the queue refuse the next message for want of room."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.queue = self.make_queue()
        self.addCleanup(lambda: self.now(self.queue.close()))

    def now(self, deferred: "Deferred[Any]") -> Any:
        return self.successResultOf(deferred)

    def added(self, *recipients: str | Recipient, due: float | None = None, **parts: Any) -> NewMail:
        """Add a message unclaimed."""
        new = mail(*recipients, **parts)
        assert self.now(self.queue.add(new, NOW, due=due)) is None
        return new

    def claimed(self, *recipients: str | Recipient, **parts: Any) -> Claim:
        """Add a message born claimed."""
        claim = self.now(self.queue.add(mail(*recipients, **parts), NOW, lease=LEASE))
        assert isinstance(claim, Claim)
        return claim

    def claims(self, now: float = NOW, limit: int = 10) -> list[Claim]:
        return self.now(self.queue.claim(now, limit, LEASE))

    def settled(self, claim: Claim, *verdicts: Verdict, now: float = NOW, **options: Any) -> bool:
        return self.now(self.queue.settle(Settlement(claim, verdicts, now, **options)))

    def entry(self, id: Any) -> Any:
        (entry,) = self.now(self.queue.find(Query([id], finished=True)))
        return entry

    # add

    def test_a_message_added_without_lease_is_claimable_at_once(self):
        new = self.added()
        (claim,) = self.claims()
        self.assertEqual((claim.id, claim.token, claim.created), (new.id, 1, NOW))
        self.assertEqual(claim.envelope, new.envelope)
        self.assertEqual(claim.pending, (Pending(0, new.envelope.recipients[0]),))
        self.assertFalse(claim.delay_reported)

    def test_a_message_added_with_due_waits_until_then(self):
        self.added(due=NOW + 60)
        self.assertEqual(self.claims(NOW + 59), [])
        self.assertEqual(len(self.claims(NOW + 60)), 1)

    def test_a_message_born_claimed_is_nobody_elses_until_its_lease_ends(self):
        born = self.claimed()
        self.assertEqual(born.token, 1)
        self.assertEqual(self.claims(NOW + LEASE - 1), [])
        (again,) = self.claims(NOW + LEASE)
        self.assertEqual((again.id, again.token), (born.id, 2))

    def test_every_part_of_an_envelope_comes_back(self):
        whole = Envelope(
            sender=Address('odd" one@home', "[IPv6:2001:db8::1]"),
            recipients=(
                Recipient(Address("postmaster", "")),
                Recipient(Address("jürgen", "xn--bcher-kva.example"), Notify.NEVER, "utf-8;jürgen@bücher.example"),
                Recipient(Address("..dots..", "example.test"), Notify.SUCCESS | Notify.DELAY, "rfc822;d@example.test"),
            ),
            origin=Origin("2001:db8::7", "[192.0.2.9]", "UTF8SMTPSA"),
            body_type=BodyType.EIGHT_BIT,
            smtputf8=True,
            ret=Ret.HEADERS,
            envid="QQ 314159",
        )
        self.now(self.queue.add(NewMail(_ids.new(NOW), whole, MemoryBody(b"x")), NOW))
        (claim,) = self.claims()
        self.assertEqual(claim.envelope, whole)
        self.assertEqual([pending.recipient for pending in claim.pending], list(whole.recipients))

    def test_the_null_sender_comes_back_as_none(self):
        self.added(sender=None)
        (claim,) = self.claims()
        self.assertIsNone(claim.envelope.sender)

    def test_a_body_comes_back_octet_for_octet(self):
        every_octet = bytes(range(256)) * 16
        self.added(body=every_octet)
        (claim,) = self.claims()
        self.assertEqual((claim.body.size, octets(claim.body)), (4096, every_octet))

    def test_an_id_is_taken_only_once(self):
        new = self.added()
        self.failureResultOf_(self.queue.add(new, NOW), QueueError)
        self.assertEqual(len(self.claims()), 1)

    def test_who_signed_the_last_copy_is_remembered(self):
        claim = self.claimed()
        self.settled(claim, Verdict(0, TOOK, signed_by="a.test/s1"))
        (entry,) = self.now(self.queue.find(Query(ids=[claim.id], finished=True)))
        self.assertEqual(entry.recipients[0].signed_by, "a.test/s1")

    def test_a_message_there_is_no_room_for_is_not_there(self):
        self.fill_disk()
        self.failureResultOf_(self.queue.add(mail(), NOW), QueueFull)
        self.assertEqual(self.now(self.queue.find(Query())), [])

    def failureResultOf_(self, deferred: "Deferred[Any]", kind: type[Exception]) -> Exception:
        return self.failureResultOf(deferred, kind).value

    # bodies while they arrive

    def large(self) -> bytes:
        return random.Random(5).randbytes(700_000)

    def written(self, new: NewMail, data: bytes) -> NewMail:
        writer = self.queue.writer(new.id)
        for start in range(0, len(data), 16_384):
            writer.write(data[start : start + 16_384])
        self.assertEqual(writer.size, len(data))
        return NewMail(new.id, new.envelope, writer.finish())

    def test_a_large_body_comes_back_octet_for_octet(self):
        born = self.now(self.queue.add(self.written(mail(), self.large()), NOW, lease=LEASE))
        self.assertEqual(octets(born.body), self.large())
        self.now(self.queue.release(born, NOW))
        (claim,) = self.claims()
        self.assertEqual((claim.body.size, octets(claim.body)), (700_000, self.large()))
        self.assertEqual(octets(claim.body), self.large(), "a body can be read twice")

    def test_a_large_report_is_added_with_a_settlement(self):
        claim = self.claimed()
        report = self.written(mail(sender=None), self.large())
        self.assertTrue(self.settled(claim, Verdict(0, NEVER), reports=[report]))
        (bounce,) = self.claims()
        self.assertEqual((bounce.id, octets(bounce.body)), (report.id, self.large()))

    def test_an_aborted_writer_takes_no_more(self):
        writer = self.queue.writer(mail().id)
        writer.write(self.large())
        writer.abort()
        writer.abort()
        self.assertRaises(QueueError, writer.write, b"more")
        self.assertRaises(QueueError, writer.finish)

    def test_a_writer_that_is_unloaded_takes_little_memory_and_loses_nothing(self):
        new = mail()
        writer = self.queue.writer(new.id)
        writer.write(b"first, ")
        writer.spill()
        writer.spill()
        writer.write(b"second")
        self.assertEqual(writer.size, 13)
        self.now(self.queue.add(NewMail(new.id, new.envelope, writer.finish()), NOW))
        self.assertEqual(writer.in_memory, 0)
        (claim,) = self.claims()
        self.assertEqual(octets(claim.body), b"first, second")

    def test_a_writer_that_was_aborted_takes_no_memory_and_cannot_be_unloaded(self):
        writer = self.queue.writer(mail().id)
        writer.write(b"x")
        writer.abort()
        writer.spill()
        self.assertEqual(writer.in_memory, 0)

    def test_abort_after_finish_leaves_the_body(self):
        new = mail()
        writer = self.queue.writer(new.id)
        writer.write(self.large())
        body = writer.finish()
        writer.abort()
        self.now(self.queue.add(NewMail(new.id, new.envelope, body), NOW))
        (claim,) = self.claims()
        self.assertEqual(octets(claim.body), self.large())

    def test_a_discarded_body_is_of_no_consequence(self):
        writer = self.queue.writer(mail().id)
        writer.write(self.large())
        self.queue.discard(writer.finish())
        self.queue.discard(MemoryBody(b"small"))
        self.assertEqual(self.claims(), [])

    # claim

    def test_claims_come_longest_due_first_and_no_more_than_asked(self):
        late, early, middle = (self.added(due=NOW + when) for when in (30, 10, 20))
        self.assertEqual([claim.id for claim in self.claims(NOW + 60, limit=2)], [early.id, middle.id])
        self.assertEqual([claim.id for claim in self.claims(NOW + 60, limit=2)], [late.id])
        self.assertEqual(self.claims(NOW + 60), [])

    def claim_with_filter(self, deferral_filter: DeferralFilter, now: float = NOW, limit: int = 10) -> list[Claim]:
        return self.now(self.queue.claim(now, limit, LEASE, deferral_filter))

    def test_what_is_put_off_is_not_claimed_but_due_at_its_new_time(self):
        left, taken = self.added("a@dead.test"), self.added("b@live.test")
        until = {("dead.test",): NOW + 90}
        claims = self.claim_with_filter(lambda message: until.get(message.domains))
        self.assertEqual([(claim.id, claim.token) for claim in claims], [(taken.id, 1)])
        self.assertEqual(self.claims(NOW + 89), [])
        self.assertEqual([(claim.id, claim.token) for claim in self.claims(NOW + 90)], [(left.id, 1)])

    def test_what_is_put_off_was_not_attempted(self):
        left = self.added("a@dead.test")
        self.assertEqual(self.claim_with_filter(lambda _: NOW + 90), [])
        (state,) = self.entry(left.id).recipients
        self.assertEqual((state.attempts, state.due), (0, NOW + 90))

    def test_whoever_puts_off_is_told_what_waits_and_whether_its_sender_knows(self):
        claim = self.claimed("a@one.test", "b@two.test", "c@three.test", "d@one.test")
        self.settled(claim, Verdict(1, TOOK), *(Verdict(index, LATER, NOW) for index in (0, 2, 3)))
        self.added("e@four.test", sender=None, due=NOW + 1)
        asked: list[DueMessage] = []
        self.assertEqual(len(self.claim_with_filter(asked.append, NOW + 1)), 2)
        self.assertEqual([set(waiting.domains) for waiting in asked], [{"one.test", "three.test"}, {"four.test"}])
        self.assertEqual([(waiting.created, waiting.delay_reported) for waiting in asked], [(NOW, False), (NOW, True)])

    def test_what_is_held_or_was_claimed_before_is_not_put_off(self):
        held, born = self.added("a@dead.test"), self.claimed("b@dead.test")
        self.now(self.queue.apply(Action.HOLD, [held.id], NOW))
        self.assertEqual([claim.id for claim in self.claim_with_filter(lambda _: NOW + 9000, NOW + LEASE)], [born.id])

    def test_no_more_than_asked_is_claimed_of_what_is_not_put_off(self):
        first, second = self.added(due=NOW - 2), self.added(due=NOW - 1)
        self.assertEqual([claim.id for claim in self.claim_with_filter(lambda _: None, limit=1)], [first.id])
        self.assertEqual([claim.id for claim in self.claim_with_filter(lambda _: None, limit=1)], [second.id])

    def test_a_claim_holds_all_recipients_but_pending_only_those_that_wait(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        self.settled(claim, Verdict(0, TOOK), Verdict(1, LATER, NOW + 5), Verdict(2, NEVER))
        (again,) = self.claims(NOW + 5)
        self.assertEqual(again.envelope, claim.envelope)
        self.assertEqual(again.pending, (Pending(1, claim.envelope.recipients[1], 1),))
        self.assertEqual(again.token, 2)

    # settle

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

    def test_a_message_given_back_is_due_at_the_earliest_due_of_those_that_wait(self):
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

    def test_settling_twice_changes_nothing_the_second_time(self):
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

    def test_a_settlement_after_the_lease_ran_out_counts_while_nobody_else_took_over(self):
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
        self.failureResultOf_(
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
        self.failureResultOf_(failing, QueueError)
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

    def test_a_kept_claim_ends_when_nobody_waits_any_more(self):
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

    # release

    def test_a_released_claim_is_untouched_and_due_when_asked(self):
        claim = self.claimed()
        self.assertTrue(self.now(self.queue.release(claim, NOW + 7)))
        self.assertEqual(self.claims(NOW + 6), [])
        (again,) = self.claims(NOW + 7)
        self.assertEqual((again.pending, again.token), (claim.pending, 2))

    def test_a_released_claim_can_not_be_released_or_settled_again(self):
        claim = self.claimed()
        self.now(self.queue.release(claim, NOW))
        self.assertFalse(self.now(self.queue.release(claim, NOW + 7)))
        self.assertFalse(self.settled(claim, Verdict(0, TOOK)))

    # next_due

    def test_an_empty_queue_has_nothing_due(self):
        self.assertIsNone(self.now(self.queue.next_due()))

    def test_a_leased_message_comes_due_at_its_leases_end(self):
        self.claimed()
        self.assertEqual(self.now(self.queue.next_due()), NOW + LEASE)
        self.added(due=NOW + 50)
        self.assertEqual(self.now(self.queue.next_due()), NOW + 50)

    # apply

    def applied(self, action: Action, *ids: Any, now: float = NOW) -> list[Any]:
        return self.now(self.queue.apply(action, ids or None, now))

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

    # find, summary, forget

    def test_find_gives_what_waits_in_the_order_it_came(self):
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

    def test_a_summary_counts_what_is_there(self):
        self.added(due=NOW + 60)
        self.applied(Action.HOLD)
        done = self.claimed("a@example.test", "b@example.test")
        self.settled(done, Verdict(0, TOOK), Verdict(1, NEVER))
        self.claimed()
        summary = self.now(self.queue.summary())
        self.assertEqual((summary.messages, summary.held, summary.claimed, summary.oldest), (2, 1, 1, NOW))
        counts = {Status.WAITING: 2, Status.DELIVERED: 1, Status.FAILED: 1, Status.REMOVED: 0}
        self.assertEqual(summary.recipients, counts)

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

    def test_a_summary_of_nothing_is_zeros(self):
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

    def ledger(self):
        return self.now(self.queue.summary()).ledger

    # audit

    def test_an_audit_tells_what_is_due_first_and_not_held(self):
        self.assertIsNone(self.now(self.queue.audit()).first)
        self.applied(Action.HOLD, self.added(due=NOW).id)
        self.added(due=NOW + 60)
        first = self.added(due=NOW + 30)
        audit = self.now(self.queue.audit())
        self.assertEqual((audit.first, audit.never_due), ((first.id, NOW + 30), None))
        self.assertEqual(audit.ledger, self.ledger())

    # mark

    def marked(self, claim, *indexes):
        return self.now(self.queue.note_in_flight(claim.id, indexes))

    def test_a_mark_is_new_until_its_recipient_is_settled(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        self.assertEqual(self.marked(claim, 0, 1), frozenset())
        self.settled(claim, Verdict(0, TOOK), Verdict(2, TOOK), keep_claim=True)
        self.assertEqual(self.marked(claim, 0, 2), frozenset())
        self.assertEqual(self.marked(claim, 1, 2), {1, 2})

    def test_what_is_given_back_or_settled_for_good_has_no_marks(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.marked(claim, 0, 1)
        self.now(self.queue.release(claim, NOW))
        self.assertEqual(self.marked(claim, 0, 1), frozenset())
        self.settled(claim, Verdict(0, TOOK))
        self.assertEqual(self.marked(claim, 1), frozenset())

    def test_a_late_settlement_leaves_the_marks_to_whoever_has_the_message_now(self):
        late = self.claimed("a@example.test", "b@example.test")
        (newer,) = self.claims(NOW + LEASE)
        self.marked(newer, 0, 1)
        self.assertFalse(self.settled(late, Verdict(0, TOOK), keep_claim=True))
        self.assertFalse(self.settled(late, Verdict(0, TOOK)))
        self.assertFalse(self.settled(late, Verdict(0, TOOK), Verdict(1, TOOK)))
        self.assertFalse(self.now(self.queue.release(late, NOW)))
        self.assertEqual(self.marked(newer, 0, 1), {0, 1})

    def test_the_marks_of_a_removed_message_go_when_whoever_sent_it_comes_back(self):
        for come_back in (lambda claim: self.settled(claim, Verdict(0, TOOK)), self.released):
            claim = self.claimed()
            self.marked(claim, 0)
            self.applied(Action.REMOVE, claim.id)
            self.assertFalse(come_back(claim))
            self.assertEqual(self.marked(claim, 0), frozenset())

    def released(self, claim):
        return self.now(self.queue.release(claim, NOW))

    def test_forget_drops_what_was_finished_before(self):
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

    # close

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
            self.queue.next_due(),
            self.queue.audit(),
            self.queue.apply(Action.HOLD, None, NOW),
            self.queue.find(Query()),
            self.queue.summary(),
            self.queue.forget(NOW),
        ):
            self.failureResultOf_(refused, QueueError)
