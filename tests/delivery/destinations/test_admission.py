"""The mail without room: its shared due times, its release, and the budget of mail for unproven destinations."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from harness.mail import claim
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.admission import Overflow, Overflows, UnprovenBudget
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.event_log.log import EventLog
from mta.queue.interface import QueueError

NOW = 1_000_000.0
LONGEST = 60.0


class Releases:
    """Overflows whose releases the test answers; `wanted` is what there is room for."""

    def __init__(self) -> None:
        self.clock = NOW
        self.wanted = 0
        self.asked: list[tuple[float, float, int]] = []
        self.answers: list[Deferred[int]] = []
        self.woken = 0
        self.lines: list[str] = []
        context = DeliveryContext(Clock(), lambda: self.clock, EventLog(self.lines.append, lambda: self.clock))
        self.overflows = Overflows(self.release, self.wake, longest=LONGEST, context=context)

    def release(self, due: float, now: float, limit: int) -> "Deferred[int]":
        self.asked.append((due, now, limit))
        self.answers.append(Deferred())
        return self.answers[-1]

    def wake(self) -> None:
        self.woken += 1

    def new(self) -> Overflow:
        return self.overflows.new(lambda: self.wanted)

    def with_mail(self, count: int, wanted: int) -> Overflow:
        """Return an overflow with so many messages, of which some are wanted."""
        overflow = self.new()
        for _ in range(count):
            overflow.put()
        self.wanted = wanted
        overflow.release_if_wanted()
        return overflow


def test_all_mail_shares_a_due_time_until_it_has_passed() -> None:
    releases = Releases()
    overflow = releases.new()
    first = overflow.put()
    assert NOW + LONGEST - 2 <= first <= NOW + LONGEST
    releases.clock = first - 0.1
    assert overflow.put() == first
    assert overflow.count == 2
    assert overflow.needed
    releases.clock = first
    assert not overflow.needed
    assert first < overflow.put() <= first + LONGEST
    assert overflow.count == 1


def test_a_slow_destination_has_its_mail_looked_at_once_a_minute() -> None:
    releases = Releases()
    overflow = releases.new()
    times = set()
    for _ in range(6000):
        releases.clock += 0.1
        times.add(overflow.put())
    assert len(times) <= 11


@settings(max_examples=100)
@given(st.lists(st.floats(-1000, 100), max_size=30))
def test_a_due_time_is_never_past_and_never_later_than_the_longest(steps: list[float]) -> None:
    releases = Releases()
    overflow = releases.new()
    for elapsed in steps:
        releases.clock += elapsed
        assert releases.clock < overflow.put() <= releases.clock + LONGEST


def test_each_overflow_has_due_times_of_its_own() -> None:
    releases = Releases()
    assert len({releases.new().put() for _ in range(1000)}) == 1000


def test_mail_is_released_once_it_is_wanted_and_by_one_request_at_a_time() -> None:
    releases = Releases()
    overflow = releases.with_mail(10, wanted=0)
    assert releases.asked == []
    releases.wanted = 4
    overflow.release_if_wanted()
    assert overflow.needed
    due = overflow.put()
    overflow.release_if_wanted()
    assert releases.asked == [(due, NOW, 4)]
    assert releases.woken == 0
    releases.answers[0].callback(4)
    assert releases.woken == 1
    assert overflow.count == 7
    overflow.release_if_wanted()
    assert len(releases.asked) == 2


def test_an_overflow_without_mail_asks_for_none() -> None:
    releases = Releases()
    releases.with_mail(0, wanted=4)
    assert releases.asked == []


def test_fewer_messages_than_asked_for_are_the_last_ones() -> None:
    releases = Releases()
    overflow = releases.with_mail(10, wanted=4)
    releases.answers[0].callback(1)
    assert overflow.count == 0
    assert not overflow.needed
    assert releases.woken == 1
    assert len(releases.asked) == 1


def test_mail_that_comes_during_the_last_release_is_released_after_it() -> None:
    releases = Releases()
    overflow = releases.with_mail(3, wanted=4)
    overflow.put()
    assert overflow.needed
    releases.answers[0].callback(3)
    assert len(releases.asked) == 2
    releases.answers[1].callback(1)
    assert overflow.count == 0
    assert releases.woken == 2


def test_a_release_of_an_earlier_due_time_leaves_the_count_of_the_new_one() -> None:
    releases = Releases()
    overflow = releases.with_mail(10, wanted=4)
    releases.clock += LONGEST
    overflow.put()
    releases.answers[0].callback(4)
    assert overflow.count == 1


def test_a_release_that_fails_is_trouble_and_is_tried_again_at_the_next_chance() -> None:
    releases = Releases()
    overflow = releases.with_mail(10, wanted=4)
    releases.answers[0].errback(QueueError("disk on fire"))
    (line,) = releases.lines
    assert " trouble " in line
    assert "disk on fire" in line
    assert overflow.count == 10
    assert len(releases.asked) == 1
    assert releases.woken == 0
    overflow.release_if_wanted()
    releases.answers[1].callback(4)
    assert overflow.count == 6
    assert releases.woken == 1


def test_after_the_close_no_mail_is_released() -> None:
    releases = Releases()
    overflow = releases.with_mail(10, wanted=0)
    releases.overflows.closed = True
    releases.wanted = 4
    overflow.release_if_wanted()
    assert releases.asked == []


def _jobs(count: int) -> list[Job]:
    return [Job(claim("bob@b.test"), NOW) for _ in range(count)]


def _budget(limits: DeliveryLimits) -> UnprovenBudget:
    return UnprovenBudget(limits, Releases().overflows)


def test_unproven_destinations_have_three_quarters_of_the_room() -> None:
    unproven = _budget(DeliveryLimits(jobs=8))
    jobs = _jobs(6)
    for job in jobs:
        assert not unproven.full
        unproven.add(job)
        unproven.add(job)
    assert unproven.full
    unproven.remove(jobs[0])
    unproven.remove(jobs[0])
    assert not unproven.full


def test_the_octets_of_bodies_count_like_the_number_of_messages() -> None:
    (job,) = _jobs(1)
    size = job.claim.body.size
    unproven = _budget(DeliveryLimits(job_octets=size * 4 // 3))
    unproven.add(job)
    assert unproven.full
    unproven.remove(job)
    assert not unproven.full
    capped = _budget(DeliveryLimits(job_octets=size * 4 // 3, body_octets=size // 2))
    capped.add(job)
    assert not capped.full


def test_removing_a_message_that_was_not_counted_changes_no_count() -> None:
    unproven = _budget(DeliveryLimits(jobs=1, unproven=1.0))
    one, other = _jobs(2)
    unproven.add(one)
    unproven.remove(other)
    assert unproven.full


def _removed_until_release(limits: DeliveryLimits, jobs: list[Job]) -> tuple[int, int]:
    """Return how many of these messages had left the budget when mail was released, and how many that could be."""
    releases = Releases()
    unproven = UnprovenBudget(limits, releases.overflows)
    for job in jobs:
        unproven.add(job)
    assert unproven.next_try() <= NOW + LONGEST
    for removed, job in enumerate(jobs, start=1):
        unproven.remove(job)
        if releases.asked:
            return removed, releases.asked[0][2]
    raise AssertionError("no mail was released")


def test_mail_beyond_the_budget_is_released_when_half_of_the_budget_is_free() -> None:
    assert _removed_until_release(DeliveryLimits(jobs=1000, claims=10), _jobs(750)) == (375, 375)
    assert _removed_until_release(DeliveryLimits(jobs=8, claims=10), _jobs(6)) == (3, 10)


def test_half_of_the_budget_is_half_of_its_octets_too() -> None:
    jobs = _jobs(20)
    octets = sum(job.claim.body.size for job in jobs)
    assert _removed_until_release(DeliveryLimits(job_octets=octets * 4 // 3), jobs)[0] in (10, 11)
