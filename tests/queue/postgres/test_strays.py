"""The search for messages that a relay has claimed without knowing it."""

from twisted.trial.unittest import SynchronousTestCase

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
        self.queue = open_alone(
            self.tables.url, scratch(self), lambda: NOW + self.seconds, seconds=lambda: self.seconds
        )
        self.addCleanup(lambda: self.successResultOf(self.queue.close()))
        # A claim whose answer was lost.
        (node,) = self.tables.look.execute("SELECT max(id) AS id FROM node").fetchall()
        self.tables.add(7, node=node["id"], token=1, due=NOW + LEASE, leased_since=NOW)

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

    def test_the_search_ends_when_no_more_can_be_found(self):
        self.lose_an_answer()
        for _ in range(10):
            self.look(STRAYS_INTERVAL)
        self.tables.look.execute("UPDATE message SET node = (SELECT max(id) FROM node)")
        self.assertFalse(self.look(STRAYS_INTERVAL))
