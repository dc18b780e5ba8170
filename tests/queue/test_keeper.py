from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from mta.message.outcome import Delivered
from mta.queue.interface import Query, QueueError, Verdict
from mta.queue.keeper import AGAIN, HANDFUL, HistoryKeeper
from mta.queue.memory import MemoryQueue
from tests.fakes.mail import mail

NOW = 1_000_000.0
DAY = 86400.0


class History(MemoryQueue):
    """A queue whose `forget` can be made to say something else."""

    answer: Deferred[int] | None = None

    def forget(self, before: float, limit: int = 10_000) -> Deferred[int]:
        return super().forget(before, limit) if self.answer is None else self.answer


class KeeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW
        self.queue = History()
        self.troubles: list[str] = []
        self.keeper = HistoryKeeper(self.queue, 7, wall=lambda: self.now, trouble=self.troubles.append)

    def finish(self) -> None:
        """Have a message added and delivered now."""
        claim = self.successResultOf(self.queue.add(mail("bob@b.test"), self.now, 60.0))
        assert claim is not None
        self.successResultOf(self.queue.settle(claim, [Verdict(0, Delivered("250 ok", "mx"))], self.now))

    def known(self) -> int:
        return len(self.successResultOf(self.queue.find(Query(finished=True))))

    def test_what_was_finished_long_enough_ago_is_forgotten(self) -> None:
        self.finish()
        self.now += 3 * DAY
        self.finish()
        self.now += 5 * DAY
        assert self.successResultOf(self.keeper.forget()) is None
        assert self.known() == 1

    def test_it_wants_to_come_again_soon_when_there_may_be_more(self) -> None:
        answer: Deferred[int] = Deferred()
        self.queue.answer = answer
        again = self.keeper.forget()
        answer.callback(HANDFUL)
        assert self.successResultOf(again) == AGAIN

    def test_it_forgets_faster_than_mail_can_come(self) -> None:
        assert HANDFUL / AGAIN > 4000

    def test_a_queue_that_cannot_forget_is_told_of(self) -> None:
        self.queue.answer = fail(QueueError("disk on fire"))
        assert self.successResultOf(self.keeper.forget()) is None
        assert "disk on fire" in self.troubles[0]
