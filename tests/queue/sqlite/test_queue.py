"""The contract of a queue, for the queue on disk, and the recovery at its start."""

import os
import shutil
from dataclasses import replace

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mta.blocking import run_inline
from mta.queue.disk.threads import Threads
from mta.queue.ids import LEAST_RELEASE, MOST_RELEASE, IdSource, release_of
from mta.queue.interface import (
    Action,
    DeferralFilter,
    Load,
    Query,
    Queue,
    QueueError,
    QueueFull,
    Settlement,
    Verdict,
)
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.queue.sqlite.tables import LOOKED_AT
from tests.queue.contract.queue_contract import QueueContract
from tests.queue.messages import LEASE, NEVER, NOW, TOOK, mail, octets, scratch


class SqliteQueueTests(QueueContract, SynchronousTestCase):
    def make_queue(self) -> Queue:
        self.directory = scratch(self)
        return open_queue(self.directory, run=run_inline, now=NOW)

    def fill_disk(self) -> None:
        self.queue._bodies._reserve = 1 << 62

    def files(self) -> list[str]:
        return [path.name for path in (self.directory / "bodies").iterdir()]

    def test_a_large_body_is_a_file_until_its_message_is_done(self):
        new = self.written(mail(), self.large())
        self.assertEqual(self.files(), [f"{new.id}.part"])
        claim = self.now(self.queue.add(new, NOW, lease=LEASE))
        self.assertEqual(self.files(), [new.id])
        self.settled(claim, Verdict(0, TOOK))
        self.assertEqual(self.files(), [])

    def test_a_large_body_that_is_not_wanted_leaves_no_file(self):
        self.queue.discard(self.written(mail(), self.large()).body)
        self.assertEqual(self.files(), [])
        known = self.added()
        twice = self.written(known, self.large())
        self.failureResultOf(self.queue.add(twice, NOW), QueueError)
        self.assertEqual(self.files(), [])
        large = self.written(mail(), self.large())
        self.fill_disk()
        self.failureResultOf(self.queue.add(large, NOW), QueueFull)
        self.assertEqual(self.files(), [])

    def test_a_large_report_of_a_lost_lease_leaves_no_file(self):
        claim = self.claimed()
        self.now(self.queue.release(claim, NOW))
        report = self.written(mail(sender=None), self.large())
        self.assertFalse(self.settled(claim, Verdict(0, NEVER), reports=[report]))
        self.assertEqual(self.files(), [])

    def test_the_load_is_the_messages_that_are_due_and_the_octets_of_all_that_wait(self):
        assert isinstance(self.queue, SqliteQueue)
        size = mail().body.size
        self.now(self.queue.add(mail(), NOW))
        self.now(self.queue.add(mail(), NOW, due=NOW + 60))
        self.now(self.queue.add(mail(held=True), NOW))
        claim = self.now(self.queue.add(mail(), NOW, lease=LEASE))
        self.assertEqual(self.now(self.queue.load(NOW)), Load(1, 4 * size, NOW))
        self.assertEqual(self.now(self.queue.load(NOW + 60)), Load(2, 4 * size, NOW))
        self.settled(claim, Verdict(0, TOOK))
        self.assertEqual(self.now(self.queue.load(NOW)), Load(1, 3 * size, NOW))

    def test_a_large_message_that_is_removed_leaves_no_file(self):
        self.now(self.queue.add(self.written(mail(), self.large()), NOW))
        self.applied(Action.REMOVE)
        self.assertEqual(self.files(), [])

    def reopen(self) -> None:
        self.now(self.queue.close())
        self.queue = open_queue(self.directory, run=run_inline, now=NOW)

    def test_a_copy_in_doubt_is_found_by_each_start_until_the_operator_was_told(self):
        self.now(self.queue.note_in_flight(self.claimed().id, [0]))
        for _ in range(2):
            self.reopen()
            self.assertEqual(len(self.queue.recovery.possible_duplicates), 1)
        self.now(self.queue.clear_reported_marks())
        self.reopen()
        self.assertEqual(self.queue.recovery.possible_duplicates, ())

    def test_pages_of_dropped_history_are_room_for_other_mail(self):
        for _ in range(200):
            self.settled(self.claimed(), Verdict(0, TOOK))
        before = self.now(self.queue.space())
        self.assertEqual(self.now(self.queue.forget(float("inf"))), 200)
        self.assertGreater(self.now(self.queue.space()).reusable, before.reusable + 10 * 4096)
        self.assertEqual(self.queue._bodies.reusable, self.now(self.queue.space()).reusable)

    def test_make_all_due_after_the_clock_was_set_back_skips_held_and_leased_messages(self):
        back = NOW - 86400
        in_work = self.claimed()
        waiting, held = self.added(), self.added()
        self.applied(Action.HOLD, held.id)
        self.assertEqual(self.now(self.queue.claim(back, 10, LEASE)), [])
        self.now(self.queue.make_all_due(back))
        claims = self.now(self.queue.claim(back, 10, LEASE))
        self.assertEqual([claim.id for claim in claims], [waiting.id])
        self.assertTrue(self.settled(in_work, Verdict(0, TOOK)))

    def test_a_claim_takes_no_more_octets_than_are_good_for_memory(self):
        for _ in range(3):
            self.added(body=bytes(9 * 1024 * 1024))
        self.assertEqual(len(self.claims()), 2)
        self.assertEqual(len(self.claims()), 1)

    def test_a_claim_with_a_filter_looks_at_few_messages_because_new_mail_waits_for_it(self):
        for _ in range(LOOKED_AT + 1):
            self.added("a@dead.test")
        everything_later = DeferralFilter(lambda _: NOW + 90)
        self.assertEqual(self.now(self.queue.claim(NOW, 10, LEASE, everything_later)), [])
        self.assertEqual(len(self.claims()), 1)
        self.assertEqual(len(self.claims(NOW + 90, limit=2 * LOOKED_AT)), LOOKED_AT)

    def test_a_reply_that_is_no_unicode_is_kept_readable(self):
        claim = self.claimed()
        self.settled(claim, Verdict(0, type(TOOK)("250 \udcff ok", "h\udcff")))
        self.assertEqual(self.entry(claim.id).recipients[0].reply, "250 ? ok")

    def reopened(self, now: float = NOW + 5, **options: object) -> SqliteQueue:
        self.now(self.queue.close())
        self.queue = open_queue(self.directory, run=run_inline, now=now, **options)
        return self.queue

    def test_everything_is_there_after_a_restart(self):
        claim = self.claimed("a@example.test", "b@example.test")
        self.settled(claim, Verdict(0, TOOK))
        large = self.now(self.queue.add(self.written(mail(), self.large()), NOW, lease=LEASE))
        before = self.now(self.queue.find(Query(finished=True)))
        queue = self.reopened()
        self.assertEqual([one.id for one in self.now(queue.find(Query(finished=True)))], [one.id for one in before])
        bodies = {one.id: octets(one.body) for one in self.claims(NOW + 5)}
        self.assertEqual(bodies, {claim.id: octets(claim.body), large.id: self.large()})

    def test_a_start_takes_back_the_leases_of_the_process_before(self):
        held, running, later = self.claimed(), self.claimed(), self.added(due=NOW + 900)
        self.applied(Action.HOLD, held.id)
        queue = self.reopened()
        self.assertEqual(queue.recovery.leases, 2)
        (claim,) = self.claims(NOW + 5)
        self.assertEqual((claim.id, claim.token), (running.id, 2))
        self.assertFalse(self.settled(running, Verdict(0, NEVER)), "the old process may still be dying")
        self.assertTrue(self.entry(held.id).held)
        self.assertEqual(self.entry(later.id).recipients[0].due, NOW + 900)

    def test_a_start_can_make_all_messages_due_but_held_ones(self):
        first, held = self.added(due=NOW + 900), self.added(due=NOW + 900)
        early = self.added(due=NOW - 900)
        self.applied(Action.HOLD, held.id)
        self.reopened(retry_all=True)
        self.assertEqual([claim.id for claim in self.claims(NOW + 5)], [early.id, first.id])

    def test_a_start_leaves_messages_alone_that_their_client_has_wait(self):
        for edge in (LEAST_RELEASE, MOST_RELEASE):
            for tag, off in enumerate((-1.0, -0.5, 0.0, 0.5, 1.0), int(edge) % 1000):
                # One id is made on a whole second, and one some microseconds later.
                on_time = replace(mail(), id=IdSource(tag).new(NOW))
                for new in (on_time, mail()):
                    self.now(self.queue.add(new, NOW + edge + off))
        self.reopened(retry_all=True)
        entries = self.now(self.queue.find(Query()))
        waiting = {one.id: one.recipients[0].due for one in entries if one.recipients[0].due > NOW + 5}
        released = {one.id: when for one in entries if (when := release_of(one.id, one.created)) is not None}
        self.assertEqual(waiting, released)
        self.assertEqual(len(released), 7)

    def test_a_start_makes_messages_due_whose_release_is_over(self):
        new = mail()
        self.now(self.queue.add(new, NOW + 100, due=NOW + 900))
        self.reopened(NOW + 200, retry_all=True)
        self.assertEqual([claim.id for claim in self.claims(NOW + 200)], [new.id])

    def test_an_operators_command_works_beside_the_daemon_and_takes_no_lease_back(self):
        claim, other = self.claimed(), self.added(due=NOW + 60)
        command = open_queue(self.directory, run=run_inline, now=NOW, create=False, recover=False)
        self.assertEqual(self.now(command.apply(Action.RETRY, [other.id], NOW)), [other.id])
        self.assertEqual(len(self.now(command.find(Query()))), 2)
        self.now(command.close())
        self.assertEqual([one.id for one in self.claims(NOW)], [other.id])
        self.assertTrue(self.settled(claim, Verdict(0, TOOK)))

    def test_a_second_daemon_is_refused_until_the_first_is_closed(self):
        with self.assertRaises(QueueError) as caught:
            open_queue(self.directory, run=run_inline, now=NOW)
        self.assertIn(str(os.getpid()), str(caught.exception))
        self.reopened()


class SqliteQueueWithThreadsTests(TestCase):
    """The queue as the daemon runs it."""

    def setUp(self) -> None:
        self.directory = scratch(self)
        self.run = Threads(reactor)
        self.addCleanup(self.run.stop)
        self.queue = open_queue(self.directory, run=self.run, now=NOW, small=10_000)
        self.addCleanup(self.queue.close)

    async def pass_through(self, size: int) -> bytes:
        new = mail()
        writer = self.queue.writer(new.id)
        writer.write(bytes(size))
        claim = await self.queue.add(type(new)(new.id, new.envelope, writer.finish()), NOW, lease=LEASE)
        assert claim is not None
        await self.queue.release(claim, NOW)
        content = b""
        for again in await self.queue.claim(NOW, 1, LEASE):
            content = octets(again.body)
            assert await self.queue.settle(Settlement(again, [Verdict(0, TOOK)], NOW))
        return content

    async def test_many_messages_at_once_all_pass_and_leave_no_files(self):
        sizes = [100, 5_000, 20_000, 300_000] * 25
        passes = [Deferred.fromCoroutine(self.pass_through(size)) for size in sizes]
        contents = await gatherResults(passes, consumeErrors=True)
        self.assertEqual(sorted(map(len, contents)), sorted(sizes))
        self.assertEqual(await self.queue.find(Query()), [])
        self.assertEqual(len(await self.queue.find(Query(finished=True))), len(sizes))
        await self.queue.close()
        self.assertEqual(list((self.directory / "bodies").iterdir()), [])

    async def test_close_answers_everything_that_was_asked_first(self):
        asked = [self.queue.add(mail(), NOW) for _ in range(20)]
        large = mail()
        writer = self.queue.writer(large.id)
        writer.write(bytes(20_000))
        asked.append(self.queue.add(type(large)(large.id, large.envelope, writer.finish()), NOW))
        await self.queue.close()
        self.assertEqual([self.successResultOf(one) for one in asked], [None] * 21)
        again = open_queue(self.directory, run=run_inline, now=NOW)
        self.assertEqual(len(self.successResultOf(again.find(Query()))), 21)
        self.successResultOf(again.close())

    async def test_a_copy_taken_at_any_moment_holds_all_that_was_answered(self):
        answered: list[str] = []
        asked = [
            self.queue.add(new, NOW).addCallback(lambda _, new=new: answered.append(new.id))
            for new in [mail() for _ in range(200)]
        ]
        while len(answered) < 100:
            await asked[len(answered)]
        copy = scratch(self)
        told = set(answered)
        shutil.copytree(self.directory, copy, ignore=shutil.ignore_patterns("*-shm"))
        await gatherResults(asked)
        queue = open_queue(copy, run=run_inline, now=NOW)
        found = {entry.id for entry in self.successResultOf(queue.find(Query()))}
        self.successResultOf(queue.close())
        self.assertLessEqual(told, found)
