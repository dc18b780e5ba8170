"""Signs of life: who may take others over, and the database's clock."""

import math
import time

from hypothesis import given
from hypothesis import strategies as st

from mta.queue.postgres.membership.heartbeat import INTERVAL, RETRY, Beat, Beats, DatabaseClock, beat
from mta.queue.postgres.membership.node import LEASE
from mta.queue.postgres.membership.takeover import give_up
from tests.queue.postgres.shared_queue import SharedQueue


def beaten(*times: float, answer: float = 0.1) -> Beats:
    beats = Beats()
    for sent in times:
        beats.succeeded(sent, sent + answer)
    return beats


def test_a_node_may_take_over_once_it_has_given_signs_of_life_for_a_lease():
    beats = beaten(*range(0, 31, 5))
    assert not beats.may_take_over(30)
    assert beats.may_take_over(30.2)
    assert not Beats().may_take_over(1000)


def test_a_gap_begins_the_row_anew():
    for times in ([*range(0, 31, 5), 41], [0, 11, *range(15, 31, 5)]):
        assert not beaten(*times).may_take_over(41)
    assert beaten(0, 11, *range(15, 42, 5)).may_take_over(41.2)


def test_a_failed_sign_of_life_begins_the_row_anew():
    beats = beaten(*range(0, 31, 5))
    beats.failed()
    assert not beats.may_take_over(31)
    beats.succeeded(31, 31.1)
    assert not beats.may_take_over(40)


def test_a_node_that_was_stopped_may_not_take_over():
    assert not beaten(*range(0, 31, 5)).may_take_over(41)


def test_a_slow_answer_is_a_gap_too():
    beats = beaten(*range(0, 31, 5))
    beats.succeeded(35, 46)
    assert not beats.may_take_over(46)


@given(st.floats(2 * INTERVAL, 60), st.floats(0.001, 3))
def test_after_an_outage_the_other_relays_have_a_lease_to_come_back(outage: float, answer: float):
    beats = Beats()
    now, end = 0.0, 60 + outage
    first_after = math.inf
    while now < 200:
        if 60 <= now < end:
            beats.failed()
            now += RETRY
            continue
        beats.succeeded(now, now + answer)
        if now >= end:
            first_after = min(first_after, now)
        now += INTERVAL
        assert beats.may_take_over(now) == (LEASE + answer <= now - (first_after if now > end else 0))


def test_the_clock_is_the_median_of_the_shortest_round_trips():
    clock = DatabaseClock()
    assert clock.ahead is None
    clock.measure(10, 12, 1011)
    assert clock.ahead == 1000
    for number, (trip, error) in enumerate([(0.1, 0.01), (0.1, -0.01), (4, 2), (6, -3), (0.1, 0), (5, 2)]):
        clock.measure(number, number + trip, number + trip / 2 + 1000 + error)
    assert clock.ahead == 1000


def test_a_clock_that_was_set_is_followed():
    clock = DatabaseClock()
    for number in range(8):
        clock.measure(number, number + 0.1, number + 1000.05)
    for number in range(8, 14):
        clock.measure(number, number + 0.09, number + 2000.045)
    assert clock.ahead == 2000


def test_a_sign_of_life_prolongs_the_lease_and_counts_the_living_and_the_dead(shared: SharedQueue):
    mine, other, dead = shared.node(), shared.node(), shared.node()
    shared.let_lease_end(mine)
    shared.let_lease_end(dead)
    mover = shared.node("mover")
    shared.rows("UPDATE node SET alive_until = 'infinity' WHERE id = %(id)s", id=mover.id)
    found = beat(shared.session(), mine.id)
    assert (found.accepted, found.living, found.dead) == (True, (mine.id, other.id), 1)
    assert abs(found.time - time.time()) < 5
    assert shared.rows(
        "SELECT alive_until > clock_timestamp() + interval '25 s' FROM node WHERE id = %(id)s", id=mine.id
    )
    assert beat(shared.session(), other.id).living == (other.id, mine.id)


def test_a_fenced_node_learns_of_it_and_stays_fenced(shared: SharedQueue):
    node = shared.node()
    give_up(shared.session(), node.id)
    found = beat(shared.session(), node.id)
    assert found == Beat(False, (node.id,), 0, found.time)
    assert shared.rows("SELECT fenced FROM node WHERE id = %(id)s", id=node.id) == [(True,)]


def test_a_sign_of_life_does_not_wait_for_the_disk_or_a_standby_and_all_else_does(shared: SharedQueue):
    node, session = shared.node(), shared.session()
    with session.transaction():
        beat(session, node.id)
        assert session.rows("SHOW synchronous_commit") == [("off",)]
    assert session.rows("SHOW synchronous_commit") == [("on",)]
