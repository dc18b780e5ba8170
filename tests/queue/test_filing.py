from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.queue.interface import NewMail, Verdict
from mta.queue.runner import run_inline
from mta.queue.sqlite import open_queue
from tests.queue.contract import LEASE, NOW, TOOK, mail, scratch

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
        settling = [self.queue.settle(self.successResultOf(added), [Verdict(0, TOOK)], NOW) for added in adding]
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
