"""Orders of an operator on messages that relays have in work."""

import random
from collections import Counter
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from harness.waiting import until
from mta.blocking import run_inline
from mta.queue.ids import to_number
from mta.queue.interface import Action, Claim, LeaseLost, QueueId, Settlement, Verdict
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.lanes.batch import add_all
from mta.queue.postgres.membership.node import join
from mta.queue.postgres.operator.bounce import bounce
from mta.queue.postgres.operator.orders import apply_action
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.queue import LANES, PostgresQueue
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.fakes.fixed_nodes import FixedNodes
from tests.length import choose
from tests.queue.messages import LATER, LEASE, NOW, TOOK, mail, scratch
from tests.queue.postgres.tables import Tables

A, B = "a@example.test", "b@example.test"


def result(deferred: "Deferred[Any]") -> Any:
    """Return the result of a Deferred that has fired; raise its error."""
    results: list[Any] = []
    errors: list[Any] = []
    deferred.addCallbacks(results.append, errors.append)
    if errors:
        errors[0].raiseException()
    return results[0]


class BesideRelaysCase(SynchronousTestCase):
    def setUp(self):
        self.tables = Tables(self)
        self.server = read_server(self.tables.url)

    def relay(self, name: str) -> PostgresQueue:
        session = DatabaseSession(self.server.connection_parameters())
        node = join(session, name, "0.2.0", 1, LANES)
        session.close()
        directory = scratch(self)
        directory.mkdir()
        queue = PostgresQueue(
            self.server,
            FixedNodes(node),
            run=run_inline,
            seconds=lambda: 0.0,
            wall_clock=lambda: NOW,
            directory=directory,
        )
        self.addCleanup(lambda: result(queue.close()))
        return queue

    def operator(self) -> OperatorsQueue:
        queue = OperatorsQueue(self.server, run_inline)
        self.addCleanup(lambda: result(queue.close()))
        return queue


class OrderOfWorkTests(BesideRelaysCase):
    """A relay has a message in work, and a command on another machine orders something."""

    def setUp(self):
        super().setUp()
        self.queue, self.command = self.relay("one"), self.operator()
        self.settled: list[bool] = []
        self.claim: Claim = result(self.queue.add(mail(A, B), NOW, LEASE))

    def mark(self, *indexes: int) -> frozenset[int]:
        return result(self.queue.note_in_flight(self.claim.id, indexes))

    def settle(self, *verdicts: Verdict) -> bool:
        return result(self.queue.settle(Settlement(self.claim, verdicts, NOW)))

    def apply(self, action: Action, **limits: Any) -> None:
        self.assertEqual(result(self.command.apply(action, [self.claim.id], NOW, **limits)), [self.claim.id])

    def bounce(self, **limits: Any) -> None:
        done = result(self.command.bounce([self.claim.id], NOW, "returned", lambda *_: (), **limits))
        self.assertEqual(done, [self.claim.id])

    def ledger(self) -> tuple[int, ...]:
        counts = result(self.command.summary()).ledger
        return counts.accepted, counts.delivered, counts.failed, counts.removed, counts.waiting

    def test_a_message_that_was_removed_or_returned_is_not_sent(self):
        for order, counts in ((lambda: self.apply(Action.REMOVE), (2, 0, 0, 2, 0)), (self.bounce, (4, 0, 2, 2, 0))):
            order()
            with self.assertRaises(LeaseLost):
                self.mark(0, 1)
            self.assertFalse(self.settle(Verdict(0, TOOK), Verdict(1, TOOK)))
            self.assertEqual(self.ledger(), counts)
            self.claim = result(self.queue.add(mail(A, B), NOW, LEASE))

    def test_one_that_was_marked_before_is_sent_and_stays_removed(self):
        self.assertEqual(self.mark(0, 1), frozenset())
        self.apply(Action.REMOVE)
        self.assertFalse(self.settle(Verdict(0, TOOK), Verdict(1, TOOK)))
        self.assertEqual(self.ledger(), (2, 0, 0, 2, 0))
        statuses = [one["status"] for one in self.tables.row("history")["recipients"]]
        self.assertEqual(statuses, ["removed", "removed"])

    def test_one_recipient_is_removed_and_the_other_one_delivered(self):
        self.apply(Action.REMOVE, recipient=A)
        self.assertEqual(self.mark(1), frozenset())
        self.assertTrue(self.settle(Verdict(0, TOOK), Verdict(1, TOOK)))
        self.assertEqual(self.ledger(), (2, 1, 0, 1, 0))
        statuses = [one["status"] for one in self.tables.row("history")["recipients"]]
        self.assertEqual(statuses, ["removed", "delivered"])

    def test_a_recipient_is_removed_or_returned_while_the_relay_ends_the_message(self):
        for ended, status in ((self.remove_work, "removed"), (self.bounce_work, "failed")):
            other = self.tables.new_session()
            other.rows("BEGIN")
            ended(QueueChange(other, 0))
            settling = Thread(target=self.deliver_both)
            settling.start()
            until(self.tables.waits, what="the settlement's wait for a lock")
            other.rows("COMMIT")
            settling.join()
            self.assertEqual(self.settled.pop(), True)
            row = self.tables.rows("history")[-1]
            self.assertEqual([one["status"] for one in row["recipients"]], [status, "delivered"])
            # The order's own counts are not written, because no lane carried it out.
            self.assertEqual(self.ledger()[1], len(self.tables.rows("history")))
            self.claim = result(self.queue.add(mail(A, B), NOW, LEASE))

    def deliver_both(self) -> None:
        self.settled.append(self.settle(Verdict(0, TOOK), Verdict(1, TOOK)))

    def remove_work(self, change: QueueChange) -> None:
        apply_action(change, Action.REMOVE, [to_number(self.claim.id)], NOW, recipient=A)

    def bounce_work(self, change: QueueChange) -> None:
        bounce(change, [self.claim.id], NOW, "returned", lambda *_: (), recipient=A, add_all=add_all)

    def test_a_held_message_is_sent_once_more_only_when_it_is_released(self):
        self.apply(Action.HOLD)
        self.assertEqual(self.mark(0, 1), frozenset())
        self.assertTrue(self.settle(Verdict(0, TOOK), Verdict(1, LATER, NOW + 5)))
        self.assertEqual(result(self.relay("two").claim(NOW + 5, 10, LEASE)), [])
        self.apply(Action.RELEASE)
        self.assertEqual([claim.id for claim in result(self.queue.claim(NOW + 5, 10, LEASE))], [self.claim.id])


class CrowdTests(BesideRelaysCase):
    """Relays claim and settle while operators order: nothing is lost, counted twice or in each other's way."""

    def test_the_ledger_is_exact_after_orders_on_all_mail(self):
        messages = choose(200, 3000)
        relays = [self.relay(name) for name in ("one", "two")]
        ids = [result(relays[0].add(new, NOW)) or new.id for new in (mail(A, B) for _ in range(messages))]
        self.errors: list[BaseException] = []
        self.ordered = Event()
        orders = [Thread(target=self.guarded, args=(self.order, ids, seed)) for seed in (1, 2)]
        work = [Thread(target=self.guarded, args=(self.deliver, relay, seed)) for seed, relay in enumerate(relays)]
        for thread in (*orders, *work):
            thread.start()
        for thread in orders:
            thread.join()
        command = self.operator()
        result(command.apply(Action.RELEASE, None, NOW))
        result(command.apply(Action.RETRY, None, NOW))
        self.ordered.set()
        for thread in work:
            thread.join()
        self.assertEqual(self.errors, [])
        ledger = result(command.summary()).ledger
        self.assertEqual((ledger.accepted, ledger.waiting, ledger.missing), (2 * messages, 0, 0))
        history = self.tables.rows("history")
        self.assertEqual([row["id"] for row in history], sorted(map(to_number, ids)))
        found = Counter(one["status"] for row in history for one in row["recipients"])
        self.assertEqual(
            (found["delivered"], found["failed"], found["removed"]), (ledger.delivered, ledger.failed, ledger.removed)
        )
        self.assertTrue(all((found["delivered"], found["failed"], found["removed"])))

    def guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 (the test fails with it)
            self.errors.append(error)

    def order(self, ids: list[QueueId], seed: int) -> None:
        """Give orders on all mail, and end a fifth of it by orders on single messages."""
        chance, command = random.Random(seed), OperatorsQueue(self.server, run_inline)
        some = [id for id in ids if chance.random() < 0.2]
        chance.shuffle(some)
        while some:
            part, some = some[:7], some[7:]
            result(command.apply(chance.choice((Action.HOLD, Action.RELEASE, Action.RETRY)), None, NOW))
            if chance.random() < 0.5:
                result(command.apply(Action.REMOVE, part, NOW, recipient=chance.choice(("", A))))
            else:
                result(command.bounce(part, NOW, "returned", lambda *_: (), recipient=chance.choice(("", B))))
        result(command.close())

    def deliver(self, relay: PostgresQueue, seed: int) -> None:
        """Claim, mark and settle until the orders are given and nothing waits."""
        chance = random.Random(seed)
        while True:
            over = self.ordered.is_set()
            claims = result(relay.claim(NOW, 20, LEASE))
            chance.shuffle(claims)
            for claim in claims:
                self.work_on(relay, claim, chance)
            if over and not claims:
                return

    def work_on(self, relay: PostgresQueue, claim: Claim, chance: random.Random) -> None:
        indexes = [pending.index for pending in claim.pending]
        try:
            result(relay.note_in_flight(claim.id, indexes))
        except LeaseLost:
            return
        match chance.randrange(4):
            case 0:
                verdicts = [Verdict(index, LATER, NOW) for index in indexes]
            case 1:
                result(relay.release(claim, NOW))
                return
            case _:
                verdicts = [Verdict(index, TOOK) for index in indexes]
        result(relay.settle(Settlement(claim, verdicts, NOW)))
