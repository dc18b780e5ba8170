from harness.mail import claim
from mta.delivery.destinations.admission import UnprovenBudget
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits

NOW = 1_000_000.0


def _jobs(count: int) -> list[Job]:
    return [Job(claim("bob@b.test"), NOW) for _ in range(count)]


def test_three_quarters_of_the_room_are_all_that_they_have() -> None:
    unproven = UnprovenBudget(DeliveryLimits(jobs=8))
    jobs = _jobs(6)
    for job in jobs:
        assert not unproven.full
        unproven.add(job)
        unproven.add(job)
    assert unproven.full
    unproven.remove(jobs[0])
    unproven.remove(jobs[0])
    assert not unproven.full


def test_octets_count_as_much() -> None:
    (job,) = _jobs(1)
    size = job.claim.body.size
    unproven = UnprovenBudget(DeliveryLimits(job_octets=size * 4 // 3))
    unproven.add(job)
    assert unproven.full
    unproven.remove(job)
    assert not unproven.full
    capped = UnprovenBudget(DeliveryLimits(job_octets=size * 4 // 3, body_octets=size // 2))
    capped.add(job)
    assert not capped.full


def test_who_was_never_counted_leaves_without_a_trace() -> None:
    unproven = UnprovenBudget(DeliveryLimits(jobs=1, unproven=1.0))
    one, other = _jobs(2)
    unproven.add(one)
    unproven.remove(other)
    assert unproven.full


def test_turns_come_sooner_where_many_leave() -> None:
    def turn(leaving: int) -> float:
        unproven = UnprovenBudget(DeliveryLimits(jobs=100, longest_requeue=60.0))
        for job in _jobs(75):
            unproven.add(job)
        unproven.next_try(NOW)
        for job in _jobs(leaving):
            unproven.add(job)
            unproven.remove(job)
        return unproven.next_try(NOW + 10)

    assert NOW + 10 < turn(1000) < turn(10) <= NOW + 70
