"""Operations on lanes: their answers, and what becomes of them when the outcome of a batch is not known."""

from twisted.internet.defer import Deferred, fail

from mta.queue.interface import Claim, LeaseLost, QueueError
from mta.queue.postgres.errors import Conflict, DatabaseAway, OutcomeUnknown
from mta.queue.postgres.lanes.gathering import ENOUGH, PATIENCE, PAUSE
from mta.queue.postgres.lanes.lane import Lane
from mta.queue.postgres.lanes.operations import AddOperation, EndOperation, MarkOperation
from mta.queue.sql.commit_delay import BACKGROUND
from tests.queue.messages import LEASE, NOW, mail
from tests.queue.postgres.lanes.lane_case import LaneCase, claim_like, number_of, plain_end


class LosingLane(Lane):
    """A lane that loses its connection after the commit of a batch, `losses` times, and then calls `after`."""

    losses = 1

    def offer(self, *args, **options):
        result = super().offer(*args, **options)
        if self.losses:
            self.losses -= 1
            self.session.close()
            self.after()
            raise OutcomeUnknown("the connection was lost")
        return result

    def after(self):
        """Do nothing."""


class ConflictingLane(Lane):
    """A lane on which other transactions are in the way of what the reactor's thread begins, `conflicts` times."""

    conflicts = 0

    def begin(self, node, batch):
        if not self.session.connected:
            return None
        self.conflicts += 1
        return fail(Conflict("another transaction was in the way"))


class KeepingLane(LosingLane):
    """A lane whose database is away whenever it is to withdraw messages."""

    def offer(self, *args, withdrawn=(), **options):
        if withdrawn:
            raise DatabaseAway("the database is away")
        return super().offer(*args, **options)


class AnswerTests(LaneCase):
    def test_operations_that_gather_share_a_transaction_and_its_count(self):
        claims = [self.claimed("a@example.test", "b@example.test") for _ in range(3)]
        ends = [self.lanes.submit(EndOperation(plain_end(claim))) for claim in claims]
        for end in ends:
            self.assertNoResult(end)
        self.clock.advance(BACKGROUND)
        self.assertEqual([self.successResultOf(end) for end in ends], [True] * 3)
        row = self.lane_row()
        self.assertEqual((row["accepted"], row["delivered"]), (6, 6))
        self.assertEqual(self.waiting(), [])

    def test_works_that_only_read_commit_nothing(self):
        self.claimed()
        before = self.versions()
        read = self.lanes.read(lambda change: change.rows("SELECT count(*) FROM message")[0][0])
        self.assertEqual(self.successResultOf(read), 1)
        self.assertEqual(self.versions(), before)
        self.successResultOf(self.lanes.work(lambda change: change.rows("SELECT count(*) FROM message")))
        self.assertNotEqual(self.versions(), before)

    def versions(self):
        """Return the transactions that wrote the rows of the lanes."""
        return self.tables.look.execute("SELECT xmin::text FROM lane ORDER BY node, n").fetchall()

    def test_a_work_that_only_reads_is_repeated_after_a_lost_connection(self):
        self.claimed()
        self.cut()
        read = self.lanes.read(lambda change: change.rows("SELECT count(*) FROM message")[0][0])
        self.assertEqual(self.successResultOf(read), 1)

    def test_a_message_that_is_there_already_fails_alone(self):
        known, other = mail(), mail()
        self.claim_of(known)
        with_known = [self.lanes.submit(self.add_operation(new)) for new in (known, other)]
        self.assertIn("in the queue already", str(self.failureResultOf(with_known[0], QueueError).value))
        self.assertIsInstance(self.successResultOf(with_known[1]), Claim)

    def test_a_mark_is_refused_once_the_claim_is_gone(self):
        claim = self.claimed()
        marked = self.lanes.submit(MarkOperation(claim.id, 1, [0], self.lanes.deadline, frozenset([7])))
        self.clock.advance(BACKGROUND)
        self.assertEqual(self.successResultOf(marked), {7})
        self.assertEqual(self.lane_row()["sending"], f'{{"{number_of(claim)}":[[0,0]]}}')
        self.tables.look.execute("UPDATE message SET node = NULL, token = 2")
        late = self.lanes.submit(MarkOperation(claim.id, 1, [0], self.lanes.deadline))
        self.clock.advance(BACKGROUND)
        self.failureResultOf(late, LeaseLost)

    def test_a_mark_of_a_lost_claim_does_not_refuse_that_of_the_next_one_in_the_same_batch(self):
        claim = self.claimed()
        # The relay has claimed the message again, after its node was fenced off or its lease was over.
        self.tables.look.execute("UPDATE message SET token = 3")
        marks = [MarkOperation(claim.id, token, [0], self.lanes.deadline) for token in (1, 3, 1)]
        lost, held, lost_too = [self.lanes.submit(mark) for mark in marks]
        self.clock.advance(BACKGROUND)
        self.assertEqual(self.successResultOf(held), frozenset())
        for mark in (lost, lost_too):
            self.failureResultOf(mark, LeaseLost)

    def test_of_two_ends_in_the_same_batch_that_of_a_lost_claim_ends_nothing(self):
        new = mail()
        self.claim_of(new)
        self.tables.look.execute("UPDATE message SET token = 3")
        lost = self.lanes.submit(EndOperation(plain_end(claim_like(new))))
        self.lanes.submit(EndOperation(plain_end(claim_like(new, 3))))
        self.clock.advance(BACKGROUND)
        self.assertIs(self.successResultOf(lost), False)

    def test_results_are_noted_before_their_deferreds_fire(self):
        noted, new = [], mail()
        add = AddOperation(new, NOW, NOW + LEASE, NOW, self.lanes.deadline, added=noted.append)
        self.lanes.submit(add).addCallback(lambda _: noted.append("added"))
        settlement = plain_end(claim_like(new))
        end = EndOperation(settlement, noted.append, lambda _: fail(QueueError("it was ended")))
        self.lanes.submit(end).addCallback(lambda _: noted.append("ended"))
        self.clock.advance(BACKGROUND)
        self.assertEqual(noted, [claim_like(new), "added", settlement, "ended"])

    def test_an_end_of_a_lost_claim_has_the_result_of_another_way_to_settle_it(self):
        noted, other = [], Deferred()
        settlement = plain_end(claim_like(mail()))
        end = self.lanes.submit(EndOperation(settlement, noted.append, lambda lost: noted.append([lost]) or other))
        self.clock.advance(BACKGROUND)
        self.assertNoResult(end)
        other.callback(True)
        self.assertIs(self.successResultOf(end), True)
        self.assertEqual(noted, [[settlement]])

    def transactions_after_answers(self, number):
        """Return how many transactions added messages, each of which followed the answer to an operation of a batch."""
        self.lanes = self.lanes_of(self.lane, Lane(self.tables.new_session(), 1))
        for _ in range(number):
            answered = self.lanes.work(lambda _: None, urgent=False)
            answered.addCallback(lambda _: self.lanes.submit(self.add_operation(mail())))
        self.clock.advance(BACKGROUND)
        self.assertEqual(len(self.waiting()), number)
        return self.tables.look.execute("SELECT count(DISTINCT xmin::text) AS number FROM message").fetchone()["number"]

    def test_operations_to_which_the_answers_of_a_batch_lead_share_the_next_one(self):
        self.assertEqual(self.transactions_after_answers(ENOUGH - 1), 1)

    def test_an_operation_that_goes_with_an_urgent_one_has_no_timer_and_one_alone_has_one(self):
        def follow(_):
            self.lanes.submit(self.add_operation(mail()))
            done.append(self.lanes.work(lambda _: 1, urgent=False))
            self.assertEqual(self.clock.getDelayedCalls(), [])

        done = []
        self.lanes.work(lambda _: None, urgent=False).addCallback(follow)
        self.clock.advance(BACKGROUND)
        self.assertEqual(self.successResultOf(done[0]), 1)
        alone = self.lanes.work(lambda _: 2, urgent=False)
        self.assertNoResult(alone)
        self.clock.advance(BACKGROUND)
        self.assertEqual(self.successResultOf(alone), 2)

    def test_enough_of_them_do_not_wait_for_the_other_answers(self):
        self.assertEqual(self.transactions_after_answers(ENOUGH + 3), 2)

    def test_work_runs_in_the_transaction_of_the_lane(self):
        def work(change):
            change.counts.removed += 2
            return change.node

        self.assertEqual(self.successResultOf(self.lanes.work(work)), self.node)
        self.assertEqual(self.lane_row()["removed"], 2)

    def test_an_error_of_work_undoes_it_and_leaves_the_others(self):
        def fail(change):
            change.rows("UPDATE lane SET failed = 7 WHERE node = %(node)s", {"node": change.node})
            raise QueueError("no")

        done = [self.lanes.work(fail, urgent=False), self.lanes.work(lambda _: 1, urgent=False)]
        self.clock.advance(BACKGROUND)
        self.failureResultOf(done[0], QueueError)
        self.assertEqual(self.successResultOf(done[1]), 1)
        self.assertEqual(self.lane_row()["failed"], 0)

    def test_a_batch_that_another_transaction_was_in_the_way_of_is_offered_where_it_may_block(self):
        busy = ConflictingLane(self.tables.new_session(), 1)
        lanes = self.lanes_of(busy)
        for number in range(3):
            self.assertIsInstance(self.successResultOf(lanes.submit(self.add_operation(mail()))), Claim)
            self.assertEqual((busy.conflicts, len(self.waiting())), (number, number + 1))


class UnknownOutcomeTests(LaneCase):
    def test_a_lost_connection_is_made_anew_and_the_batch_offered_again(self):
        self.claimed()
        self.cut()
        self.claimed()
        self.assertEqual((len(self.waiting()), self.lane_row()["accepted"]), (2, 2))

    def test_a_batch_that_was_done_is_not_done_twice(self):
        new = mail("a@example.test", "b@example.test")
        lost = LosingLane(self.tables.new_session(), 0)
        lanes = self.lanes_of(lost)
        claim = self.successResultOf(lanes.submit(self.add_operation(new)))
        self.assertEqual((lost.losses, claim.id), (0, new.id))
        self.assertEqual((self.lane_row()["accepted"], self.waiting()), (2, [number_of(new)]))
        lost.losses = 1
        end = lanes.submit(EndOperation(plain_end(claim)))
        self.clock.advance(BACKGROUND)
        self.assertIs(self.successResultOf(end), True)
        self.assertEqual(self.lane_row()["delivered"], 2)

    def test_a_message_that_a_peer_has_by_then_is_accepted_without_a_claim(self):
        new = mail()
        lost = LosingLane(self.tables.new_session(), 0)
        lost.after = lambda: self.tables.look.execute("UPDATE message SET node = NULL, token = 2")
        self.assertIsNone(self.successResultOf(self.lanes_of(lost).submit(self.add_operation(new))))
        self.assertEqual((self.lane_row()["accepted"], self.waiting()), (1, [number_of(new)]))

    def test_a_message_that_a_peer_has_delivered_by_then_is_not_added_again(self):
        lost = LosingLane(self.tables.new_session(), 0)
        lanes = self.lanes_of(lost)

        def deliver():
            self.tables.look.execute("UPDATE message SET node = 99, token = 2")
            self.tables.look.execute(
                "WITH gone AS (DELETE FROM message RETURNING *) INSERT INTO history SELECT id, created, size,"
                " sender_local, sender_domain, client, helo, protocol, body_type, smtputf8, ret, envid, login,"
                " message_id, subject, author, tls, report_of, tls_demand, delay_reported, node, token, 1, false, '[]'"
                " FROM gone"
            )

        lost.after = deliver
        self.assertIsNone(self.successResultOf(lanes.submit(self.add_operation(mail()))))
        self.assertEqual(self.waiting(), [])

    def test_clients_wait_until_the_database_answers_again(self):
        self.claimed()
        self.shut()
        waiting = self.lanes.submit(self.add_operation(mail()))
        self.clock.advance(PAUSE)
        self.assertNoResult(waiting)
        self.assertIsInstance(self.lanes.trouble, DatabaseAway)
        self.shut(connectable=True)
        self.clock.advance(PAUSE)
        self.assertIsInstance(self.successResultOf(waiting), Claim)
        self.assertIsNone(self.lanes.trouble)

    def test_a_message_is_withdrawn_once_its_client_has_heard_that_it_was_refused(self):
        self.claimed()
        lost = LosingLane(self.tables.new_session(), 1)
        lost.after = self.shut
        lanes = self.lanes_of(lost)
        refused = lanes.submit(self.add_operation(mail("a@example.test", "b@example.test")))
        self.assertEqual(len(self.waiting()), 2)
        self.clock.advance(PATIENCE)
        lanes.give_up_late()
        self.failureResultOf(refused, QueueError)
        self.shut(connectable=True)
        self.clock.advance(PAUSE)
        self.assertEqual(len(self.waiting()), 1)
        self.assertEqual(sum(row["accepted"] for row in self.tables.rows("lane")), 1)
        self.assertEqual((len(self.tables.rows("recipient")), len(self.tables.rows("body"))), (1, 1))

    def test_operations_that_follow_an_answer_do_not_wait_until_a_message_is_withdrawn(self):
        keeping = KeepingLane(self.tables.new_session(), 1)
        keeping.after = self.shut
        lanes = self.lanes_of(keeping, self.lane)
        followed = lanes.work(lambda _: None, urgent=False)
        followed.addCallback(lambda _: lanes.submit(self.add_operation(mail())))
        refused = lanes.submit(self.add_operation(mail()))
        self.clock.advance(PATIENCE)
        lanes.give_up_late()
        self.failureResultOf(refused, QueueError)
        self.assertNoResult(followed)
        self.shut(connectable=True)
        self.clock.advance(PAUSE)
        self.assertIsInstance(self.successResultOf(followed), Claim)
        self.assertEqual(len(keeping.withdrawn), 1)

    def test_an_end_that_is_settled_in_another_way_is_not_given_up_with_its_batch(self):
        keeping = KeepingLane(self.tables.new_session(), 1)
        keeping.after = self.shut
        lanes, other = self.lanes_of(keeping, self.lane), Deferred()
        end = lanes.submit(EndOperation(plain_end(claim_like(mail())), otherwise=lambda _: other))
        refused = lanes.submit(self.add_operation(mail()))
        self.clock.advance(PATIENCE)
        lanes.give_up_late()
        self.failureResultOf(refused, QueueError)
        self.shut(connectable=True)
        self.clock.advance(PAUSE)
        self.assertEqual(len(keeping.withdrawn), 1)
        closed = lanes.close()
        self.clock.advance(PAUSE)
        self.successResultOf(closed)
        self.assertNoResult(end)
        other.callback(False)
        self.assertIs(self.successResultOf(end), False)

    def test_a_fenced_node_goes_on_as_the_next_one(self):
        self.claimed()
        old = self.node
        self.tables.look.execute("UPDATE lane SET fenced = true WHERE node = %s", [old])
        claim = self.claimed()
        self.assertEqual(self.fenced, [old])
        self.assertEqual({row["id"]: row["node"] for row in self.tables.rows("message")}[number_of(claim)], self.node)

    def test_only_the_newest_connection_of_a_lane_may_write(self):
        self.claimed()
        other = self.lanes_of(Lane(self.tables.new_session(), 0))
        self.successResultOf(other.submit(self.add_operation(mail())))
        self.claimed()
        self.assertEqual(self.fenced, [self.node - 1])

    def test_closing_gives_up_those_that_the_database_does_not_answer(self):
        self.claimed()
        self.shut()
        waiting = self.lanes.submit(self.add_operation(mail()))
        closed = self.lanes.close()
        self.failureResultOf(waiting, QueueError)
        self.clock.advance(PAUSE)
        self.successResultOf(closed)
        self.shut(connectable=True)
        self.failureResultOf(self.lanes.submit(self.add_operation(mail())), QueueError)
