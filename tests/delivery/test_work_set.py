"""The messages in work are bounded by their number and by the memory of their bodies."""

from harness.mail import claim
from mta.delivery.claimer import WorkSet
from mta.delivery.job import Job
from mta.delivery.limits import DeliveryLimits


def _job() -> Job:
    return Job(claim("bob@b.test"), 0.0)


def test_the_number_of_messages_is_bounded() -> None:
    work, jobs = WorkSet(DeliveryLimits(jobs=2)), [_job(), _job()]
    for free, job in enumerate(reversed(jobs)):
        assert work.room() == 2 - free
        assert work.has_room_for(1)
        work.add(job)
    assert not work.has_room_for(1)
    assert work.room() == 0
    work.remove(jobs[0])
    assert work.has_room_for(1)
    assert set(work.jobs) == {jobs[1].claim.id}


def test_the_octets_of_the_bodies_are_bounded() -> None:
    job = _job()
    size = job.claim.body.size
    work = WorkSet(DeliveryLimits(jobs=100, job_octets=4 * size))
    work.add(job)
    assert work.room() == 75
    assert work.has_room_for(3 * size)
    assert not work.has_room_for(3 * size + 1)


def test_a_body_in_a_file_counts_as_the_largest_one_in_memory() -> None:
    work = WorkSet(DeliveryLimits(job_octets=1000, body_octets=500))
    assert work.has_room_for(1_000_000)
    job = _job()
    work.add(job)
    assert work.has_room_for(1_000_000) is (job.claim.body.size <= 500)
