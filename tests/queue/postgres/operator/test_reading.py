"""Questions to the shared queue that only its tables can answer wrongly; the contract has the others."""

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.ids import to_id
from mta.queue.interface import Ledger, Load
from mta.queue.postgres.operator import reading
from mta.queue.postgres.session import DatabaseSession, Row
from tests.queue.messages import NOW
from tests.queue.postgres.tables import BODY, Tables


class DisturbedSession(DatabaseSession):
    """Another relay adds a message after each statement."""

    tables: Tables
    number = 0

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        found = super().rows(statement, values)
        self.number += 1
        with self.tables.look.transaction():
            self.tables.add(self.number, "a@one.test", f"b@{self.number}.test")
            self.tables.look.execute("UPDATE lane SET accepted = accepted + 2")
        return found


class SnapshotTests(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)
        self.session = self.tables.new_session(changes=False)

    def disturbed(self) -> DatabaseSession:
        session = DisturbedSession(self.tables.parameters, changes=False)
        session.tables = self.tables
        self.addCleanup(session.close)
        return session

    def test_a_summary_and_an_audit_are_of_one_moment_while_relays_add_mail(self):
        summary = reading.summary(self.disturbed())
        self.assertEqual((summary.ledger.missing, summary.ledger.accepted), (0, 2 * summary.messages))
        self.tables.look.execute("TRUNCATE message, recipient, body; UPDATE lane SET accepted = 0")
        self.assertEqual(reading.audit(self.disturbed()).ledger.missing, 0)

    def test_the_ledger_is_the_sum_of_all_lanes(self):
        for node in (1, 2):
            for n in (0, 1):
                self.tables.insert(
                    "lane", node=node, n=n, accepted=9, delivered=3, failed=2, removed=1, fenced=node == 1
                )
        self.tables.add(1, "a@b.test", "b@b.test")
        self.assertEqual(reading.audit(self.session).ledger, Ledger(36, 12, 8, 4, 2))

    def test_a_recipient_that_waits_without_its_message_is_told(self):
        self.tables.add(7)
        self.assertEqual(reading.audit(self.session).never_due, None)
        self.tables.look.execute("DELETE FROM message")
        self.assertEqual(reading.audit(self.session).never_due, to_id(7))

    def test_the_content_is_the_body_or_its_chunks_in_order(self):
        self.tables.add(1, body=b"\0\xff")
        self.tables.add(2, chunks=0, body=b"")
        self.tables.add(3, chunks=12, body=b"x")
        self.tables.look.execute("UPDATE chunk SET data = convert_to(n || ' ', 'UTF8')")
        content = [reading.content(self.session, to_id(number)) for number in (1, 2, 3, 4)]
        self.assertEqual(content, [b"\0\xff", b"", b"0 1 2 3 4 5 6 7 8 9 10 11 ", None])

    def test_the_load_is_the_messages_that_are_due_and_the_octets_of_all_that_wait(self):
        self.assertEqual(reading.load(self.session, NOW), Load(0, 0))
        self.tables.add(1)
        self.tables.add(2, due=NOW + 60)
        self.tables.add(3, held=True)
        self.tables.add(4, node=1, token=1)
        self.assertEqual(reading.load(self.session, NOW), Load(1, 4 * len(BODY), NOW))
