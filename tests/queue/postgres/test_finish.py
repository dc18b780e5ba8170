"""The move of finished messages to the history of a queue on PostgreSQL."""

from twisted.trial.unittest import SynchronousTestCase

from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.finish import finish
from tests.queue.messages import NOW
from tests.queue.postgres.tables import Tables

_EMPTIED = ("message", "recipient", "attempt", "body", "chunk")


class FinishTests(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)

    def finish(self, *numbers, node=3):
        session = self.tables.session
        with session.transaction():
            return finish(QueueChange(session, node), numbers, NOW + 9)

    def end(self, number, index, status, **columns):
        """Make a recipient final."""
        row = {"status": status, "finished": NOW + 5, **columns}
        changes = ", ".join(f"{name} = %({name})s" for name in row)
        self.tables.look.execute(
            f"UPDATE recipient SET due = NULL, {changes} WHERE message_id = %(number)s AND idx = %(index)s",
            {"number": number, "index": index, **row},
        )

    def test_the_history_has_the_envelope_the_node_and_the_token(self):
        facts = {"sender_local": None, "sender_domain": None, "ret": "FULL", "envid": "e1", "login": "carol"}
        described = {"message_id": "m1@a.test", "subject": "hi", "author": "a@a.test", "tls": "TLSv1.3", "report_of": 4}
        facts["tls_demand"] = "required"
        self.tables.add(7, token=2, node=3, delay_reported=True, smtputf8=True, **facts, **described)
        self.end(7, 0, "delivered")
        self.assertEqual(self.finish(7), [7])
        row = self.tables.row("history")
        self.assertEqual({name: row[name] for name in (*facts, *described)}, facts | described)
        self.assertEqual((row["node"], row["token"], row["finished"], row["failed"]), (3, 2, NOW + 9, False))
        self.assertEqual((row["id"], row["created"], row["size"], row["client"]), (7, NOW, 22, "192.0.2.7"))
        self.assertEqual((row["delay_reported"], row["smtputf8"]), (True, True))
        self.assertEqual([self.tables.rows(name) for name in _EMPTIED], [[], [], [], [], []])

    def test_its_recipients_are_in_order_with_their_attempts_and_without_what_they_have_not(self):
        self.tables.add(7, "a@example.test", "b@example.test", token=2)
        self.end(7, 1, "failed", reply='550 5.1.1 "No"', host="mx[192.0.2.1]:25", attempts=2, verdict=2, notify=2)
        self.end(7, 0, "removed", original="rfc822;x", signed_by="")
        attempt = {"host": "mx", "reply": "451 later", "status": "4.7.1", "tls": "", "waited": 0.1, "transfer": 1e-7}
        for number in (2, 1):
            self.tables.insert("attempt", message_id=7, idx=1, number=number, time=NOW + number, **attempt)
        self.finish(7)
        row = self.tables.row("history")
        self.assertTrue(row["failed"])
        first, second = row["recipients"]
        self.assertEqual(
            first,
            {"idx": 0, "local": "a", "domain": "example.test", "original": "rfc822;x", "status": "removed"}
            | {"attempts": 0, "reply": "", "host": "", "finished": NOW + 5, "signed_by": "", "verdict": 0},
        )
        made = second.pop("made")
        self.assertEqual(
            second,
            {"idx": 1, "local": "b", "domain": "example.test", "notify": 2, "status": "failed", "attempts": 2}
            | {"reply": '550 5.1.1 "No"', "host": "mx[192.0.2.1]:25", "finished": NOW + 5, "verdict": 2},
        )
        self.assertEqual(made, [{"number": number, "time": NOW + number, **attempt} for number in (1, 2)])

    def test_a_message_in_which_a_recipient_waits_stays(self):
        self.tables.add(7, "a@example.test", "b@example.test")
        self.tables.add(8)
        self.end(7, 0, "delivered")
        self.end(8, 0, "delivered")
        self.assertEqual(self.finish(9, 8, 7), [8])
        self.assertEqual(self.tables.row("message")["id"], 7)
        self.assertEqual(len(self.tables.rows("recipient")), 2)
        self.assertEqual(self.tables.row("body")["message_id"], 7)
        self.assertEqual(self.tables.row("history")["id"], 8)

    def test_the_chunks_of_a_large_body_go_with_it(self):
        self.tables.add(7, chunks=3)
        self.tables.add(8, chunks=1)
        self.end(7, 0, "delivered")
        self.assertEqual(self.finish(7, 8), [7])
        self.assertEqual(self.tables.row("chunk")["message_id"], 8)

    def test_no_messages_are_no_statement(self):
        self.assertEqual(finish(QueueChange(self.tables.session, 3), [], NOW), [])
        self.assertFalse(self.tables.session.connected)
