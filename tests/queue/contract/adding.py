"""Messages that are added, and the writer of their bodies."""

import random
from dataclasses import replace

from mta.message.body import MemoryBody
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret, TlsDemand
from mta.queue.interface import (
    Action,
    NewMail,
    Pending,
    Query,
    QueueError,
    QueueFull,
    Verdict,
)
from mta.smtp.address import Address
from tests.queue.contract.case import QueueCase
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail, new_id, octets


class AddContract(QueueCase):
    """`add`, and the parts of a message that come back."""

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

    def test_a_message_claimed_at_add_is_not_claimed_again_until_its_lease_ends(self):
        born = self.claimed()
        self.assertEqual(born.token, 1)
        self.assertEqual(self.claims(NOW + LEASE - 1), [])
        (again,) = self.claims(NOW + LEASE)
        self.assertEqual((again.id, again.token), (born.id, 2))

    def test_a_message_added_held_is_not_claimed_until_it_is_released(self):
        for lease in (None, LEASE):
            new = mail(held=True)
            self.assertIsNone(self.now(self.queue.add(new, NOW, lease=lease)))
            self.assertEqual(self.claims(NOW + 2 * LEASE), [])
            self.assertIsNone(self.now(self.queue.next_due()))
            entry = self.entry(new.id)
            self.assertEqual((entry.held, entry.held_since, entry.claimed), (True, NOW, False))
            self.assertEqual(self.now(self.queue.summary()).held, 1)
            self.assertEqual(self.applied(Action.RELEASE), [new.id])
            (claim,) = self.claims()
            self.assertEqual(
                (claim.id, claim.token, claim.pending), (new.id, 1, (Pending(0, new.envelope.recipients[0]),))
            )
            self.settled(claim, Verdict(0, TOOK))
            self.assertFalse(self.entry(new.id).held)

    def test_a_large_message_added_held_keeps_its_body(self):
        data = random.Random(6).randbytes(700_000)
        new = mail(held=True)
        writer = self.queue.writer(new.id)
        writer.write(data)
        self.now(self.queue.add(NewMail(new.id, new.envelope, writer.finish(), held=True), NOW, lease=LEASE))
        self.assertEqual(self.claims(), [])
        self.applied(Action.RELEASE, new.id)
        (claim,) = self.claims()
        self.assertEqual(octets(claim.body), data)

    def test_every_part_of_an_envelope_comes_back(self):
        whole = Envelope(
            sender=Address('odd" one@home', "[IPv6:2001:db8::1]"),
            recipients=(
                Recipient(Address("postmaster", "")),
                Recipient(Address("jürgen", "xn--bcher-kva.example"), Notify.NEVER, "utf-8;jürgen@bücher.example"),
                Recipient(Address("..dots..", "example.test"), Notify.SUCCESS | Notify.DELAY, "rfc822;d@example.test"),
            ),
            origin=Origin("2001:db8::7", "[192.0.2.9]", "UTF8SMTPSA", "jürgen@bücher.example"),
            body_type=BodyType.EIGHT_BIT,
            smtputf8=True,
            ret=Ret.HEADERS,
            envid="QQ 314159",
            tls_demand=TlsDemand.REQUIRED,
        )
        self.now(self.queue.add(NewMail(new_id(), whole, MemoryBody(b"x")), NOW))
        (claim,) = self.claims()
        self.assertEqual(claim.envelope, whole)
        self.assertEqual([pending.recipient for pending in claim.pending], list(whole.recipients))

    def test_the_demand_of_a_sender_on_tls_is_kept_for_each_attempt(self):
        for demand in (*TlsDemand, None):
            envelope = replace(mail().envelope, tls_demand=demand)
            claim = self.now(self.queue.add(NewMail(new_id(), envelope, MemoryBody(b"x")), NOW, lease=LEASE))
            self.assertIs(claim.envelope.tls_demand, demand)
            self.settled(claim, Verdict(0, LATER, NOW + 1))
            (again,) = self.claims(NOW + 1)
            self.assertIs(again.envelope.tls_demand, demand)
            self.settled(again, Verdict(0, TOOK))

    def test_a_message_that_an_operator_returns_has_its_demand_on_tls(self):
        envelope = replace(mail().envelope, tls_demand=TlsDemand.REQUIRED)
        new = NewMail(new_id(), envelope, MemoryBody(b"x"))
        self.now(self.queue.add(new, NOW))
        seen: list[Envelope] = []
        self.now(self.queue.bounce([new.id], NOW, "no", lambda claim, _: seen.append(claim.envelope) or []))
        self.assertEqual(seen, [envelope])

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
        self.failure(self.queue.add(new, NOW), QueueError)
        self.assertEqual(len(self.claims()), 1)

    def test_the_signer_of_the_last_copy_is_recorded(self):
        claim = self.claimed()
        self.settled(claim, Verdict(0, TOOK, signed_by="a.test/s1"))
        (entry,) = self.now(self.queue.find(Query(ids=[claim.id], finished=True)))
        self.assertEqual(entry.recipients[0].signed_by, "a.test/s1")

    def test_a_message_without_room_is_not_stored(self):
        self.fill_disk()
        self.failure(self.queue.add(mail(), NOW), QueueFull)
        self.assertEqual(self.now(self.queue.find(Query())), [])


class BodyContract(QueueCase):
    """`writer` and `discard`."""

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
