"""Claims, their release, due times, and the marks of copies in flight."""

from collections.abc import Callable

from mta.message.body import MemoryBody
from mta.message.envelope import Envelope, Notify, Origin, Recipient
from mta.queue.ids import to_number
from mta.queue.interface import (
    MAX_DUE_RECIPIENTS,
    Action,
    Claim,
    DeferralFilter,
    DueMessage,
    LeaseLost,
    NewMail,
    Pending,
    Verdict,
)
from mta.smtp.address import Address
from tests.queue.contract.case import QueueCase
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, new_id


class ClaimContract(QueueCase):
    """`claim`, with and without a deferral filter."""

    def test_claims_come_longest_due_first_and_no_more_than_asked(self):
        late, early, middle = (self.added(due=NOW + when) for when in (30, 10, 20))
        self.assertEqual([claim.id for claim in self.claims(NOW + 60, limit=2)], [early.id, middle.id])
        self.assertEqual([claim.id for claim in self.claims(NOW + 60, limit=2)], [late.id])
        self.assertEqual(self.claims(NOW + 60), [])

    def claim_with_filter(
        self,
        until: Callable[[DueMessage], float | None],
        now: float = NOW,
        limit: int = 10,
        *,
        with_envelopes: bool = False,
    ) -> list[Claim]:
        return self.now(self.queue.claim(now, limit, LEASE, DeferralFilter(until, with_envelopes)))

    def test_a_deferred_message_is_not_claimed_but_due_at_its_new_time(self):
        left, taken = self.added("a@dead.test"), self.added("b@live.test")
        until = {("dead.test",): NOW + 90}
        claims = self.claim_with_filter(lambda message: until.get(message.domains))
        self.assertEqual([(claim.id, claim.token) for claim in claims], [(taken.id, 1)])
        self.assertEqual(self.claims(NOW + 89), [])
        self.assertEqual([(claim.id, claim.token) for claim in self.claims(NOW + 90)], [(left.id, 1)])

    def test_a_deferral_is_not_an_attempt(self):
        left = self.added("a@dead.test")
        self.assertEqual(self.claim_with_filter(lambda _: NOW + 90), [])
        (state,) = self.entry(left.id).recipients
        self.assertEqual((state.attempts, state.due), (0, NOW + 90))

    def test_a_filter_gets_waiting_domains_and_whether_the_delay_was_reported(self):
        claim = self.claimed("a@one.test", "b@two.test", "c@three.test", "d@one.test")
        self.settled(claim, Verdict(1, TOOK), *(Verdict(index, LATER, NOW) for index in (0, 2, 3)))
        other = self.added("e@four.test", sender=None, due=NOW + 1)
        asked: list[DueMessage] = []
        self.assertEqual(len(self.claim_with_filter(asked.append, NOW + 1)), 2)
        self.assertEqual([waiting.number for waiting in asked], [to_number(claim.id), to_number(other.id)])
        self.assertEqual([set(waiting.domains) for waiting in asked], [{"one.test", "three.test"}, {"four.test"}])
        self.assertEqual([(waiting.created, waiting.delay_reported) for waiting in asked], [(NOW, False), (NOW, True)])
        self.assertEqual([waiting.envelope for waiting in asked], [None, None])

    def test_a_filter_that_asks_for_envelopes_gets_the_waiting_recipients_and_the_origin(self):
        whole = Envelope(
            Address("alice", "a.test"),
            tuple(
                Recipient(Address(local, domain), Notify.SUCCESS, "rfc822;x@y.test")
                for local, domain in (('odd" one', "b.test"), ("jürgen", "c.test"), ("postmaster", ""))
            ),
            Origin("2001:db8::7", "h.test", "ESMTPSA", "alice"),
            smtputf8=True,
            envid="QQ",
        )
        claim = self.now(self.queue.add(NewMail(new_id(), whole, MemoryBody(b"")), NOW, lease=LEASE))
        self.settled(claim, Verdict(1, TOOK), Verdict(0, LATER, NOW), Verdict(2, LATER, NOW))
        other = self.added("e@four.test", sender=None, due=NOW + 1)
        asked: list[DueMessage] = []
        self.assertEqual(len(self.claim_with_filter(asked.append, NOW + 1, with_envelopes=True)), 2)
        self.assertEqual([waiting.number for waiting in asked], [to_number(claim.id), to_number(other.id)])
        waiting = tuple(Recipient(whole.recipients[index].address) for index in (0, 2))
        self.assertEqual(asked[0].envelope, Envelope(whole.sender, waiting, whole.origin))
        self.assertEqual((set(asked[0].domains), asked[0].delay_reported), ({"b.test", ""}, False))
        assert asked[1].envelope is not None
        self.assertEqual((asked[1].envelope.sender, asked[1].delay_reported), (None, True))

    def test_a_message_with_very_many_recipients_comes_without_its_envelope(self):
        for count in (MAX_DUE_RECIPIENTS, MAX_DUE_RECIPIENTS + 1):
            self.added(*(f"r{number}@b.test" for number in range(count)))
        asked: list[DueMessage] = []
        self.claim_with_filter(asked.append, with_envelopes=True)
        first, second = asked
        assert first.envelope is not None
        self.assertEqual(len(first.envelope.recipients), MAX_DUE_RECIPIENTS)
        self.assertEqual((second.envelope, second.domains), (None, ("b.test",)))

    def test_a_filter_that_asks_for_envelopes_defers_messages_as_any_other(self):
        left, taken = self.added("a@b.test"), self.added("a@b.test", sender="carol@c.test")

        def until(message: DueMessage) -> float | None:
            assert message.envelope is not None
            return NOW + 90 if str(message.envelope.sender) == "alice@example.org" else None

        self.assertEqual([claim.id for claim in self.claim_with_filter(until, with_envelopes=True)], [taken.id])
        self.assertEqual([claim.id for claim in self.claims(NOW + 90)], [left.id])

    def test_a_held_message_and_one_claimed_before_are_not_deferred(self):
        held, born = self.added("a@dead.test"), self.claimed("b@dead.test")
        self.now(self.queue.apply(Action.HOLD, [held.id], NOW))
        self.assertEqual([claim.id for claim in self.claim_with_filter(lambda _: NOW + 9000, NOW + LEASE)], [born.id])

    def test_a_claim_with_a_filter_has_a_limit(self):
        first, second = self.added(due=NOW - 2), self.added(due=NOW - 1)
        self.assertEqual([claim.id for claim in self.claim_with_filter(lambda _: None, limit=1)], [first.id])
        self.assertEqual([claim.id for claim in self.claim_with_filter(lambda _: None, limit=1)], [second.id])

    def test_a_claim_has_all_recipients_but_pending_only_waiting_ones(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        self.settled(claim, Verdict(0, TOOK), Verdict(1, LATER, NOW + 5), Verdict(2, NEVER))
        (again,) = self.claims(NOW + 5)
        self.assertEqual(again.envelope, claim.envelope)
        self.assertEqual(again.pending, (Pending(1, claim.envelope.recipients[1], 1),))
        self.assertEqual(again.token, 2)


class ReleaseContract(QueueCase):
    """`release` and `next_due`."""

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

    def test_an_empty_queue_has_no_due_time(self):
        self.assertIsNone(self.now(self.queue.next_due()))

    def test_a_leased_message_comes_due_at_its_leases_end(self):
        self.claimed()
        self.assertEqual(self.now(self.queue.next_due()), NOW + LEASE)
        self.added(due=NOW + 50)
        self.assertEqual(self.now(self.queue.next_due()), NOW + 50)


class DeferredContract(QueueCase):
    """`release_deferred`."""

    def test_messages_with_exactly_that_due_time_become_due_in_the_order_of_their_arrival(self):
        others = [self.added(due=when) for when in (NOW + 58.122, NOW + 58.124)]
        first, second, third = (self.added(due=NOW + 58.123) for _ in range(3))
        self.assertEqual(self.now(self.queue.release_deferred(NOW + 58.123, NOW + 1, 2)), 2)
        self.assertEqual([claim.id for claim in self.claims(NOW + 1)], [first.id, second.id])
        self.assertEqual(self.now(self.queue.release_deferred(NOW + 58.123, NOW + 2, 2)), 1)
        self.assertEqual([claim.id for claim in self.claims(NOW + 2)], [third.id])
        self.assertEqual(self.now(self.queue.release_deferred(NOW + 58.123, NOW + 3, 2)), 0)
        self.assertEqual({claim.id for claim in self.claims(NOW + 59)}, {other.id for other in others})

    def test_messages_that_a_filter_deferred_or_a_claim_gave_back_are_found_by_that_time(self):
        for fraction in range(0, 1000, 37):
            due = 1_764_447_385 + fraction / 1000
            filtered, claim = self.added(), self.claimed()
            self.assertEqual(self.now(self.queue.claim(NOW, 10, LEASE, DeferralFilter(lambda _, due=due: due))), [])
            self.now(self.queue.release(claim, due))
            self.assertEqual(self.now(self.queue.release_deferred(due, NOW, 10)), 2)
            self.assertEqual({each.id for each in self.claims()}, {filtered.id, claim.id})

    def test_held_and_leased_messages_are_left(self):
        held, leased = self.added(due=NOW + LEASE), self.claimed()
        self.applied(Action.HOLD, held.id)
        self.assertEqual(self.now(self.queue.release_deferred(NOW + LEASE, NOW, 10)), 0)
        self.applied(Action.RELEASE, held.id)
        self.assertEqual(self.now(self.queue.next_due()), NOW + LEASE)
        self.assertTrue(self.released(leased))

    def test_a_release_is_not_an_attempt(self):
        new = self.added(due=NOW + 60)
        self.now(self.queue.release_deferred(NOW + 60, NOW, 10))
        (state,) = self.entry(new.id).recipients
        self.assertEqual((state.attempts, state.due), (0, NOW))


class InFlightContract(QueueCase):
    """`note_in_flight`."""

    def marked(self, claim, *indexes):
        """Mark recipients; a queue that refuses it, because the claim is over, has no marks of them."""
        marking = self.queue.note_in_flight(claim.id, indexes)
        return self.now(marking.addErrback(lambda failure: failure.trap(LeaseLost) and frozenset()))

    def test_a_mark_is_new_until_its_recipient_is_settled(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        self.assertEqual(self.marked(claim, 0, 1), frozenset())
        self.settled(claim, Verdict(0, TOOK), Verdict(2, TOOK), keep_claim=True)
        self.assertEqual(self.marked(claim, 0, 2), frozenset())
        self.assertEqual(self.marked(claim, 1, 2), {1, 2})

    def test_a_message_that_is_given_back_or_settled_has_no_marks(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.marked(claim, 0, 1)
        self.now(self.queue.release(claim, NOW))
        self.assertEqual(self.marked(claim, 0, 1), frozenset())
        self.settled(claim, Verdict(0, TOOK))
        self.assertEqual(self.marked(claim, 1), frozenset())

    def test_a_late_settlement_leaves_the_marks_of_the_newer_claim(self):
        late = self.claimed("a@example.test", "b@example.test")
        (newer,) = self.claims(NOW + LEASE)
        self.marked(newer, 0, 1)
        self.assertFalse(self.settled(late, Verdict(0, TOOK), keep_claim=True))
        self.assertFalse(self.settled(late, Verdict(0, TOOK)))
        self.assertFalse(self.settled(late, Verdict(0, TOOK), Verdict(1, TOOK)))
        self.assertFalse(self.now(self.queue.release(late, NOW)))
        self.assertEqual(self.marked(newer, 0, 1), {0, 1})

    def test_the_marks_of_a_claim_whose_lease_ran_out_are_told_to_the_next_one(self):
        self.marked(self.claimed("a@example.test", "b@example.test"), 0)
        (newer,) = self.claims(NOW + LEASE)
        self.assertEqual(self.marked(newer, 0, 1), {0})

    def test_the_marks_of_a_removed_message_go_when_its_claim_is_settled_or_released(self):
        for come_back in (lambda claim: self.settled(claim, Verdict(0, TOOK)), self.released):
            claim = self.claimed()
            self.marked(claim, 0)
            self.applied(Action.REMOVE, claim.id)
            self.assertFalse(come_back(claim))
            self.assertEqual(self.marked(claim, 0), frozenset())
