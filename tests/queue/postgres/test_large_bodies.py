"""Large bodies in a queue that two relays share, and the files in which they are while they arrive and leave."""

import random
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.message.body import FileBody
from mta.queue.interface import BodyLost, Claim, NewMail, QueueError, Settlement, Verdict
from mta.queue.postgres.lanes.gathering import PATIENCE, PAUSE
from mta.queue.postgres.queue import PostgresQueue
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail, octets, scratch
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.mail.case import cut_connections
from tests.queue.postgres.tables import Tables

DATA = random.Random(4).randbytes(700_000)


class LargeBodyCase(SynchronousTestCase):
    #: Whether a test changes the tables themselves.
    altered = False

    def setUp(self):
        self.tables = Tables(self, altered=self.altered)
        self.clock = Clock()
        self.directories: dict[PostgresQueue, Path] = {}
        self.one, self.other = self.relay(), self.relay()

    def relay(self, **options: Any) -> PostgresQueue:
        directory = scratch(self)
        directory.mkdir()
        queue = open_alone(self.tables.url, directory, lambda: NOW, self.clock.seconds, **options)
        self.addCleanup(lambda: self.now(queue.close()))
        self.directories[queue] = directory
        return queue

    def now(self, deferred: "Deferred[Any]") -> Any:
        return self.successResultOf(deferred)

    def written(self, queue: PostgresQueue, **parts: Any) -> NewMail:
        new = mail(**parts)
        writer = queue.writer(new.id)
        writer.write(DATA)
        return NewMail(new.id, new.envelope, writer.finish())

    def files(self, queue: PostgresQueue) -> list[str]:
        return sorted(path.name for path in self.directories[queue].iterdir())

    def claimed(self, queue: PostgresQueue, now: float = NOW) -> Claim:
        (claim,) = self.now(queue.claim(now, 10, LEASE))
        return claim

    def settled(self, queue: PostgresQueue, claim: Claim, *verdicts: Verdict, **options: Any) -> bool:
        return self.now(queue.settle(Settlement(claim, verdicts, NOW, **options)))


class LargeBodyTests(LargeBodyCase):
    def test_it_arrives_by_another_relay_than_the_one_that_took_it_and_nothing_of_it_is_left(self):
        new = self.written(self.one)
        self.now(self.one.add(new, NOW))
        self.assertEqual(self.files(self.one), [])
        claim = self.claimed(self.other)
        self.assertEqual((octets(claim.body), claim.body.size), (DATA, len(DATA)))
        self.assertEqual(self.files(self.other), [new.id])
        self.assertTrue(self.settled(self.other, claim, Verdict(0, TOOK)))
        self.assertEqual((self.files(self.other), self.tables.rows("chunk")), ([], []))

    def test_a_message_that_is_claimed_at_add_is_sent_from_the_file_in_which_it_arrived(self):
        new = self.written(self.one)
        claim = self.now(self.one.add(new, NOW, lease=LEASE))
        self.assertIs(claim.body, new.body)
        self.assertEqual(octets(claim.body), DATA)
        self.assertTrue(self.settled(self.one, claim, Verdict(0, LATER, NOW)))
        self.assertEqual(self.files(self.one), [])
        self.assertEqual(octets(self.claimed(self.one).body), DATA)

    def test_the_file_goes_with_a_release_but_not_with_a_kept_claim(self):
        self.now(self.one.add(self.written(self.one), NOW))
        claim = self.claimed(self.one)
        self.assertTrue(self.settled(self.one, claim, Verdict(0, LATER, NOW), keep_claim=True))
        self.assertEqual(self.files(self.one), [claim.id])
        self.assertTrue(self.now(self.one.release(claim, NOW)))
        self.assertEqual(self.files(self.one), [])

    def test_the_end_of_an_old_claim_leaves_the_file_to_the_newer_one_of_the_same_relay(self):
        self.now(self.one.add(self.written(self.one), NOW))
        old, newer = self.claimed(self.one), self.claimed(self.one, NOW + LEASE)
        self.assertFalse(self.now(self.one.release(old, NOW)))
        self.assertEqual(octets(newer.body), DATA)
        self.assertTrue(self.settled(self.one, newer, Verdict(0, TOOK)))
        self.assertEqual(self.files(self.one), [])

    def test_the_file_of_a_claim_of_a_fenced_node_goes_when_its_delivery_ends(self):
        self.now(self.one.add(self.written(self.one), NOW))
        claim = self.claimed(self.one)
        self.one.lose_claims()
        self.assertEqual(self.files(self.one), [claim.id])
        self.now(self.one.release(claim, NOW))
        self.assertEqual(self.files(self.one), [])

    def test_a_body_that_cannot_be_fetched_fails_its_own_delivery_alone(self):
        self.now(self.one.add(self.written(self.one), NOW))
        self.now(self.one.add(mail(), NOW))
        self.tables.look.execute("DELETE FROM chunk WHERE n = 1")
        large, small = self.now(self.one.claim(NOW, 10, LEASE))
        self.assertRaises(FileNotFoundError, octets, large.body)
        self.assertEqual(octets(small.body), b"Subject: hi\r\n\r\nhello\r\n")

    def test_a_message_that_is_not_added_leaves_no_file(self):
        new = self.written(self.one)
        self.now(self.one.add(new, NOW))
        self.failureResultOf(self.one.add(self.written_again(new), NOW), QueueError)
        self.assertEqual(self.files(self.one), [])
        self.assertEqual(octets(self.claimed(self.one).body), DATA)

    def written_again(self, new: NewMail) -> NewMail:
        writer = self.one.writer(new.id)
        writer.write(DATA)
        return NewMail(new.id, new.envelope, writer.finish())

    def test_the_file_of_a_report_goes_with_the_settlement_whether_or_not_the_claim_held(self):
        self.now(self.one.add(mail(), NOW))
        claim = self.claimed(self.one)
        report = self.written(self.one, sender=None)
        self.assertTrue(self.settled(self.one, claim, Verdict(0, NEVER), reports=[report]))
        self.assertFalse(self.settled(self.one, claim, Verdict(0, NEVER), reports=[self.written(self.one)]))
        self.assertEqual(self.files(self.one), [])
        self.assertEqual(octets(self.claimed(self.other).body), DATA)

    def test_the_files_of_reports_are_kept_for_another_try_until_one_of_them_is_lost(self):
        self.now(self.one.add(mail(), NOW))
        claim = self.claimed(self.one)
        there = mail()
        self.now(self.one.add(there, NOW + 60, due=NOW + 60))
        first, second = self.written(self.one), self.written(self.one)
        failing = Settlement(claim, [Verdict(0, NEVER)], NOW, [first, second, there])
        self.failureResultOf(self.one.settle(failing), QueueError)
        self.assertEqual(len(self.files(self.one)), 2)
        assert isinstance(second.body, FileBody)
        second.body.path.unlink()
        self.failureResultOf(self.one.settle(failing), BodyLost)
        self.assertEqual(self.files(self.one), [])


class PatienceTests(LargeBodyCase):
    """The database ends the connection while the chunks are stored."""

    altered = True

    def setUp(self):
        super().setUp()
        self.patient = self.relay(call_later=self.clock.callLater)
        cut_connections(self.tables)
        self.new = self.written(self.patient)
        self.adding = self.patient.add(self.new, NOW)

    def test_the_body_is_stored_again_until_the_database_takes_it(self):
        self.clock.advance(PAUSE)
        self.assertNoResult(self.adding)
        self.tables.look.execute("DROP TRIGGER cut ON chunk")
        self.clock.advance(PAUSE)
        self.now(self.adding)
        self.assertEqual(self.files(self.patient), [])
        self.assertEqual(octets(self.claimed(self.other).body), DATA)

    def test_a_client_is_not_kept_waiting_for_ever(self):
        self.clock.pump([PAUSE] * int(PATIENCE / PAUSE))
        self.failureResultOf(self.adding, QueueError)
        self.assertEqual(self.files(self.patient), [])
        self.assertEqual(self.tables.rows("chunk"), [])
