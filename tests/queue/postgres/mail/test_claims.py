"""Claims on PostgreSQL by several relays, and the rows that they leave."""

from mta.message.body import MemoryBody
from mta.queue.ids import to_id
from mta.queue.interface import DeferralFilter
from mta.queue.postgres.mail import claims
from mta.queue.postgres.mail.claim_start import WHOLE_EVERY
from mta.queue.sql.due import select_due
from tests.queue.messages import LEASE, NOW
from tests.queue.postgres.mail.case import ME, PEER, MailCase
from tests.queue.postgres.tables import BODY


class ClaimTests(MailCase):
    def test_a_claim_is_in_the_name_of_its_node_until_the_lease_ends(self):
        self.tables.add(7, token=2, due=NOW - 5)
        claim = self.one()
        self.assertEqual((claim.id, claim.token, claim.created, claim.body), (to_id(7), 3, NOW, MemoryBody(BODY)))
        row = self.message(7)
        self.assertEqual((row["node"], row["token"], row["leased_since"], row["due"]), (ME, 3, NOW, NOW + LEASE))
        self.assertEqual(self.claimed(change=self.peer()), [])
        ((taken, _),) = self.claim(NOW + LEASE, change=self.peer())
        self.assertEqual((taken.token, self.message(7)["node"]), (4, PEER))

    def test_messages_that_another_relay_is_claiming_are_passed_over(self):
        for number in range(1, 5):
            self.tables.add(number)
        peer = self.peer()
        with peer.session.transaction():
            self.assertEqual(self.claimed(limit=2, change=peer), [1, 2])
            self.assertEqual(self.claimed(), [3, 4])

    def test_messages_due_at_the_same_time_are_claimed_in_the_order_of_their_arrival(self):
        for number in (5, 2, 9, 1):
            self.tables.add(number, due=NOW if number < 9 else NOW - 1)
        self.assertEqual(self.claimed(limit=3), [9, 1, 2])

    def test_a_claim_ends_with_the_body_that_exceeds_the_bound(self):
        self.patch(claims, "CLAIM_BYTES", 25)
        for number in (1, 2, 3):
            self.tables.add(number)
        self.assertEqual(self.claimed(), [1, 2])
        self.assertEqual(self.claimed(), [3])

    def test_a_body_in_chunks_is_not_read_and_has_a_bound_of_its_own(self):
        self.patch(claims, "CLAIM_BYTES", 1)
        self.patch(claims, "LARGE_CLAIM_BYTES", 1000)
        for number in (1, 2, 3):
            self.tables.add(number, chunks=2, size=600)
        found = self.claim()
        self.assertEqual([claim.body for claim, _ in found], [self.large_body(to_id(number), 600) for number in (1, 2)])
        self.assertEqual(self.claimed(), [3])

    def test_a_claim_has_the_recipients_of_whom_a_fenced_node_may_have_sent_a_copy(self):
        self.tables.add(7, "a@x.test", "b@x.test", "c@x.test", doubt='{"7": [[0, 0], [2, 2]]}')
        self.tables.add(8)
        self.assertEqual([doubt for _, doubt in self.claim()], [{0, 2}, set()])

    def test_a_claim_among_others_takes_only_those_that_are_due(self):
        self.tables.add(1)
        self.tables.add(2, held=True)
        self.tables.add(3, due=NOW + 1)
        self.tables.add(4, due=NOW - 1)
        self.tables.add(5)
        self.assertEqual(self.claimed(among=[1, 2, 3, 4, 99]), [4, 1])
        self.assertEqual(self.claimed(limit=1, among=[1, 5]), [5])


class ClaimStartTests(MailCase):
    def test_a_message_that_became_due_long_before_the_last_claim_is_found_within_half_a_minute(self):
        self.tables.add(1, due=NOW - 10)
        self.assertEqual(self.claimed(), [1])
        self.tables.add(2, due=NOW - 20)
        self.tables.add(3, due=NOW - 10)
        self.assertEqual(self.claimed(NOW + 1), [3])
        self.assertEqual(self.claimed(NOW + 2), [])
        self.assertEqual(self.claimed(NOW + WHOLE_EVERY), [2])

    def test_a_look_for_a_filter_and_the_next_due_time_begin_there_too(self):
        self.tables.add(1, due=NOW - 10)
        self.assertEqual(len(claims.due_messages(self.change, self.start, NOW)), 1)
        self.tables.add(2, due=NOW - 20)
        self.assertEqual([number for number, _ in claims.due_messages(self.change, self.start, NOW)], [1])
        self.assertEqual(claims.next_due(self.change, self.start, NOW), NOW - 10)
        self.start.look_from_the_beginning()
        self.assertEqual(claims.next_due(self.change, self.start, NOW), NOW - 20)


class FilterTests(MailCase):
    def test_a_message_that_must_be_claimed_is_none_for_the_filter(self):
        self.tables.add(1)
        self.tables.add(2, node=PEER, token=1)
        self.tables.add(3)
        self.tables.look.execute("UPDATE recipient SET way = 'mx' WHERE message_id = 3")
        for with_envelopes in (False, True):
            found = claims.due_messages(self.change, self.start, NOW, with_envelopes=with_envelopes)
            self.assertEqual([(number, due is None) for number, due in found], [(1, False), (2, True), (3, True)])

    def test_deferred_messages_get_their_times_unless_they_are_held_or_claimed_or_locked(self):
        for number in range(1, 6):
            self.tables.add(number, held=number == 2, node=PEER if number == 3 else None, token=1)
        peer = self.peer()
        with peer.session.transaction():
            peer.rows("SELECT FROM message WHERE id = 4 FOR UPDATE")
            claims.defer(self.change, [(number, NOW + number) for number in (5, 4, 3, 2, 1)], NOW)
        found = {row["id"]: row["due"] - NOW for row in self.tables.rows("message")}
        self.assertEqual(found, {1: 1, 2: 0, 3: 0, 4: 0, 5: 5})

    def test_a_filter_chooses_among_due_messages(self):
        self.tables.add(1, "a@dead.test")
        self.tables.add(2, "a@live.test")
        until = {("dead.test",): NOW + 90.125}
        found = claims.due_messages(self.change, self.start, NOW)
        selection = select_due(found, 10, DeferralFilter(lambda message: until.get(message.domains)))
        claims.defer(self.change, selection.deferred, NOW)
        self.assertEqual(self.claimed(among=selection.claim), [2])
        self.assertEqual(claims.release_deferred(self.change, NOW + 90.125, NOW, 10), 1)
        self.assertEqual(self.claimed(), [1])

    def test_none_to_defer_is_no_statement(self):
        claims.defer(self.change, [], NOW)
        self.assertFalse(self.tables.session.connected)


class ReleaseTests(MailCase):
    def test_a_claim_of_another_node_or_token_is_not_released(self):
        self.tables.add(7)
        claim = self.one()
        self.assertFalse(claims.release(self.peer(), claim, NOW))
        self.assertEqual(self.message(7)["node"], ME)
        self.assertTrue(claims.release(self.change, claim, NOW + 5))
        self.assertEqual((self.message(7)["node"], self.message(7)["due"]), (None, NOW + 5))
        self.assertFalse(claims.release(self.change, claim, NOW))

    def test_a_release_is_true_again_if_it_was_done_and_nobody_has_claimed_since(self):
        self.tables.add(7)
        claim = self.one()
        claims.release(self.change, claim, NOW)
        self.assertTrue(claims.release(self.again(), claim, NOW))
        self.claim(change=self.peer())
        self.assertFalse(claims.release(self.again(), claim, NOW))
        self.assertEqual(self.message(7)["node"], PEER)

    def test_a_release_keeps_the_doubt_because_nobody_has_sent_the_message_again(self):
        self.tables.add(7, doubt='{"7": [[0, 0]]}')
        claims.release(self.change, self.one(), NOW)
        ((_, doubt),) = self.claim()
        self.assertEqual(doubt, {0})

    def test_deferred_messages_that_another_relay_has_locked_are_passed_over(self):
        for number in (1, 2, 3):
            self.tables.add(number, due=NOW + 60)
        peer = self.peer()
        with peer.session.transaction():
            peer.rows("SELECT FROM message WHERE id = 1 FOR UPDATE")
            self.assertEqual(claims.release_deferred(self.change, NOW + 60, NOW, 1), 1)
        self.assertEqual(self.claimed(), [2])

    def test_strays_are_released_but_no_message_in_work_and_none_that_is_new_or_another_node_s(self):
        old = {"node": ME, "token": 1, "due": NOW + 500}
        self.tables.add(1, **old, leased_since=NOW - 100)
        self.tables.add(2, **old, leased_since=NOW - 100)
        self.tables.add(3, **old, leased_since=NOW - 50)
        self.tables.add(4, **old, created=NOW - 100)
        self.tables.add(5, **{**old, "node": PEER}, leased_since=NOW - 100)
        self.tables.add(6, **{**old, "due": NOW - 7}, leased_since=NOW - 100)
        found = claims.strays(self.change, {2}, NOW - 90)
        self.assertEqual(sorted(found), [1, 4, 6])
        claims.release_strays(self.change, [1, 3, 4, 5, 6], NOW, NOW - 90)
        free = [(row["id"], row["due"] - NOW) for row in self.tables.rows("message") if row["node"] is None]
        self.assertEqual(free, [(1, 0), (4, 0), (6, -7)])

    def test_the_next_due_message_may_be_claimed_but_not_held(self):
        self.assertIsNone(claims.next_due(self.change, self.start, NOW))
        self.tables.add(1, held=True)
        self.tables.add(2, node=PEER, token=1, due=NOW + 60)
        self.assertEqual(claims.next_due(self.change, self.start, NOW), NOW + 60)
