"""The orders of an operator on the queue on PostgreSQL, beside relays that claim and settle at the same time."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from harness.waiting import until
from mta.queue.entries import Action
from mta.queue.ids import known_numbers, to_id
from mta.queue.interface import QueueError
from mta.queue.postgres.change import LaneCounts, QueueChange
from mta.queue.postgres.operator.orders import SLICE, apply, apply_action, forget
from tests.queue.messages import NOW
from tests.queue.postgres.tables import Tables

A, B = "a@example.test", "b@example.test"


class OrderCase(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)

    def apply(self, action: Action, *numbers: int, **limits: Any) -> tuple[list[int], LaneCounts]:
        """Apply an action to messages, or to all if none is named; return their numbers and what was counted."""
        ids = [to_id(number) for number in numbers] or None
        counts = LaneCounts()
        self.transactions = 0

        def submit(work: Callable[[QueueChange], Any]) -> Deferred[Any]:
            self.transactions += 1
            with self.tables.session.transaction():
                return succeed(work(QueueChange(self.tables.session, 0, counts=counts)))

        order = Deferred.fromCoroutine(apply(submit, action, ids, NOW + 9, **limits))
        return known_numbers(self.successResultOf(order)), counts

    def column(self, name: str, table: str = "message", order: str = "1") -> list[Any]:
        return [row[name] for row in self.tables.rows(table, order)]


class ActionTests(OrderCase):
    def test_a_removed_message_goes_to_the_history_with_the_token_of_its_claim(self):
        self.tables.add(7, A, B, node=3, token=2)
        self.tables.add(8)
        self.assertEqual(self.apply(Action.REMOVE, 7, 9), ([7], LaneCounts(removed=2)))
        self.assertEqual(self.column("id"), [8])
        row = self.tables.row("history")
        self.assertEqual((row["id"], row["node"], row["token"], row["finished"]), (7, 0, 2, NOW + 9))
        self.assertEqual([one["status"] for one in row["recipients"]], ["removed", "removed"])

    def test_a_claim_goes_on_while_another_recipient_waits(self):
        self.tables.add(7, A, B, node=3, token=2)
        self.assertEqual(self.apply(Action.REMOVE, recipient="A@EXAMPLE.test"), ([7], LaneCounts(removed=1)))
        row = self.tables.row("message")
        self.assertEqual((row["node"], row["token"]), (3, 2))
        self.assertEqual(self.column("status", "recipient", "idx"), ["removed", "waiting"])
        self.assertEqual(self.apply(Action.REMOVE, recipient=A), ([], LaneCounts()))
        self.assertEqual(self.apply(Action.REMOVE, 7, recipient=B), ([7], LaneCounts(removed=1)))
        self.assertEqual(self.tables.rows("message"), [])

    def test_retry_makes_due_now_and_lifts_a_hold_but_leaves_a_claim(self):
        self.tables.add(1, due=NOW + 60)
        self.tables.add(2, due=NOW + 60, held=True, held_since=NOW)
        self.tables.add(3, due=NOW + 60, node=3, token=1)
        self.tables.add(4, due=NOW)
        self.assertEqual(self.apply(Action.RETRY, 4, 3, 2, 1)[0], [1, 2, 3, 4])
        self.assertEqual(self.column("due"), [NOW + 9, NOW + 9, NOW + 60, NOW])
        self.assertEqual(self.column("held_since"), [None] * 4)

    def test_an_order_for_all_takes_held_messages_or_others(self):
        for number in (1, 2, 3):
            self.tables.add(number, A, held=number == 2, due=NOW + 60)
        for limits in ({}, {"recipient": A}):
            self.assertEqual(self.apply(Action.RETRY, **limits)[0], [1, 3])
            self.assertEqual(self.column("held"), [False, True, False])
        self.assertEqual(self.apply(Action.RELEASE, recipient=A)[0], [2])
        self.assertEqual(self.apply(Action.HOLD)[0], [1, 2, 3])
        self.assertEqual(self.column("held_since"), [NOW + 9] * 3)
        self.assertEqual(self.apply(Action.RELEASE)[0], [1, 2, 3])
        self.assertEqual(self.column("held_since"), [None] * 3)

    def test_a_hold_of_one_recipient_is_refused_if_another_waits(self):
        self.tables.add(7, A, B)
        session = self.tables.session
        refusal = f"message {to_id(7)} has other recipients that wait"
        with self.assertRaisesRegex(QueueError, refusal), session.transaction():
            apply_action(QueueChange(session, 0), Action.HOLD, [7], NOW, recipient=A)
        self.assertEqual(self.column("held"), [False])

    def test_another_way_is_for_the_recipients_that_wait(self):
        self.tables.add(7, A, B, due=NOW + 60)
        self.assertEqual(self.apply(Action.REROUTE, 7, recipient=B, to="smarthost")[0], [7])
        self.assertEqual(self.column("way", "recipient", "idx"), [None, "smarthost"])
        self.assertEqual(self.column("due"), [NOW + 9])
        self.apply(Action.REROUTE, 7, to="mx")
        self.assertEqual(self.column("way", "recipient", "idx"), ["mx", "mx"])

    def test_an_address_without_a_domain_and_one_with_letters_of_another_alphabet(self):
        self.tables.add(1, "postmaster")
        self.tables.add(2, "Ü@example.test")
        self.assertEqual(self.apply(Action.REMOVE, recipient="Postmaster")[0], [1])
        # As in the other queues, only ASCII has no case.
        self.assertEqual(self.apply(Action.REMOVE, recipient="ü@example.test")[0], [])
        self.assertEqual(self.apply(Action.REMOVE, recipient="Ü@EXAMPLE.test")[0], [2])

    def test_an_address_that_the_database_cannot_store_is_that_of_no_message(self):
        self.tables.add(1)
        self.assertEqual(self.apply(Action.REMOVE, recipient="\udcff\0@example.test")[0], [])

    def test_many_messages_are_changed_in_several_transactions(self):
        self.tables.add(1)
        self.tables.look.execute(
            "INSERT INTO message SELECT (jsonb_populate_record(m, jsonb_build_object('id', n))).* FROM message AS m, "
            "generate_series(2, %s) AS n",
            [2 * SLICE],
        )
        self.assertEqual(self.apply(Action.HOLD)[0], list(range(1, 2 * SLICE + 1)))
        self.assertEqual(self.transactions, 3)
        self.assertEqual(set(self.column("held")), {True})
        self.assertEqual(len(self.apply(Action.REMOVE, *range(1, 2 * SLICE + 1))[0]), 2 * SLICE)
        self.assertEqual(self.transactions, 2)
        self.assertEqual(self.tables.rows("message"), [])


class ConcurrentTests(OrderCase):
    """Another transaction has the message while the order begins."""

    def apply_beside(self, action: Action, *numbers: int, change: str, **limits: Any) -> list[int]:
        """Apply an action while another session has made a change that it commits only when the order waits for it."""
        other = self.tables.new_session()
        other.rows("BEGIN")
        other.rows(change)
        found: list[int] = []
        order = Thread(target=lambda: found.extend(self.apply(action, *numbers, **limits)[0]))
        order.start()
        until(self.tables.waits, what="the order's wait for a lock")
        other.rows("COMMIT")
        order.join()
        return found

    def test_a_message_that_is_being_claimed_is_not_missed(self):
        self.tables.add(1, A)
        claim = "UPDATE message SET node = 3, token = token + 1, due = due + 600"
        self.assertEqual(self.apply_beside(Action.REMOVE, change=claim), [1])
        row = self.tables.row("history")
        self.assertEqual((row["token"], row["node"]), (1, 0))

    def test_a_message_whose_claim_is_given_back_is_made_due(self):
        self.tables.add(1, node=3, token=1, due=NOW + 600)
        back = f"UPDATE message SET node = NULL, due = {NOW + 60}"
        self.assertEqual(self.apply_beside(Action.RETRY, change=back), [1])
        self.assertEqual(self.column("due"), [NOW + 9])

    def test_a_message_that_is_being_held_is_not_part_of_a_retry_of_all(self):
        self.tables.add(1)
        self.assertEqual(self.apply_beside(Action.RETRY, change="UPDATE message SET held = true"), [])
        self.assertEqual(self.column("held"), [True])

    def test_a_message_that_ends_meanwhile_is_left_alone(self):
        self.tables.add(1, A)
        self.tables.add(2, A)
        end = "WITH r AS (DELETE FROM recipient WHERE message_id = 1) DELETE FROM message WHERE id = 1"
        self.assertEqual(self.apply_beside(Action.REMOVE, 1, 2, change=end), [2])

    def test_a_recipient_that_becomes_final_meanwhile_has_no_order(self):
        self.tables.add(1, A, B)
        settle = (
            f"WITH r AS (UPDATE recipient SET status = 'delivered', due = NULL, finished = {NOW} WHERE idx = 0) "
            "UPDATE message SET token = token"
        )
        self.assertEqual(self.apply_beside(Action.REMOVE, change=settle, recipient=A), [])
        self.assertEqual(self.column("status", "recipient", "idx"), ["delivered", "waiting"])


class ForgetTests(OrderCase):
    def forget(self, before: float, limit: int = 10) -> int:
        session = self.tables.session
        with session.transaction():
            return forget(QueueChange(session, 0), before, limit)

    def test_the_oldest_go_first_and_an_hour_stays(self):
        now = time.time()
        for number, age in enumerate((3500, 3700, 4000, 3900), 1):
            self.tables.add(number)
            self.apply(Action.REMOVE, number)
            self.tables.look.execute("UPDATE history SET finished = %s WHERE id = %s", (now - age, number))
        self.assertEqual(self.forget(now - 3850, limit=1), 1)
        self.assertEqual(self.column("id", "history"), [1, 2, 4])
        self.assertEqual(self.forget(now - 3850), 1)
        self.assertEqual(self.forget(now - 3850), 0)
        self.assertEqual(self.forget(now + 10_000), 1)
        self.assertEqual(self.column("id", "history"), [1])
