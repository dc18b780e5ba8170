"""Tasks that one of several relays does for all: in turn, until their end, and not while the database is away."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from mta.daemon.queues.turns import in_turn
from mta.queue.interface import QueueError


class TurnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.waits: list[float | None] = []
        self.asked: list[tuple[str, float]] = []
        self.mine = True

    def look(self) -> "Deferred[float | None]":
        return succeed(self.waits.pop(0))

    def has_turn(self, chore: str, interval: float) -> "Deferred[bool]":
        self.asked.append((chore, interval))
        return succeed(self.mine)

    def test_a_relay_alone_does_it_always(self) -> None:
        look = self.look
        self.assertIs(in_turn(look, "forget", 300.0, None), look)

    def test_a_turn_lasts_until_the_task_needs_no_further_call(self) -> None:
        task = in_turn(self.look, "forget", 300.0, self.has_turn)
        self.waits = [0.4, 0.4, None, None]
        for wait in (0.4, 0.4, None, None):
            self.assertEqual(self.successResultOf(task()), wait)
        self.assertEqual(self.asked, [("forget", 300.0)] * 2)

    def test_without_a_turn_nothing_is_done(self) -> None:
        self.mine = False
        task = in_turn(self.look, "audit", 900.0, self.has_turn)
        self.assertIsNone(self.successResultOf(task()))

    def test_nothing_is_done_while_the_database_is_away(self) -> None:
        task = in_turn(self.look, "audit", 900.0, lambda _chore, _interval: fail(QueueError("away")))
        self.assertIsNone(self.successResultOf(task()))
