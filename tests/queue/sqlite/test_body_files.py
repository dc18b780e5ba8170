"""The files of large bodies around a commit, and settlements that are offered again after a failure."""

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.interface import BodyLost, Claim, NewMail, QueueError, Settlement, Verdict
from mta.queue.sqlite import bodies
from mta.queue.sqlite.queue import open_queue
from tests.queue.messages import LEASE, NOW, TOOK, mail, octets, scratch
from tests.queue.sqlite.test_group_commit import Failing

SMALL, LARGE = b"small\r\n", b"x" * 2000


class Threads:
    """As many threads as are asked for; each goes on when the test says so."""

    def __init__(self) -> None:
        self.busy: list[tuple[Callable[[], object], Deferred]] = []

    def __call__(self, work):
        done = Deferred()
        self.busy.append((work, done))
        return done

    def finish(self, number: int = 0) -> None:
        work, done = self.busy.pop(number)
        run_inline(work).chainDeferred(done)

    def finish_all(self) -> None:
        while self.busy:
            self.finish()


class FilingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = Threads()
        self.home = scratch(self)
        self.queue = open_queue(self.home, run=self.threads, now=NOW, small=1000)
        self.addCleanup(self.close)

    def close(self) -> None:
        closing = self.queue.close()
        self.threads.finish_all()
        self.successResultOf(closing)

    def new(self, content: bytes) -> NewMail:
        new = mail()
        writer = self.queue.writer(new.id)
        writer.write(content)
        return NewMail(new.id, new.envelope, writer.finish())

    def test_small_mail_does_not_wait_for_the_many_large_that_wait_for_the_disk(self):
        large = [self.queue.add(self.new(LARGE), NOW) for _ in range(5)]
        small = self.queue.add(self.new(SMALL), NOW)
        self.assertEqual(len(self.threads.busy), 2, "one for a file, one for the commit")
        self.threads.finish(1)
        self.successResultOf(small)
        for adding in large:
            self.assertNoResult(adding)
        self.threads.finish_all()
        for adding in large:
            self.successResultOf(adding)
        self.assertEqual(len(list((self.home / "bodies").iterdir())), 5)

    def test_small_mail_does_not_wait_for_files_that_are_removed(self):
        adding = [self.queue.add(self.new(LARGE), NOW, lease=LEASE) for _ in range(5)]
        self.threads.finish_all()
        settling = [
            self.queue.settle(Settlement(self.successResultOf(added), [Verdict(0, TOOK)], NOW)) for added in adding
        ]
        while not all(settled.called for settled in settling):
            self.threads.finish()
        small = self.queue.add(self.new(SMALL), NOW)
        self.assertEqual(len(self.threads.busy), 2, "one for removals, one for the commit")
        self.threads.finish(1)
        self.successResultOf(small)
        self.threads.finish_all()
        self.assertEqual(list((self.home / "bodies").iterdir()), [])

    def test_a_file_that_cannot_be_put_in_place_holds_up_no_other(self):
        lost, next_one = self.new(LARGE), self.new(LARGE)
        lost.body.path.unlink()
        first, second = self.queue.add(lost, NOW), self.queue.add(next_one, NOW)
        self.threads.finish_all()
        self.failureResultOf(first)
        self.successResultOf(second)


class FailedSettlementTests(SynchronousTestCase):
    """A settlement that brings a large body, and fails once before it is offered again."""

    def setUp(self) -> None:
        self.home = scratch(self)
        self.trouble: dict[str, Exception] = {}
        self.open()
        claim = self.successResultOf(self.queue.add(mail(), NOW, lease=LEASE))
        assert isinstance(claim, Claim)
        self.claim = claim
        self.report = self.new()

    def open(self) -> None:
        self.queue = queue = open_queue(self.home, run=run_inline, now=NOW, small=1000, step=self.step)
        self.addCleanup(lambda: self.successResultOf(queue.close()))
        transaction = queue._commit._transaction
        transaction._connection = self.failing = Failing(transaction._connection)

    def step(self, name: str) -> None:
        if name in self.trouble:
            raise self.trouble[name]

    def new(self) -> NewMail:
        new = mail()
        writer = self.queue.writer(new.id)
        writer.write(LARGE)
        return NewMail(new.id, new.envelope, writer.finish())

    def settle(self, *reports: NewMail) -> Deferred[bool]:
        return self.queue.settle(Settlement(self.claim, [Verdict(0, TOOK)], NOW, reports=reports))

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.home / "bodies").iterdir())

    def full(self) -> sqlite3.Error:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        return error

    def assert_it_can_be_offered_again(self) -> None:
        for _ in range(2):
            self.failureResultOf(self.settle(self.report), QueueError)
        self.trouble.clear()
        self.failing.broken.clear()
        self.assertTrue(self.successResultOf(self.settle(self.report)))
        self.assertEqual(self.files(), [self.report.id])
        (claim,) = self.successResultOf(self.queue.claim(NOW, 10, LEASE))
        self.assertEqual((claim.id, octets(claim.body)), (self.report.id, LARGE))
        self.assertTrue(self.successResultOf(self.queue.settle(Settlement(claim, [Verdict(0, TOOK)], NOW))))
        self.assertEqual(self.files(), [])

    def test_after_a_full_disk(self):
        self.trouble["commit"] = self.full()
        self.assert_it_can_be_offered_again()

    def test_after_a_row_that_could_not_be_written(self):
        self.trouble["add recipients"] = self.full()
        self.assert_it_can_be_offered_again()

    def test_after_a_commit_that_may_be_on_disk(self):
        self.failing.broken["COMMIT"] = sqlite3.SQLITE_IOERR_FSYNC
        self.assert_it_can_be_offered_again()

    def test_after_another_program_had_the_file(self):
        self.failing.broken["BEGIN"] = sqlite3.SQLITE_BUSY
        self.assert_it_can_be_offered_again()

    def test_after_a_disk_that_could_only_be_read(self):
        self.trouble["rename file"] = OSError(errno.EROFS, "Read-only file system")
        self.assert_it_can_be_offered_again()

    def test_when_it_is_offered_no_more_its_body_is_discarded(self):
        self.trouble["commit"] = self.full()
        self.failureResultOf(self.settle(self.report), QueueError)
        self.queue.discard(self.report.body)
        self.assertEqual(self.files(), [])

    def test_when_it_is_never_offered_again_the_next_start_removes_its_body(self):
        for trouble in ("rename file", "commit"):
            self.trouble[trouble] = self.full()
            self.failureResultOf(self.settle(self.new()), QueueError)
            self.trouble.clear()
        self.queue.discard(self.report.body)
        self.assertEqual(len(self.files()), 2)
        self.successResultOf(self.queue.close())
        self.open()
        self.assertEqual((self.files(), self.queue.recovery.strays), ([], 2))
        self.assertEqual(len(self.successResultOf(self.queue.claim(NOW, 10, LEASE))), 1)

    def test_a_body_whose_sync_failed_is_not_believed_and_takes_the_others_with_it(self):
        others = self.new()
        self.fail_syncs_of(self.report.body.path)
        self.failureResultOf(self.settle(others, self.report), QueueError)
        self.assertEqual(self.files(), [others.id])
        self.failureResultOf(self.settle(others, self.report), BodyLost)
        self.assertEqual(self.files(), [])
        self.assertTrue(self.successResultOf(self.settle()))

    def fail_syncs_of(self, broken: Path) -> None:
        real = bodies.fsync_path

        def fsync_path(path: Path) -> None:
            real(path)
            if path == broken:
                raise OSError(errno.EIO, "Input/output error")

        self.patch(bodies, "fsync_path", fsync_path)

    def test_a_name_whose_sync_failed_is_not_believed_either(self):
        self.fail_syncs_of(self.home / "bodies")
        self.failureResultOf(self.settle(self.report), QueueError)
        self.failureResultOf(self.settle(self.report), BodyLost)
        self.assertEqual(self.files(), [])
