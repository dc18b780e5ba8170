"""The search for messages that a relay has claimed without knowing it."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.blocking import run_inline
from mta.queue.interface import QueueError
from mta.queue.postgres.queue import STRAY_AGE, STRAYS_INTERVAL
from tests.queue.messages import LEASE, NOW, scratch
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.tables import Tables

_END_CONNECTIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class StrayTests(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)
        self.seconds = 0.0
        self.silent = False
        # Work that waits for a silent database.
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.queue = open_alone(
            self.tables.url, scratch(self), lambda: NOW + self.seconds, lambda: self.seconds, self.run_unless_silent
        )
        self.addCleanup(lambda: self.successResultOf(self.queue.close()))
        # A claim whose answer was lost.
        (node,) = self.tables.look.execute("SELECT max(id) AS id FROM node").fetchall()
        self.tables.add(7, node=node["id"], token=1, due=NOW + LEASE, leased_since=NOW)

    def run_unless_silent(self, work: Callable[[], Any]) -> "Deferred[Any]":
        if not self.silent:
            return run_inline(work)
        self.waiting.append((work, Deferred()))
        return self.waiting[-1][1]

    def answer(self) -> None:
        """Have the database answer again."""
        self.silent = False
        while self.waiting:
            work, done = self.waiting.pop(0)
            run_inline(work).chainDeferred(done)

    def look(self, seconds: float) -> bool:
        """Look some seconds later; return whether the message is free."""
        self.seconds += seconds
        self.queue.look()
        return self.tables.row("message")["node"] is None

    def lose_an_answer(self) -> None:
        self.successResultOf(self.queue.next_due())
        self.tables.look.execute(_END_CONNECTIONS)
        self.failureResultOf(self.queue.next_due(), QueueError)

    def test_the_table_is_not_searched_without_a_reason(self):
        self.assertEqual([self.look(STRAY_AGE) for _ in range(5)], 5 * [False])

    def test_a_message_whose_claim_got_lost_is_free_within_two_minutes(self):
        self.lose_an_answer()
        self.assertFalse(self.look(1))
        free = [self.look(STRAYS_INTERVAL) for _ in range(3)]
        self.assertEqual(free[-1], True)
        self.assertLess(self.seconds, 120)

    def test_a_message_that_is_to_be_withdrawn_is_not_given_away(self):
        self.queue._lanes.lanes[0].withdrawn.append(7)
        self.lose_an_answer()
        self.assertEqual([self.look(STRAYS_INTERVAL) for _ in range(4)], 4 * [False])

    def test_a_message_whose_claim_is_answered_before_the_search_is_in_work(self):
        self.tables.look.execute("DELETE FROM message")
        self.lose_an_answer()
        self.look_for_claims()
        self.tables.add(8)
        self.silent = True
        claiming = self.queue.claim(NOW + self.seconds, 10, LEASE)
        for _ in range(4):
            self.look_for_claims()
        self.answer()
        (claim,) = self.successResultOf(claiming)
        self.assertIsNotNone(self.tables.row("message")["node"], "another relay would deliver it too")
        self.assertTrue(self.successResultOf(self.queue.release(claim, NOW)))

    def look_for_claims(self) -> None:
        self.seconds += STRAYS_INTERVAL
        self.queue.look()

    def test_the_search_ends_when_no_more_can_be_found(self):
        self.lose_an_answer()
        for _ in range(10):
            self.look(STRAYS_INTERVAL)
        self.tables.look.execute("UPDATE message SET node = (SELECT max(id) FROM node)")
        self.assertFalse(self.look(STRAYS_INTERVAL))
