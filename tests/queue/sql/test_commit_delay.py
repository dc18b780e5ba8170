"""Operations that come in the same turns of the reactor share a commit, and a lone one does not wait."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.queue.sql.commit_delay import MAX_BATCH, MAX_TURNS, TurnDelay

# The time of a turn on the clock of these tests, which would run a call that is due at once in the same turn.
_TURN = 0.001


class TurnDelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.waiting = 1
        #: The operations of each commit.
        self.commits: list[int] = []
        self.delay = self.new_delay()
        self.delay.note(2)

    def new_delay(self) -> TurnDelay:
        return TurnDelay(
            lambda delay, call: self.clock.callLater(delay + _TURN, call), lambda: self.waiting, self.start
        )

    def start(self) -> None:
        self.commits.append(self.waiting)

    def turn(self, more: int = 0) -> None:
        """Bring more operations in a turn of the reactor."""
        self.waiting += more
        self.clock.advance(_TURN)

    def test_the_first_commit_does_not_wait(self):
        self.assertFalse(self.new_delay().begin())

    def test_a_commit_after_one_with_a_lone_operation_does_not_wait(self):
        self.delay.note(1)
        self.assertFalse(self.delay.begin())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_commit_without_an_urgent_operation_changes_nothing(self):
        self.delay.note(0)
        self.assertTrue(self.delay.begin())

    def test_operations_of_the_same_turn_share_a_commit(self):
        self.assertTrue(self.delay.begin())
        self.waiting = 3
        self.assertTrue(self.delay.begin())
        self.assertEqual(self.commits, [])
        self.turn()
        self.turn()
        self.assertEqual(self.commits, [3])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_commit_waits_for_further_turns_while_they_bring_operations(self):
        self.delay.begin()
        for _ in range(3):
            self.turn(2)
            self.assertEqual(self.commits, [])
        self.turn(0)
        self.assertEqual(self.commits, [7])

    def test_an_operation_that_stays_alone_waits_for_the_rest_of_its_turn_only(self):
        self.delay.begin()
        self.turn()
        self.assertEqual(self.commits, [1])

    def test_a_commit_waits_for_a_bounded_number_of_turns(self):
        self.delay.begin()
        for _ in range(MAX_TURNS - 1):
            self.turn(1)
        self.assertEqual(self.commits, [])
        self.turn(1)
        self.assertEqual(self.commits, [MAX_TURNS + 1])

    def test_a_full_batch_does_not_wait(self):
        self.delay.begin()
        self.turn(MAX_BATCH)
        self.assertEqual(self.commits, [MAX_BATCH + 1])

    def test_the_end_starts_the_commit_at_once_and_only_once(self):
        self.delay.begin()
        self.delay.end()
        self.delay.end()
        self.turn()
        self.assertEqual(self.commits, [1])
