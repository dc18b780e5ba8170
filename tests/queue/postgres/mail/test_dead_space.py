"""The space of dead rows: when a relay has it made usable again, and that the database does so."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mta.blocking import run_inline
from mta.queue.interface import QueueError, Settlement, Verdict
from mta.queue.postgres.mail.dead_space import ENOUGH, RETRY_INTERVAL, TRUNCATION_INTERVAL, DeadSpace
from mta.queue.postgres.serial_session import SerialSession
from tests.queue.messages import LEASE, NOW, TOOK, scratch
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.mail.case import MailCase

# Each has a page of its own.
BODY = bytes(5000)


class DeadSpaceCase(MailCase):
    def setUp(self):
        super().setUp()
        self.clock = Clock()

    def space(self, run: Callable[..., Any]) -> DeadSpace:
        space = DeadSpace(SerialSession(self.tables.new_session(changes=False), run), self.clock.seconds)
        self.addCleanup(space.close)
        return space

    def pages(self) -> int:
        query = "SELECT pg_relation_size('body') / current_setting('block_size')::integer AS pages"
        return self.tables.look.execute(query).fetchone()["pages"]

    def store(self, number: int) -> None:
        self.tables.look.execute("INSERT INTO body SELECT n, %s FROM generate_series(1, %s) AS n", (BODY, number))

    def delete(self) -> None:
        self.tables.look.execute("DELETE FROM body")


def leave(space: DeadSpace, messages: int = ENOUGH) -> None:
    for _ in range(messages):
        space.claim_ended()


class SpaceTests(DeadSpaceCase):
    def test_new_bodies_use_the_pages_of_those_that_left(self):
        space = self.space(run_inline)
        leave(space)
        for _ in range(3):
            self.store(100)
            self.delete()
            self.clock.advance(1)
            leave(space)
        self.assertEqual(self.pages(), 100)

    def test_pages_at_the_end_go_back_to_the_disk_once_in_a_while(self):
        space = self.space(run_inline)
        sizes = []
        for _ in range(3):
            self.store(100)
            self.delete()
            leave(space)
            sizes.append(self.pages())
            self.clock.advance(TRUNCATION_INTERVAL / 2)
        self.assertEqual(sizes, [0, 100, 0])

    def test_messages_that_are_settled_count(self):
        for number in range(1, ENOUGH + 1):
            self.tables.add(number, body=BODY)
        directory = scratch(self)
        directory.mkdir()
        queue = open_alone(self.tables.url, directory, lambda: NOW)
        self.addCleanup(queue.close)
        claims = self.successResultOf(queue.claim(NOW, ENOUGH, LEASE))
        for claim in claims:
            self.assertEqual(self.pages(), ENOUGH)
            self.successResultOf(queue.settle(Settlement(claim, [Verdict(0, TOOK)], NOW)))
        self.assertEqual(self.pages(), 0)


class PauseTests(DeadSpaceCase):
    """The moments at which it begins. The database has nothing to do with them."""

    def setUp(self):
        super().setUp()
        self.begun: list[Deferred[None]] = []
        self.works: list[Callable[[], object]] = []
        self.dead_space = self.space(self.begin)

    def begin(self, work: Callable[[], object]) -> "Deferred[None]":
        self.works.append(work)
        self.begun.append(Deferred())
        return self.begun[-1]

    def end(self, seconds: float, failure: Failure | None = None) -> None:
        self.clock.advance(seconds)
        done = self.begun[-1]
        done.callback(None) if failure is None else done.errback(failure)

    def begun_after(self, seconds: float) -> int:
        """Let time and enough messages pass; return how often it has begun so far."""
        self.clock.advance(seconds)
        leave(self.dead_space)
        return len(self.begun)

    def test_it_begins_after_enough_messages(self):
        leave(self.dead_space, ENOUGH - 1)
        self.assertEqual(len(self.begun), 0)
        self.dead_space.claim_ended()
        self.assertEqual(len(self.begun), 1)

    def test_it_begins_again_after_as_many_more(self):
        leave(self.dead_space)
        self.end(0)
        leave(self.dead_space, ENOUGH - 1)
        self.assertEqual(len(self.begun), 1)
        self.dead_space.claim_ended()
        self.assertEqual(len(self.begun), 2)

    def test_none_waits_for_one_that_runs(self):
        leave(self.dead_space)
        self.begun_after(1000)
        self.end(0)
        self.assertEqual(len(self.begun), 1)

    def test_it_takes_a_twentieth_of_the_time_at_most(self):
        leave(self.dead_space)
        self.end(2)
        self.assertEqual([self.begun_after(37), self.begun_after(1)], [1, 2])

    def test_after_a_failure_autovacuum_has_a_minute(self):
        leave(self.dead_space)
        self.end(0, Failure(QueueError("permission denied")))
        self.assertEqual([self.begun_after(RETRY_INTERVAL - 1), self.begun_after(1)], [1, 2])

    def test_after_a_bug_it_begins_again(self):
        leave(self.dead_space)
        self.end(0, Failure(ZeroDivisionError()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.begun_after(RETRY_INTERVAL), 2)

    def test_messages_that_leave_after_the_close_begin_nothing(self):
        self.dead_space.close()
        self.end(0)
        self.assertEqual(self.begun_after(1000), 1, "the close alone")

    def test_after_the_close_none_follows_one_that_ran(self):
        leave(self.dead_space)
        self.dead_space.close()
        self.end(0)
        # The one that begins next is the close.
        self.end(0)
        self.assertEqual(self.begun_after(1000), 2)

    def test_the_close_does_not_wait_for_one_that_has_no_connection_yet(self):
        self.store(100)
        self.delete()
        leave(self.dead_space)
        self.dead_space.close()
        self.works[0]()
        self.assertEqual(self.pages(), 100, "the space of the rows was not looked for")
