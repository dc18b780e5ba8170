"""The delays between restarts of a worker."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mta.workers.supervisor import RestartBackoff, Restarts

SECONDS = st.floats(0, 1e6)


def test_the_first_time_a_worker_starts_again_at_once_and_then_after_ever_longer_waits():
    restarts = Restarts(RestartBackoff(first=1, factor=2, longest=5, settled=60))
    assert [restarts.wait(3) for _ in range(6)] == [0, 1, 2, 4, 5, 5]


def test_a_worker_that_lived_well_starts_again_at_once_and_counts_anew():
    restarts = Restarts(RestartBackoff(first=1, factor=2, longest=5, settled=60))
    assert [restarts.wait(lived) for lived in (3, 3, 3, 60, 3, 3)] == [0, 1, 2, 0, 1, 2]


@given(lives=st.lists(SECONDS, max_size=30))
@settings(max_examples=100)
def test_no_wait_is_longer_than_the_bound_and_no_worker_that_fails_at_once_starts_twice_without_one(lives):
    pace = RestartBackoff()
    restarts = Restarts(pace)
    waits = [restarts.wait(lived) for lived in lives]
    assert all(wait <= pace.longest for wait in waits)
    assert all(wait >= pace.first for wait, lived in list(zip(waits, lives, strict=True))[1:] if lived < pace.settled)
