"""The statement of a batch: its parts, its fence, and the rows that it writes."""

from dataclasses import replace

import pytest

from mta.message.body import FileBody
from mta.message.envelope import BodyType, Notify, Recipient, Ret, TlsDemand
from mta.queue.interface import AttemptRecord, Description, QueueError, Verdict
from mta.queue.postgres.change import LaneFence, QueueChange
from mta.queue.postgres.errors import Fenced
from mta.queue.postgres.lanes.batch import MailBatch, add_all, is_plain_end
from mta.queue.postgres.lanes.rows import MESSAGE_COLUMNS, PLAIN, message_row
from mta.queue.postgres.lanes.statements import BATCH, BATCH_AGAIN, PLAIN_BATCH, SQL
from mta.smtp.address import Address
from tests.queue.messages import GONE, LATER, LEASE, NEVER, NOW, TOOK, mail
from tests.queue.postgres.lanes.lane_case import LaneCase, claim_like, number_of, plain_end


class BatchTests(LaneCase):
    def setUp(self):
        super().setUp()
        ((session,),) = self.tables.session.rows(SQL.enter, {"node": self.node, "lane": 0})
        self.fence = LaneFence(self.node, 0, session)

    def execute(self, batch, *, again=False, **fence):
        return batch.execute(self.tables.session, replace(self.fence, **fence), again=again)

    def add(self, *mails, again=False):
        batch = MailBatch()
        for new in mails:
            batch.add(new, NOW, NOW + LEASE, NOW)
        return self.execute(batch, again=again)

    def end(self, settlement, *, again=False):
        batch = MailBatch()
        batch.end(settlement)
        return self.execute(batch, again=again)

    def test_an_empty_batch_writes_the_lane(self):
        before = self.tables.look.execute("SELECT xmin FROM lane WHERE node = %s AND n = 0", [self.node]).fetchone()
        self.execute(MailBatch())
        after = self.tables.look.execute("SELECT xmin FROM lane WHERE node = %s AND n = 0", [self.node]).fetchone()
        self.assertNotEqual(before, after)

    def test_a_plan_that_is_made_while_tables_are_small_reads_none_of_them_whole(self):
        self.add(mail(), mail())
        self.tables.look.execute("ANALYZE message, recipient, body, history, lane")
        for statement in (PLAIN_BATCH, BATCH, BATCH_AGAIN):
            name, values = statement.name.decode(), ", ".join(["NULL"] * len(statement.values))
            self.tables.session.rows(f"PREPARE {name} AS {statement.text.decode()}")
            plan = [line for (line,) in self.tables.session.rows(f"EXPLAIN EXECUTE {name} ({values})")]
            scans = [number for number, line in enumerate(plan) if "Scan" in line and " on " in line]
            tables = [n for n in scans if "CTE Scan" not in plan[n] and "Subquery Scan" not in plan[n]]
            self.assertGreaterEqual(len(tables), 7)
            for number in tables:
                self.assertRegex(plan[number], "Index (Only )?Scan using")
                self.assertIn("Index Cond:", plan[number + 1])

    def test_the_lane_stays_in_its_page_though_many_messages_are_marked(self):
        for first in range(0, 100_000, 1000):
            # Ids of messages that came a millisecond apart.
            marks = [f'"{1839129044574970881 + 1_024_000 * number}":[[0,0]]' for number in range(first, first + 200)]
            self.execute(MailBatch(sending=f"{{{','.join(marks)}}}"))
        table = "pg_relation_size(oid) AS lane, pg_relation_size(reltoastrelid) AS beside"
        sizes = self.tables.look.execute(f"SELECT {table} FROM pg_class WHERE oid = 'lane'::regclass").fetchone()
        self.assertEqual(sizes, {"lane": 8192, "beside": 0})

    def test_a_message_is_stored_with_all_that_is_known_of_it(self):
        asked = Recipient(Address("bob", "example.test"), Notify.SUCCESS, "rfc822;b\0ob\udce9")
        new = mail(asked, "carol@example.test", sender=None, login="alice")
        new = replace(new, description=Description("1@example.org", "h\0i", "Alice", "TLSv1.3", new.id))
        self.add(new)
        row = self.tables.row("message")
        self.assertEqual(
            [row[name] for name in ("sender_local", "login", "subject", "report_of", "node", "token", "due")],
            [None, "alice", "hi", number_of(new), self.node, 1, NOW + LEASE],
        )
        recipients = [(one["idx"], one["local"], one["original"], one["due"]) for one in self.tables.rows("recipient")]
        self.assertEqual(recipients, [(0, "bob", "rfc822;bob?", NOW), (1, "carol", None, NOW)])
        self.assertEqual(self.tables.row("body")["data"], new.body.data)

    def unusual(self):
        """Return a message of which each value that has a usual one is another."""
        recipients = (
            Recipient(Address("a", "example.test"), Notify.NEVER, "rfc822;a"),
            Recipient(Address("b", "example.test")),
        )
        parts = {"body_type": BodyType.EIGHT_BIT, "smtputf8": True, "ret": Ret.FULL, "envid": "e"}
        new = mail(*recipients, login="alice", held=True)
        described = Description("1@example.org", "Hi", "Alice", "TLSv1.3", new.id)
        envelope = replace(new.envelope, tls_demand=TlsDemand.REQUIRED, **parts)
        return replace(new, envelope=envelope, description=described)

    def check_as_usual(self, mails):
        """Add messages together, mark them and finish them together: each has its own values at each step."""
        batch, expected = MailBatch(), {}
        for new in mails:
            until = None if new.held else NOW + LEASE
            batch.add(new, NOW, until, NOW)
            row = message_row(new, number_of(new), NOW, token=int(not new.held), due=NOW if new.held else NOW + LEASE)
            expected[number_of(new)] = dict(zip(MESSAGE_COLUMNS, row, strict=True))
        self.execute(batch)
        stored = {row["id"]: row for row in self.tables.rows("message")}
        for number, columns in expected.items():
            self.assertEqual({name: stored[number][name] for name in columns}, columns)
        addresses = [(number_of(new), place) for new in mails for place in range(len(new.envelope.recipients))]
        found = self.tables.rows("recipient", "message_id, idx")
        self.assertEqual([(row["message_id"], row["idx"]) for row in found], sorted(addresses))
        # As after a second claim.
        self.tables.look.execute("UPDATE message SET node = %s, token = 2, held = false WHERE held", [self.node])
        marks, ends = MailBatch(), MailBatch()
        for new in mails:
            token = 2 if new.held else 1
            marks.mark(number_of(new), token)
            outcomes = [NEVER, GONE] if new.held else [TOOK]
            verdicts = [Verdict(index, outcome) for index, outcome in enumerate(outcomes)]
            ends.end(replace(plain_end(claim_like(new, token)), verdicts=verdicts))
        self.assertEqual(self.execute(marks).marked, {(number_of(new), 2 if new.held else 1) for new in mails})
        self.assertEqual(self.execute(ends).ended, set(expected))
        history = {row["id"]: (row["token"], row["failed"]) for row in self.tables.rows("history")}
        for new in mails:
            self.assertEqual(history[number_of(new)], (2, True) if new.held else (1, False))
        self.assertEqual(self.execute(ends, again=True).ended, set(expected))

    def test_usual_values_and_others_are_stored_alike_alone_and_together(self):
        self.check_as_usual([mail()])
        self.check_as_usual([self.unusual()])
        self.check_as_usual([mail(), self.unusual()])
        self.check_as_usual([self.unusual(), mail(), mail(sender=None)])
        counts = self.lane_row()
        self.assertEqual([counts[name] for name in ("accepted", "delivered", "failed", "removed")], [10, 4, 3, 3])

    def test_a_batch_is_plain_if_it_has_usual_values_alone_and_was_not_offered_before(self):
        self.assertEqual(set(PLAIN_BATCH.values) | set(PLAIN), set(BATCH.values))
        self.assertEqual(set(PLAIN_BATCH.values) & set(PLAIN), set())
        claim = claim_like(mail())
        for part in (
            lambda batch: batch.add(mail(), NOW, NOW + LEASE, NOW),
            lambda batch: batch.mark(number_of(claim), 1),
            lambda batch: batch.end(plain_end(claim)),
        ):
            self.assertIs(self.statement(part), PLAIN_BATCH)
            self.assertIs(self.statement(part, again=True), BATCH_AGAIN)
        two = mail("a@example.test", "b@example.test")
        later = claim_like(mail(), 2)
        failed = replace(plain_end(claim), verdicts=[Verdict(0, NEVER)])
        for part in (
            lambda batch: batch.add(self.unusual(), NOW, NOW + LEASE, NOW),
            lambda batch: batch.add(mail(), NOW, None, NOW),
            lambda batch: batch.add(two, NOW, NOW + LEASE, NOW),
            lambda batch: batch.mark(number_of(later), 2),
            lambda batch: batch.end(plain_end(later)),
            lambda batch: batch.end(plain_end(claim_like(two))),
            lambda batch: batch.end(failed),
        ):
            self.assertIs(self.statement(part), BATCH)

    def statement(self, part, *, again=False):
        """Return the statement of a batch with a part."""
        batch = MailBatch()
        part(batch)
        statement, _ = batch.statement(self.fence, again=again)
        return statement

    def test_nothing_is_done_for_another_session_of_the_lane_or_a_fenced_node(self):
        for fence in ({"session": self.fence.session - 1}, {"node": self.node + 1}):
            batch = MailBatch()
            batch.add(mail(), NOW, None, NOW)
            self.assertRaises(Fenced, self.execute, batch, **fence)
        self.tables.look.execute("UPDATE lane SET fenced = true")
        self.assertRaises(Fenced, self.add, mail())
        self.assertEqual(self.waiting(), [])

    def test_messages_that_are_there_stay_as_they_are(self):
        known, new = mail("a@example.test"), mail()
        self.add(known)
        twice = replace(new, id=known.id, held=True)
        result = self.add(twice, mail())
        self.assertEqual((len(result.added), number_of(known) in result.added), (1, False))
        self.assertEqual(self.lane_row()["accepted"], 2)

    def test_a_plain_batch_with_a_message_that_is_there_is_not_done(self):
        known, new = mail("a@example.test"), mail()
        self.add(known)
        with self.assertRaisesRegex(QueueError, "is in the queue already"):
            self.add(replace(new, id=known.id), mail())
        self.assertEqual((self.waiting(), self.lane_row()["accepted"]), ([number_of(known)], 1))

    def test_a_second_offer_tells_what_the_first_has_done(self):
        added, ended = mail(), mail()
        self.add(added, ended)
        settlement = plain_end(claim_like(ended))
        self.assertEqual(self.end(settlement).ended, {number_of(ended)})
        self.assertEqual(self.end(settlement).ended, frozenset())
        self.assertEqual(self.end(settlement, again=True).ended, {number_of(ended)})
        result = self.add(added, ended, again=True)
        self.assertEqual((result.added, result.kept), (frozenset(), {number_of(added)}))

    def test_a_removal_by_an_operator_is_no_end_by_the_claim(self):
        new = mail()
        self.add(new)
        settlement = plain_end(claim_like(new))
        self.end(settlement)
        self.tables.look.execute("UPDATE history SET node = 0")
        self.assertEqual(self.end(settlement, again=True).ended, frozenset())

    def test_a_claim_of_another_node_or_token_ends_and_marks_nothing(self):
        new = mail()
        self.add(new)
        for change in ("token = 2", "token = 1, node = 77"):
            self.tables.look.execute(f"UPDATE message SET {change}")
            batch = MailBatch()
            batch.end(plain_end(claim_like(new)))
            batch.mark(number_of(new), 1)
            result = self.execute(batch)
            self.assertEqual((result.ended, result.marked), (frozenset(), frozenset()))

    def test_a_message_of_which_a_recipient_was_final_before_is_left(self):
        new = mail("a@example.test", "b@example.test")
        self.add(new)
        self.tables.look.execute("UPDATE recipient SET status = 'removed', due = NULL, finished = 1 WHERE idx = 0")
        self.assertEqual(self.end(plain_end(claim_like(new))).ended, frozenset())
        self.assertEqual(self.lane_row()["delivered"], 0)

    def test_the_history_has_each_recipient_and_its_attempt(self):
        new = mail("a@example.test", "b@example.test", "c@example.test")
        self.add(new)
        attempt = AttemptRecord(NOW + 2, NEVER.host, NEVER.text, "5.1.1", "TLSv1.3", 1.0, 2.0)
        verdicts = [Verdict(0, TOOK, signed_by="example.org"), Verdict(1, NEVER, attempt=attempt), Verdict(2, GONE)]
        self.end(replace(plain_end(claim_like(new)), verdicts=verdicts))
        row = self.tables.row("history")
        self.assertEqual((row["node"], row["token"], row["finished"], row["failed"]), (self.node, 1, NOW + 1, True))
        first, second, third = row["recipients"]
        self.assertEqual((first["status"], first["attempts"], first["signed_by"]), ("delivered", 1, "example.org"))
        self.assertEqual([made["status"] for made in second["made"]], ["5.1.1"])
        self.assertEqual((third["status"], third["attempts"], "made" in third), ("removed", 0, False))
        counts = self.lane_row()
        self.assertEqual([counts[name] for name in ("delivered", "failed", "removed")], [1, 1, 1])
        self.assertEqual([self.tables.rows(name) for name in ("message", "recipient", "body")], [[], [], []])

    def test_reports_are_added_once_though_offered_again(self):
        mails = [mail(sender=None), mail(sender=None)]
        change = QueueChange(self.tables.session, self.node, fence=self.fence)
        add_all(change, mails, NOW)
        self.assertRaises(QueueError, add_all, change, mails, NOW)
        add_all(replace(change, again=True), mails, NOW)
        self.assertEqual((len(self.waiting()), self.lane_row()["accepted"]), (2, 2))


@pytest.mark.parametrize(
    "changed",
    [
        {"verdicts": [Verdict(0, LATER, NOW + 9)]},
        {"verdicts": [Verdict(0, TOOK), Verdict(1, TOOK)]},
        {"verdicts": []},
        {"verdicts": [Verdict(1, TOOK)]},
        {"verdicts": [Verdict(0, TOOK, way="mx")]},
        {"reports": [mail(sender=None)]},
        {"claim": replace(claim_like(mail()), body=FileBody(__file__, 9))},
        {"claim": replace(claim_like(mail()), pending=())},
    ],
)
def test_an_end_is_plain_only_if_all_are_final_at_the_first_attempt(changed):
    plain = plain_end(claim_like(mail()))
    assert is_plain_end(plain)
    assert not is_plain_end(replace(plain, **changed))


def test_a_second_attempt_is_no_plain_end():
    claim = claim_like(mail())
    assert not is_plain_end(plain_end(replace(claim, pending=(replace(claim.pending[0], attempts=1),))))


@pytest.mark.parametrize(
    "verdicts",
    [
        [Verdict(0, TOOK), Verdict(1, LATER, NOW + 9)],
        [Verdict(0, TOOK), Verdict(1, TOOK, way="mx")],
        [Verdict(0, TOOK), Verdict(0, TOOK)],
        [Verdict(0, TOOK), Verdict(2, TOOK)],
        [Verdict(0, TOOK)],
    ],
)
def test_an_end_of_two_recipients_is_plain_only_if_both_are_final_at_the_first_attempt(verdicts):
    plain = plain_end(claim_like(mail("a@example.test", "b@example.test")))
    assert is_plain_end(replace(plain, verdicts=plain.verdicts[::-1]))
    assert not is_plain_end(replace(plain, verdicts=verdicts))
    first, second = plain.claim.pending
    assert not is_plain_end(replace(plain, claim=replace(plain.claim, pending=(first, replace(second, attempts=1)))))
