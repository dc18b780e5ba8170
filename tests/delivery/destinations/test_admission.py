"""The budget of mail for unproven destinations."""

from harness.mail import claim
from mta.delivery.destinations.admission import UnprovenBudget
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits

NOW = 1_000_000.0


def _jobs(count: int) -> list[Job]:
    return [Job(claim("bob@b.test"), NOW) for _ in range(count)]


def test_unproven_destinations_have_three_quarters_of_the_room() -> None:
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


def test_the_octets_of_bodies_count_like_the_number_of_messages() -> None:
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


def test_removing_a_message_that_was_not_counted_changes_no_count() -> None:
    unproven = UnprovenBudget(DeliveryLimits(jobs=1, unproven=1.0))
    one, other = _jobs(2)
    unproven.add(one)
    unproven.remove(other)
    assert unproven.full


def test_mail_comes_back_sooner_if_many_messages_leave() -> None:
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
