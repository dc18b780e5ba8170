"""The relays that share a queue, the failures of a time, and the counts of all mail."""

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.ids import to_id
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.finish import finish
from mta.queue.postgres.membership.node import LEASE, Node, join
from mta.queue.postgres.membership.takeover import give_up
from mta.queue.postgres.operator.overview import count_failures, nodes
from mta.queue.postgres.operator.reading import totals
from tests.queue.messages import NOW
from tests.queue.postgres.tables import Tables


class OverviewTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tables = Tables(self)
        self.session = self.tables.new_session(changes=False)

    def join(self, name: str, program: str = "0.2.0") -> Node:
        return join(self.session, name, program, 1, 2)

    def test_the_living_relays_have_their_ages_and_claims(self) -> None:
        self.assertEqual(nodes(self.session), [])
        left, right, gone = self.join("left"), self.join("right", "0.3.0"), self.join("gone")
        give_up(self.session, gone.id)
        self.tables.add(1, node=right.id, token=1)
        self.tables.add(2, node=right.id, token=1)
        self.tables.add(3)
        found = nodes(self.session)
        self.assertEqual(
            [(each.id, each.name, each.program, each.claims) for each in found],
            [(left.id, "left", "0.2.0", 0), (right.id, "right", "0.3.0", 2)],
        )
        for each in found:
            self.assertTrue(0 <= each.age < 60)
            self.assertTrue(0 <= each.silent < LEASE)
            self.assertTrue(each.alive)

    def test_a_relay_that_gives_no_sign_of_life_stays_until_it_is_taken_over(self) -> None:
        node = self.join("frozen")
        self.tables.look.execute(
            "UPDATE node SET alive_until = clock_timestamp() - interval '3 s' WHERE id = %s", [node.id]
        )
        (found,) = nodes(self.session)
        self.assertTrue(LEASE + 3 <= found.silent < LEASE + 60)
        self.assertFalse(found.alive)

    def fail(self, number: int, index: int, finished: float) -> None:
        self.tables.look.execute(
            "UPDATE recipient SET status = 'failed', due = NULL, finished = %s, reply = '550 no', host = 'mx.test'"
            " WHERE message_id = %s AND idx = %s",
            [finished, number, index],
        )

    def test_failures_of_a_time_are_found_in_waiting_mail_and_in_the_history(self) -> None:
        self.tables.add(1, "a@example.test", "b@example.test", token=1)
        self.tables.add(2, "c@example.test", token=1)
        self.tables.add(3, "d@example.test", token=1)
        self.fail(1, 0, NOW + 1)
        self.fail(2, 0, NOW + 2)
        self.fail(3, 0, NOW + 9)
        with self.tables.session.transaction():
            finish(QueueChange(self.tables.session, 0), [2, 3], NOW + 9)
        found = count_failures(self.session, NOW, NOW + 9)
        self.assertEqual(found.total, 2)
        self.assertEqual(found.reasons, {"550 no": 2})
        self.assertEqual(
            [(each.id, each.address, each.host, each.sender) for each in found.examples],
            [
                (to_id(1), "a@example.test", "mx.test", "alice@example.org"),
                (to_id(2), "c@example.test", "mx.test", "alice@example.org"),
            ],
        )
        self.assertEqual(count_failures(self.session, NOW + 9, NOW + 10).total, 1)

    def test_the_totals_are_those_of_all_lanes(self) -> None:
        node = self.join("left")
        self.tables.look.execute("UPDATE lane SET accepted = 5, delivered = 2, failed = 1 WHERE node = %s", [node.id])
        self.tables.look.execute("UPDATE lane SET removed = 1 WHERE node = 0")
        found = totals(self.session)
        self.assertEqual((found.accepted, found.delivered, found.failed, found.removed), (10, 4, 2, 1))
