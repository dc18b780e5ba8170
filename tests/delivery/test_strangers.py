from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits
from mta.delivery.strangers import Strangers
from tests.fakes.mail import claim

NOW = 1_000_000.0


def _jobs(count: int) -> list[Job]:
    return [Job(claim("bob@b.test"), NOW) for _ in range(count)]


def test_three_quarters_of_the_room_are_all_that_they_have() -> None:
    strangers = Strangers(DeliveryLimits(jobs=8))
    jobs = _jobs(6)
    for job in jobs:
        assert not strangers.full
        strangers.enter(job)
        strangers.enter(job)
    assert strangers.full
    strangers.leave(jobs[0])
    strangers.leave(jobs[0])
    assert not strangers.full


def test_octets_count_as_much() -> None:
    (job,) = _jobs(1)
    size = job.claim.body.size
    strangers = Strangers(DeliveryLimits(job_octets=size * 4 // 3))
    strangers.enter(job)
    assert strangers.full
    strangers.leave(job)
    assert not strangers.full
    capped = Strangers(DeliveryLimits(job_octets=size * 4 // 3, body_octets=size // 2))
    capped.enter(job)
    assert not capped.full


def test_who_was_never_counted_leaves_without_a_trace() -> None:
    strangers = Strangers(DeliveryLimits(jobs=1, strangers=1.0))
    one, other = _jobs(2)
    strangers.enter(one)
    strangers.leave(other)
    assert strangers.full


def test_turns_come_sooner_where_many_leave() -> None:
    def turn(leaving: int) -> float:
        strangers = Strangers(DeliveryLimits(jobs=100, longest_turn=60.0))
        for job in _jobs(75):
            strangers.enter(job)
        strangers.turn(NOW)
        for job in _jobs(leaving):
            strangers.enter(job)
            strangers.leave(job)
        return strangers.turn(NOW + 10)

    assert NOW + 10 < turn(1000) < turn(10) <= NOW + 70
