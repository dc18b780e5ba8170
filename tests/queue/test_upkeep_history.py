"""The age limit of the history, and the room for mail."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import mail
from mta.message.outcome import Delivered
from mta.queue.disk.space import RESERVE, assess_space
from mta.queue.interface import Query, QueueError, Settlement, Space, Verdict
from mta.queue.memory import MemoryQueue
from mta.queue.upkeep import BATCH, BATCH_PAUSE, NOTICE_INTERVAL, HistoryKeeper, SpaceKeeper

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
        self.keeper = HistoryKeeper(self.queue, 7, wall_clock=lambda: self.now, trouble=self.troubles.append)

    def finish(self) -> None:
        """Have a message added and delivered now."""
        claim = self.successResultOf(self.queue.add(mail("bob@b.test"), self.now, 60.0))
        assert claim is not None
        self.successResultOf(self.queue.settle(Settlement(claim, [Verdict(0, Delivered("250 ok", "mx"))], self.now)))

    def known(self) -> int:
        return len(self.successResultOf(self.queue.find(Query(finished=True))))

    def test_messages_finished_long_enough_ago_are_dropped(self) -> None:
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
        answer.callback(BATCH)
        assert self.successResultOf(again) == BATCH_PAUSE

    def test_it_forgets_faster_than_mail_can_come(self) -> None:
        assert BATCH / BATCH_PAUSE > 4000

    def test_a_queue_that_cannot_forget_is_told_of(self) -> None:
        self.queue.answer = fail(QueueError("disk on fire"))
        assert self.successResultOf(self.keeper.forget()) is None
        assert "disk on fire" in self.troubles[0]


class SmallDisk(MemoryQueue):
    """A queue on a disk that has so many octets free besides the history, each message of which takes some."""

    def __init__(self, octets: int, each: int, finished: int) -> None:
        super().__init__()
        self.octets = octets
        self.each = each
        self.finished = finished
        self.broken = False

    def space(self) -> Deferred[Space]:
        if self.broken:
            return fail(QueueError("disk on fire"))
        return succeed(assess_space(self.octets - self.each * self.finished, 0))

    def forget(self, before: float, limit: int = 10_000) -> Deferred[int]:
        assert before > 1e18, "whatever its age"
        count = min(limit, self.finished)
        self.finished -= count
        return succeed(count)


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW
        self.notices: list[str] = []
        self.troubles: list[str] = []

    def keeper(self, queue: SmallDisk) -> SpaceKeeper:
        return SpaceKeeper(queue, wall_clock=lambda: self.now, notice=self.notices.append, trouble=self.troubles.append)

    def look(self, keeper: SpaceKeeper) -> None:
        assert self.successResultOf(keeper.look()) is None

    def test_the_history_makes_room_before_mail_is_refused(self) -> None:
        queue = SmallDisk(RESERVE * 2, 1000, 28_611)
        self.look(self.keeper(queue))
        assert 0 < queue.finished < 28_611
        assert not self.successResultOf(queue.space()).short
        (line,) = self.notices
        assert line.startswith(f"the history makes room for mail: its {28_611 - queue.finished} oldest messages")
        assert self.troubles == []

    def test_a_history_that_leaves_room_stays_without_a_notice(self) -> None:
        queue = SmallDisk(RESERVE * 2, 1000, 7_000)
        self.look(self.keeper(queue))
        assert (queue.finished, self.notices, self.troubles) == (7_000, [], [])

    def test_the_history_that_goes_is_told_once_an_hour(self) -> None:
        queue = SmallDisk(RESERVE * 2, 1000, 8_000)
        keeper = self.keeper(queue)
        for _ in range(1000):
            queue.finished += 1000
            self.look(keeper)
            self.now += NOTICE_INTERVAL / 100
        assert 9 <= len(self.notices) <= 11

    def test_a_disk_that_mail_itself_has_filled_is_told_and_that_it_is_over(self) -> None:
        queue = SmallDisk(RESERVE - 1, 0, 0)
        keeper = self.keeper(queue)
        for _ in range(100):
            self.look(keeper)
        (line,) = self.troubles
        assert line == "mail is answered 452: only 9 MiB free on the queue's disk: free space under QUEUE_DIR"
        self.now += NOTICE_INTERVAL
        self.look(keeper)
        assert len(self.troubles) == 2
        queue.octets = RESERVE * 2
        self.look(keeper)
        self.look(keeper)
        assert self.notices == ["the queue's disk has room for mail again"]

    def test_free_pages_of_the_file_are_room_for_small_messages_alone(self) -> None:
        queue = SmallDisk(0, 0, 0)
        queue.space = lambda: succeed(assess_space(4096, 2 * RESERVE))  # type: ignore[method-assign]
        self.look(self.keeper(queue))
        (line,) = self.troubles
        assert line.startswith(
            "messages over 256 KiB are answered 452: only 4 KiB free on the queue's disk; smaller ones"
        )
        assert "20 MiB of free pages" in line

    def test_a_queue_that_cannot_be_asked_is_told_of(self) -> None:
        queue = SmallDisk(0, 0, 0)
        queue.broken = True
        self.look(self.keeper(queue))
        assert self.troubles == ["the free space of the queue could not be determined: disk on fire"]
