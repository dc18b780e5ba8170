"""Settlements on PostgreSQL: the rows that they leave, their fence, and a second offer of the same one."""

from collections.abc import Collection, Sequence
from threading import Thread
from typing import Any

from harness.waiting import until
from mta.message.outcome import Failed
from mta.queue.entries import FIRST_ATTEMPTS, LAST_ATTEMPTS
from mta.queue.ids import to_number
from mta.queue.interface import AttemptRecord, Claim, QueueError, Settlement, Verdict
from mta.queue.postgres.change import LaneCounts, QueueChange
from mta.queue.postgres.mail.settlements import settle
from tests.queue.messages import GONE, LATER, NEVER, NOW, TOOK, mail
from tests.queue.postgres.mail.case import ME, PEER, MailCase

_WAITS_FOR_A_LOCK = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
_EMPTIED = ("message", "recipient", "attempt", "body")


def made(when: float = NOW) -> AttemptRecord:
    return AttemptRecord(when, "mx.test[192.0.2.1]:25", "451 4.7.1 later", "4.7.1", "TLSv1.3", 0.25, 1.5)


class SettlementCase(MailCase):
    def settle(
        self,
        claim: Claim,
        *verdicts: Verdict,
        change: QueueChange | None = None,
        marked: Collection[int] = (),
        **options: Any,
    ) -> bool:
        change = change or self.change
        with change.session.transaction():
            return settle(change, Settlement(claim, verdicts, NOW + 3, **options), marked=marked)

    def claim_of(self, *recipients: str, **columns: Any) -> Claim:
        self.tables.add(7, *recipients, **columns)
        return self.one()

    def recipients(self, *names: str) -> Sequence[tuple[Any, ...]]:
        return [tuple(row[name] for name in names) for row in self.tables.rows("recipient", "message_id, idx")]


class SettlementTests(SettlementCase):
    def test_a_new_attempt_for_the_only_recipient(self):
        claim = self.claim_of()
        verdict = Verdict(0, LATER, NOW + 60, attempt=made(), signed_by="a.test/s1")
        self.assertTrue(self.settle(claim, verdict))
        row = self.message(7)
        self.assertEqual((row["node"], row["token"], row["due"]), (None, 1, NOW + 60))
        (row,) = self.tables.rows("recipient")
        self.assertEqual((row["status"], row["attempts"], row["due"]), ("waiting", 1, NOW + 60))
        self.assertEqual((row["verdict"], row["finished"], row["signed_by"]), (1, None, "a.test/s1"))
        self.assertEqual((row["reply"], row["host"]), (LATER.text, LATER.host))
        found = tuple(self.tables.row("attempt").values())
        self.assertEqual(found, (7, 0, 1, NOW, made().host, made().reply, "4.7.1", "TLSv1.3", 0.25, 1.5))
        self.assertEqual(self.change.counts, LaneCounts())

    def test_a_message_without_waiting_recipients_is_history_and_its_recipients_are_counted(self):
        claim = self.claim_of(*(f"{name}@x.test" for name in "abcd"), chunks=0)
        self.settle(claim, Verdict(0, TOOK), Verdict(1, NEVER), keep_claim=True)
        self.assertEqual((self.message(7)["node"], self.change.counts), (ME, LaneCounts(delivered=1, failed=1)))
        self.assertTrue(self.settle(claim, Verdict(2, GONE), Verdict(3, TOOK), keep_claim=True))
        self.assertEqual(self.change.counts, LaneCounts(delivered=2, failed=1, removed=1))
        self.assertEqual([self.tables.rows(name) for name in _EMPTIED], [[], [], [], []])
        row = self.tables.row("history")
        self.assertEqual((row["id"], row["node"], row["token"], row["finished"]), (7, ME, 1, NOW + 3))
        statuses = [each["status"] for each in row["recipients"]]
        self.assertEqual(statuses, ["delivered", "failed", "removed", "delivered"])

    def test_a_claim_of_another_node_or_token_changes_and_adds_nothing(self):
        claim = self.claim_of("a@x.test", "b@x.test")
        for verdicts in ((Verdict(0, TOOK), Verdict(1, TOOK)), (Verdict(0, TOOK),), ()):
            self.assertFalse(self.settle(claim, *verdicts, change=self.peer(), reports=[mail()]))
        self.tables.look.execute("UPDATE message SET token = 2")
        self.assertFalse(self.settle(claim, Verdict(0, TOOK), Verdict(1, TOOK), reports=[mail()]))
        self.assertEqual(self.recipients("status", "attempts", "verdict"), 2 * [("waiting", 0, 0)])
        self.assertEqual(len(self.tables.rows("message")), 1)
        self.assertEqual(self.change.counts, LaneCounts())

    def test_text_that_the_database_refuses_is_mended(self):
        claim = self.claim_of()
        attempt = AttemptRecord(NOW, "mx\0", "550 \udcff\0", "5.0.0", "\0")
        self.settle(claim, Verdict(0, Failed("550 \udcff\0", "mx\0"), NOW + 9, signed_by="\0a", attempt=attempt))
        self.assertEqual(self.recipients("reply", "host", "signed_by"), [("550 ?", "mx", "a")])
        row = self.tables.row("attempt")
        self.assertEqual((row["host"], row["reply"], row["tls"]), ("mx", "550 ?", ""))

    def test_of_many_attempts_the_first_and_the_last_are_kept(self):
        claim = self.claim_of("a@x.test", "b@x.test")
        self.tables.look.execute("UPDATE recipient SET attempts = 60 WHERE idx = 0")
        for number in range(1, 61):
            row = {"host": "", "reply": "", "status": "", "tls": "", "waited": 0, "transfer": 0}
            self.tables.insert("attempt", message_id=7, idx=0, number=number, time=NOW, **row)
        self.settle(claim, Verdict(0, LATER, NOW + 9, attempt=made()), Verdict(1, LATER, NOW + 9, attempt=made()))
        numbers = {index: [] for index in (0, 1)}
        for row in self.tables.rows("attempt", "number"):
            numbers[row["idx"]].append(row["number"])
        self.assertEqual(numbers, {0: [*range(1, FIRST_ATTEMPTS + 1), *range(62 - LAST_ATTEMPTS, 62)], 1: [1]})

    def test_the_way_of_an_attempt_ends_unless_another_was_ordered_since(self):
        claim = self.claim_of("a@x.test", "b@x.test")
        self.tables.look.execute("UPDATE recipient SET way = CASE idx WHEN 0 THEN 'mx' ELSE 'smarthost' END")
        self.settle(claim, *(Verdict(index, LATER, NOW + 9, way="mx") for index in (0, 1)))
        self.assertEqual(self.recipients("way"), [(None,), ("smarthost",)])

    def test_a_verdict_after_a_mark_ends_the_doubt_about_its_recipients(self):
        claim = self.claim_of(*(f"{name}@x.test" for name in "abcd"), doubt='{"7": [[0, 1], [3, 3]]}')
        verdicts = [Verdict(index, LATER, NOW + 9) for index in (1, 3)]
        self.settle(claim, *verdicts, marked=[1], keep_claim=True)
        self.assertEqual(self.message(7)["doubt"], '{"7": [[0, 0], [3, 3]]}')
        self.settle(claim, Verdict(0, TOOK), Verdict(3, TOOK))
        self.assertIsNone(self.message(7)["doubt"])

    def test_two_verdicts_for_one_recipient_are_two_attempts(self):
        claim = self.claim_of("a@x.test", "b@x.test")
        both = Verdict(0, LATER, NOW + 5, attempt=made(NOW)), Verdict(0, TOOK, attempt=made(NOW + 1))
        self.assertTrue(self.settle(claim, *both, Verdict(1, LATER, NOW + 9)))
        self.assertEqual(self.recipients("status", "attempts"), [("delivered", 2), ("waiting", 1)])
        self.assertEqual([row["time"] - NOW for row in self.tables.rows("attempt", "number")], [0, 1])
        self.assertEqual((self.message(7)["node"], self.message(7)["due"]), (None, NOW + 9))

    def test_a_recipient_that_an_operator_removes_meanwhile_does_not_keep_the_message_waiting(self):
        claim = self.claim_of("a@x.test", "b@x.test")
        operator = self.tables.new_session()
        done: list[bool] = []
        settling = Thread(target=lambda: done.append(self.settle(claim, Verdict(0, TOOK))))
        with operator.transaction():
            operator.rows("SELECT FROM message WHERE id = 7 FOR UPDATE")
            settling.start()
            until(lambda: self.tables.look.execute(_WAITS_FOR_A_LOCK).fetchall(), what="the wait of the settlement")
            operator.rows("UPDATE recipient SET status = 'removed', due = NULL, finished = 1 WHERE idx = 1")
        settling.join()
        self.assertEqual(done, [True])
        self.assertEqual(
            [each["status"] for each in self.tables.row("history")["recipients"]], ["delivered", "removed"]
        )

    def test_a_thousand_recipients_are_a_few_statements(self):
        claim = self.claim_of(*(f"r{number}@x.test" for number in range(1000)))
        statements: list[str] = []
        rows = self.tables.session.rows
        self.patch(self.tables.session, "rows", lambda sql, values=None: (statements.append(sql), rows(sql, values))[1])
        later = (Verdict(index, LATER, NOW + 9, attempt=made()) for index in range(500))
        self.settle(claim, *later, *(Verdict(index, TOOK) for index in range(500, 1000)))
        self.assertEqual(len(statements), 3, "BEGIN, one statement, COMMIT")
        self.assertEqual(self.change.counts, LaneCounts(delivered=500))
        self.assertEqual(len(self.tables.rows("attempt")), 500)


class ReportTests(SettlementCase):
    def test_reports_are_added_in_the_same_transaction_and_counted_in_the_lane(self):
        claim, report = self.claim_of(), mail("alice@example.org", sender=None)
        self.settle(claim, Verdict(0, NEVER), reports=[report])
        self.assertEqual([row["id"] for row in self.tables.rows("message")], [to_number(report.id)])
        self.assertEqual(next(row["accepted"] for row in self.tables.rows("lane") if row["node"] == ME), 1)

    def test_a_report_that_is_there_already_fails_the_settlement(self):
        claim, report = self.claim_of(), mail(sender=None)
        self.tables.add(to_number(report.id), due=NOW + 60)
        with self.assertRaisesRegex(QueueError, "already"):
            self.settle(claim, Verdict(0, NEVER), reports=[report])
        self.assertEqual(self.message(7)["node"], ME)


class SecondOfferTests(SettlementCase):
    """A settlement whose outcome is not known is offered again."""

    def both(self, claim: Claim, *verdicts: Verdict, **options: Any) -> None:
        """Settle, and settle again; the second one must change nothing."""
        self.assertTrue(self.settle(claim, *verdicts, **options))
        before = self.everything()
        again = self.again()
        self.assertTrue(self.settle(claim, *verdicts, change=again, **options))
        self.assertEqual((self.everything(), again.counts), (before, LaneCounts()))

    def everything(self) -> dict[str, Any]:
        return {name: self.tables.rows(name, "1, 2") for name in ("message", "recipient", "attempt", "history")}

    def test_a_new_attempt_is_counted_once(self):
        self.both(self.claim_of(), Verdict(0, LATER, NOW + 60, attempt=made()))
        self.assertEqual(self.recipients("attempts"), [(1,)])

    def test_a_kept_claim(self):
        self.both(self.claim_of("a@x.test", "b@x.test"), Verdict(1, LATER, NOW + 60), keep_claim=True)

    def test_a_message_that_is_finished_and_its_report(self):
        self.both(self.claim_of(), Verdict(0, NEVER), reports=[mail(sender=None)])
        self.assertEqual(len(self.tables.rows("message")), 1)

    def test_a_claim_that_is_given_back_without_a_verdict(self):
        self.both(self.claim_of())

    def test_a_report_of_delay_alone(self):
        self.both(self.claim_of(), reports=[mail(sender=None)], delay_reported=True, keep_claim=True)

    def test_a_message_that_a_peer_has_claimed_since(self):
        claim = self.claim_of()
        later = Verdict(0, LATER, NOW)
        self.settle(claim, later)
        self.claim(change=self.peer())
        self.assertTrue(self.settle(claim, later, change=self.again()))
        self.assertEqual((self.message(7)["node"], self.recipients("attempts")), (PEER, [(1,)]))

    def test_one_that_was_not_recorded_is_recorded_now(self):
        claim, report = self.claim_of("a@x.test", "b@x.test"), mail(sender=None)
        again = self.again()
        verdicts = Verdict(0, NEVER), Verdict(1, LATER, NOW + 9)
        self.assertTrue(self.settle(claim, *verdicts, reports=[report], change=again))
        self.assertEqual(again.counts, LaneCounts(failed=1))
        self.assertEqual(self.recipients("attempts"), [(1,), (1,), (0,)])

    def test_one_that_was_not_recorded_after_another_under_the_same_claim(self):
        claim = self.claim_of()
        self.settle(claim, Verdict(0, LATER, NOW + 5), keep_claim=True)
        self.assertTrue(self.settle(claim, Verdict(0, LATER, NOW + 9), change=self.again()))
        self.assertEqual(self.recipients("attempts", "due"), [(2, NOW + 9)])
        self.assertIsNone(self.message(7)["node"])

    def test_a_claim_that_was_lost_is_lost(self):
        claim = self.claim_of()
        self.tables.look.execute("UPDATE message SET token = 2, node = NULL")
        for verdicts in ((Verdict(0, TOOK),), ()):
            self.assertFalse(self.settle(claim, *verdicts, change=self.again()))
