"""Work that runs at once in the calling thread."""

import threading

from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline


class Oops(Exception):
    pass


def fail() -> None:
    raise Oops


class InlineTests(SynchronousTestCase):
    def test_work_is_done_when_it_is_asked_for(self):
        self.assertEqual(self.successResultOf(run_inline(threading.get_ident)), threading.get_ident())
        self.failureResultOf(run_inline(fail), Oops)
