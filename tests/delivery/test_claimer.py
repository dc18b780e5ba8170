"""The claimer claims the messages that are due, as many as there is room for."""

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import mail
from mta.delivery.claimer import Claimer
from mta.delivery.context import DeliveryContext
from mta.delivery.limits import DeliveryLimits
from mta.event_log.log import EventLog
from mta.message.body import DamagedError
from mta.queue.interface import Claim, DeferralFilter, QueueError
from mta.queue.memory import MemoryQueue

NOW = 1_000_000.0


class BrokenQueue(MemoryQueue):
    broken = False

    def claim(
        self, now: float, limit: int, lease: float, deferral_filter: DeferralFilter | None = None
    ) -> "Deferred[list[Claim]]":
        return fail(QueueError("disk on fire")) if self.broken else super().claim(now, limit, lease, deferral_filter)


class Worker:
    def __init__(self, room: int) -> None:
        self.free = room
        self.taken: list[Claim] = []
        self.leave: DeferralFilter | None = None
        # How many are taken before a fault of ours shows.
        self.sound = 100

    def room(self) -> int:
        return self.free

    def deferral_filter(self) -> DeferralFilter | None:
        return self.leave

    def take(self, claim: Claim) -> None:
        self.sound -= 1
        if self.sound == 0:
            raise ZeroDivisionError
        self.taken.append(claim)
        self.free -= 1


class ClaimerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wall_clock = NOW
        self.queue = BrokenQueue()
        self.lines: list[str] = []
        self.worker = Worker(100)
        self.claimer = Claimer(
            self.queue,
            self.worker.take,
            room=self.worker.room,
            deferral_filter=self.worker.deferral_filter,
            limits=DeliveryLimits(claims=3, longest_sleep=60.0, queue_retry=5.0),
            context=DeliveryContext(
                self.clock, lambda: self.wall_clock, EventLog(self.lines.append, lambda: self.wall_clock)
            ),
        )

    def add(self, count: int = 1, due: float | None = None) -> None:
        for _ in range(count):
            self.successResultOf(self.queue.add(mail("bob@b.test"), self.wall_clock, due=due))

    def advance(self, seconds: float) -> None:
        self.wall_clock += seconds
        self.clock.advance(seconds)

    def test_all_due_messages_are_claimed_in_batches(self) -> None:
        self.add(8)
        self.claimer.start()
        assert len(self.worker.taken) == 3
        self.clock.pump([0, 0, 0])
        assert len(self.worker.taken) == 8

    def test_a_body_that_was_damaged_in_the_queue_is_not_delivered(self) -> None:
        self.successResultOf(self.queue.add(mail("bob@b.test", body=b"a\n.\nMAIL FROM:<x@b.test>\r\n"), NOW))
        self.claimer.start()
        (claim,) = self.worker.taken
        with self.assertRaisesRegex(DamagedError, "bare LF"):
            list(claim.body.chunks())

    def test_no_more_is_claimed_than_there_is_room_for(self) -> None:
        self.add(8)
        self.worker.free = 2
        self.claimer.start()
        self.clock.pump([0, 0])
        assert len(self.worker.taken) == 2
        self.worker.free = 100
        self.claimer.go_on()
        self.clock.pump([0, 0, 0])
        assert len(self.worker.taken) == 8

    def test_a_message_that_comes_due_later_is_claimed_then(self) -> None:
        self.add(due=NOW + 30)
        self.claimer.start()
        self.advance(29)
        assert self.worker.taken == []
        self.advance(1)
        assert len(self.worker.taken) == 1

    def test_a_clock_that_jumps_ahead_is_noticed_within_a_minute(self) -> None:
        self.add(due=NOW + 3600)
        self.claimer.start()
        self.wall_clock += 3600
        self.clock.advance(60)
        assert len(self.worker.taken) == 1

    def test_an_empty_queue_is_looked_into_now_and_then(self) -> None:
        self.claimer.start()
        self.add()
        self.advance(60)
        assert len(self.worker.taken) == 1

    def test_a_queue_that_fails_is_asked_again_and_no_message_is_forgotten(self) -> None:
        self.add()
        self.queue.broken = True
        self.claimer.start()
        assert "disk on fire" in self.lines[0]
        self.queue.broken = False
        self.advance(5)
        assert len(self.worker.taken) == 1

    def test_a_message_that_cannot_be_taken_up_holds_up_no_other(self) -> None:
        self.add(2)
        self.add(due=NOW + 30)
        self.worker.sound = 1
        self.claimer.start()
        assert len(self.worker.taken) == 1
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        self.advance(30)
        assert len(self.worker.taken) == 2

    def test_after_the_stop_nothing_is_claimed_and_no_timer_is_left(self) -> None:
        self.add(due=NOW + 30)
        self.claimer.start()
        self.claimer.stop()
        self.add()
        self.claimer.wake()
        assert self.worker.taken == []
        assert not self.clock.getDelayedCalls()
