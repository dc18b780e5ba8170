"""The threads of the queue."""

import threading

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from harness.waiting import PATIENCE
from mta.queue.disk.threads import THREADS, Threads


class Oops(Exception):
    pass


def fail() -> None:
    raise Oops


class WorkersTests(TestCase):
    def setUp(self) -> None:
        self.run = Threads(reactor)
        self.addCleanup(self.run.stop)

    async def test_work_is_done_elsewhere_and_answered_here(self):
        done = self.run(threading.get_ident)
        answered_in = []
        done.addCallback(lambda ident: answered_in.append(threading.get_ident()) or ident)
        self.assertNotEqual(await done, threading.get_ident())
        self.assertEqual(answered_in, [threading.get_ident()])

    async def test_an_exception_reaches_the_caller_and_the_thread_goes_on(self):
        for _ in range(2 * THREADS):
            await self.assertFailure(self.run(fail), Oops)
        self.assertEqual(await self.run(lambda: 5), 5)

    async def test_a_sync_a_large_file_and_a_long_answer_run_side_by_side(self):
        together = threading.Barrier(THREADS, timeout=PATIENCE)
        await gatherResults([self.run(together.wait) for _ in range(THREADS)])

    async def test_stop_waits_for_all_tasks(self):
        run = Threads(reactor)
        done = [run(lambda: 1) for _ in range(20)]
        run.stop()
        self.assertEqual(await gatherResults(done), [1] * 20)
