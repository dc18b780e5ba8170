"""The due time from which claims look."""

import math

from mta.queue.postgres.mail.claim_start import WHOLE_EVERY, ClaimStart
from tests.queue.messages import NOW


def after_a_claim(due: float = NOW - 50) -> ClaimStart:
    start = ClaimStart()
    assert start.next(NOW) == -math.inf
    start.found(due)
    return start


def test_a_claim_looks_a_little_before_the_least_due_time_of_the_last_one() -> None:
    start = after_a_claim()
    assert start.next(NOW + 1) == NOW - 51
    start.found(NOW - 20)
    assert start.next(NOW + 2) == NOW - 21


def test_a_claim_that_found_nothing_changes_nothing() -> None:
    start = after_a_claim()
    assert [start.next(NOW + 1), start.next(NOW + 2)] == [NOW - 51, NOW - 51]


def test_now_and_then_a_claim_looks_from_the_beginning() -> None:
    start = after_a_claim()
    assert start.next(NOW + WHOLE_EVERY - 1) == NOW - 51
    assert start.next(NOW + WHOLE_EVERY) == -math.inf
    start.found(NOW)
    assert start.next(NOW + WHOLE_EVERY + 1) == NOW - 1


def test_a_claim_looks_from_the_beginning_once_if_it_is_told_to() -> None:
    start = after_a_claim()
    start.look_from_the_beginning()
    assert start.next(NOW + 1) == -math.inf
    start.found(NOW - 10)
    assert start.next(NOW + 2) == NOW - 11


def test_a_claim_looks_from_the_beginning_if_the_clock_was_set_back() -> None:
    assert after_a_claim().next(NOW - 1) == -math.inf
