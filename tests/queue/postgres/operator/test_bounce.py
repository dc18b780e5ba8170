"""The return of messages to their senders, on the queue on PostgreSQL."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mta.message.outcome import Failed
from mta.queue.ids import known_numbers, to_id
from mta.queue.interface import Claim, QueueId, Verdict
from mta.queue.postgres.change import LaneCounts, QueueChange
from mta.queue.postgres.lanes.batch import add_all
from mta.queue.postgres.operator.bounce import bounce
from tests.queue.messages import NOW, mail
from tests.queue.postgres.tables import BODY, Tables

A, B = "a@example.test", "b@example.test"


class BounceTests(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)
        self.asked: list[tuple[Claim, list[Verdict], bytes]] = []
        self.counts = LaneCounts()

    def bounce(self, *numbers: int, text: str = "returned", make_reports: Any = None, **limits: Any) -> list[int]:
        session = self.tables.session
        change = QueueChange(session, 0, counts=self.counts)
        ids = [QueueId("no such id"), *map(to_id, numbers)]
        with session.transaction():
            done = bounce(change, ids, NOW + 9, text, make_reports or self.make_reports, add_all=add_all, **limits)
        return known_numbers(done)

    def make_reports(self, claim, verdicts):
        self.asked.append((claim, list(verdicts), b"".join(claim.body.chunks())))
        return [mail(sender=None)]

    def statuses(self, number: int) -> list[str]:
        rows = self.tables.rows("recipient", "message_id, idx")
        return [row["status"] for row in rows if row["message_id"] == number]

    def test_the_recipients_that_wait_fail_with_the_words_that_the_sender_reads(self):
        self.tables.add(7, A, B, node=3, token=2, held=True)
        self.tables.look.execute("UPDATE recipient SET reply = '451 later', host = 'mx', attempts = 1 WHERE idx = 1")
        self.assertEqual(self.bounce(8, 7), [7])
        ((claim, verdicts, body),) = self.asked
        self.assertEqual((claim.id, claim.token, claim.created, body), (to_id(7), 2, NOW, BODY))
        self.assertEqual([str(one.address) for one in claim.envelope.recipients], [A, B])
        said = Failed("returned; the last try said: 451 later", "mx")
        self.assertEqual(verdicts, [Verdict(0, Failed("returned")), Verdict(1, said)])
        row = self.tables.row("history")
        self.assertEqual((row["id"], row["node"], row["token"], row["failed"]), (7, 0, 2, True))
        found = [(one["status"], one["reply"], one["host"], one["finished"]) for one in row["recipients"]]
        self.assertEqual(found, [("failed", "returned", "", NOW + 9), ("failed", said.text, "mx", NOW + 9)])
        self.assertEqual(self.counts.failed, 2)
        report = self.tables.row("message")
        self.assertEqual((report["sender_local"], report["due"], report["node"]), (None, NOW + 9, None))
        self.assertEqual(self.bounce(7), [])

    def test_one_recipient_alone(self):
        self.tables.add(7, A, B, node=3, token=2)
        self.tables.add(8, B)
        self.assertEqual(self.bounce(7, 8, recipient=A.upper()), [7])
        ((_, verdicts, _),) = self.asked
        self.assertEqual([verdict.index for verdict in verdicts], [0])
        self.assertEqual((self.statuses(7), self.statuses(8)), (["failed", "waiting"], ["waiting"]))
        self.assertEqual([row["node"] for row in self.tables.rows("message")][:2], [3, None])
        self.assertEqual(self.bounce(7, 8, recipient="\0"), [])

    def test_a_large_body_is_read_from_its_chunks(self):
        self.tables.add(7, chunks=3)
        self.bounce(7)
        self.assertEqual(self.asked[0][2], 3 * BODY)
        self.assertEqual(self.tables.rows("chunk"), [])

    def test_a_chunk_that_is_missing_fails_the_order(self):
        self.tables.add(7, chunks=3)
        self.tables.look.execute("DELETE FROM chunk WHERE n = 1")
        with self.assertRaisesRegex(OSError, "chunk 1 of the stored message is missing"):
            self.bounce(7)
        self.assertEqual(self.statuses(7), ["waiting"])

    def test_nothing_is_changed_if_a_report_cannot_be_made(self):
        for number in range(1, 61):
            self.tables.add(number)

        def make_reports(claim, verdicts):
            if claim.id == to_id(60):
                raise OSError("the body is gone")
            return self.make_reports(claim, verdicts)

        with self.assertRaisesRegex(OSError, "the body is gone"):
            self.bounce(*range(1, 61), make_reports=make_reports)
        self.assertEqual(len(self.asked), 59)
        self.assertEqual([row["id"] for row in self.tables.rows("message")], list(range(1, 61)))
        self.assertEqual({row["status"] for row in self.tables.rows("recipient")}, {"waiting"})

    def test_a_text_that_the_database_cannot_store_is_made_so_that_it_can(self):
        self.tables.add(7)
        self.bounce(7, text="gone\0 \udcff")
        self.assertEqual(self.tables.row("history")["recipients"][0]["reply"], "gone ?")
        self.assertEqual(self.asked[0][1], [Verdict(0, Failed("gone ?"))])
