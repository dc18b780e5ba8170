"""A group commit waits for the operations of the same turns of the reactor while clients send together."""

from twisted.internet.task import Clock

from mta.queue.interface import QueueError
from mta.queue.sql.commit_delay import BACKGROUND
from mta.queue.sqlite.group_commit import GroupCommit
from tests.queue.sqlite.commit_case import CommitCase
from tests.queue.sqlite.test_group_commit import ByHand


class SharedTurnTests(CommitCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.thread = ByHand()
        self.commit = GroupCommit(self.connection, self.thread, call_later=self.clock.callLater)

    def turns(self) -> None:
        """Run turns of the reactor that bring nothing."""
        for _ in range(3):
            self.clock.advance(0)

    def send_together(self) -> None:
        """Commit operations of three clients, of which two come during the commit of the first."""
        for number in (1, 2, 3):
            self.insert(number)
        self.thread.crank()
        self.thread.crank()
        self.assertEqual((self.stored(), self.thread.waiting), ([1, 2, 3], []))

    def test_clients_that_send_together_share_a_commit(self):
        self.send_together()
        done = [self.insert(number) for number in (4, 5, 6)]
        self.assertEqual(self.thread.waiting, [])
        self.turns()
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.crank()
        self.assertEqual([self.successResultOf(each) for each in done], [4, 5, 6])
        self.assertEqual((self.stored(), self.thread.waiting), ([1, 2, 3, 4, 5, 6], []))

    def test_a_lone_client_waits_for_no_turn(self):
        for number in (1, 2, 3):
            self.insert(number)
            self.thread.crank()
        self.assertEqual(self.stored(), [1, 2, 3])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_lone_client_waits_for_no_turn_beside_operations_that_are_not_urgent(self):
        for number in (1, 2, 3):
            self.insert(number + 10, max_delay=BACKGROUND)
            self.insert(number + 20, max_delay=BACKGROUND)
            self.insert(number)
            self.assertEqual(len(self.thread.waiting), 1)
            self.thread.crank()

    def test_a_client_that_is_alone_again_waits_for_the_rest_of_one_turn(self):
        self.send_together()
        self.insert(4)
        self.clock.advance(0)
        self.thread.crank()
        self.insert(5)
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.crank()
        self.assertEqual(self.stored(), [1, 2, 3, 4, 5])

    def test_operations_that_wait_when_a_commit_ends_are_committed_at_once(self):
        self.send_together()
        self.insert(4)
        self.turns()
        self.insert(5)
        self.thread.crank()
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.crank()
        self.assertEqual(self.stored(), [1, 2, 3, 4, 5])

    def test_an_operation_that_fails_fails_alone(self):
        self.send_together()
        good, bad = self.insert(4), self.insert(1)
        self.turns()
        while self.thread.waiting:
            self.thread.crank()
        self.successResultOf(good)
        self.failureResultOf(bad, QueueError)
        self.assertEqual(self.stored(), [1, 2, 3, 4])

    def test_closing_waits_for_no_turn(self):
        self.send_together()
        done = self.insert(4)
        closed = self.commit.close()
        self.assertNoResult(closed)
        self.thread.crank()
        self.successResultOf(closed)
        self.successResultOf(done)
        self.assertEqual((self.stored(), self.clock.getDelayedCalls()), ([1, 2, 3, 4], []))
