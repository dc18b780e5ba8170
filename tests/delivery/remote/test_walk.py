"""Tests the walk of a delivery attempt over the hosts of a destination."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.mail import claim
from mta.delivery.remote.commands import NO_REQUIRETLS
from mta.delivery.remote.interface import ExcessRecipients, TransactionResult
from mta.delivery.remote.walk import FIRST_STEP, MOST_ADDRESSES, MOST_SESSIONS, Walk, sort_out, unsent, untried
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Pending
from mta.routing.route import Plan, Route
from mta.smtp.replies import reply

ROUTES = tuple(Route(f"mx{number}.test", f"192.0.2.{number}", 25) for number in range(1, 8))
PLAN = Plan("mx.test", ROUTES)
A, B, C = (route.label for route in ROUTES[:3])
LATER = TryLater("451 later", A, "4.0.0", reply=reply(451, "", "later"))
LOST = TryLater("connection lost", A, "4.4.2")
OURS = TryLater("cannot read the message body", "", "4.3.0")
TAKEN = Delivered("250 ok", A)
NO = Failed("550 no", A)
NOT_REACHED = TryLater("cannot connect", B, "4.4.1")


def recipients(count: int) -> tuple[Pending, ...]:
    return claim(*(f"u{number}@b.test" for number in range(count))).pending


def labels(routes: "tuple[Route, ...] | list[Route]") -> list[str]:
    return [route.label for route in routes]


def test_before_any_answer_every_route_may_be_tried() -> None:
    assert untried(PLAN, frozenset()) == ROUTES


def test_hosts_that_were_tried_are_left_out_and_count_towards_the_limit() -> None:
    assert list(untried(PLAN, frozenset((A, B)))) == list(ROUTES[2:5])


@pytest.mark.parametrize(("sessions", "left"), [(1, True), (MOST_SESSIONS, False)])
def test_a_walk_ends_after_the_largest_number_of_sessions(sessions: int, left: bool) -> None:
    walk = FIRST_STEP
    for label in (A, B)[:sessions]:
        walk = walk.after(frozenset((label,)), TransactionResult({0: LATER}), usable=True)
    assert bool(walk.next_routes(PLAN)) is left


def test_hosts_that_could_not_be_reached_a_moment_ago_are_left_out() -> None:
    walk = FIRST_STEP.after(frozenset((A,)), TransactionResult({0: LATER}), usable=True)
    assert walk.next_routes(PLAN, {B})[0].label == C
    assert not walk.next_routes(PLAN, {route.label for route in ROUTES})


def test_the_last_failure_of_a_host_is_the_answer() -> None:
    walk = FIRST_STEP.after(frozenset((A,)), TransactionResult({0: LATER, 1: TAKEN}), usable=True)
    assert walk.answers == {0: LATER}
    assert walk.unreached(NOT_REACHED).answers == {0: NOT_REACHED}
    assert walk.unreached(OURS).answers == {0: LATER}


LACKS = TryLater("REQUIRETLS is not offered, and the sender demands it", A, NO_REQUIRETLS)


def lacking(*hosts: str) -> Walk:
    """Return a walk over hosts that do not offer REQUIRETLS."""
    walk = FIRST_STEP
    for host in hosts:
        result = TransactionResult({0: replace(LACKS, host=host)})
        walk = walk.after(frozenset((host,)), result, usable=True)
    return walk


def test_a_message_that_no_host_offers_requiretls_for_fails_after_the_last_one() -> None:
    two = Plan("mx.test", ROUTES[:2])
    assert lacking(A).final_answers(two) == {0: LACKS}
    failed = lacking(A, B).final_answers(two)[0]
    assert failed == Failed("REQUIRETLS is not offered, and the sender demands it; no other host is left", B, "5.7.30")


def test_a_host_that_could_not_be_asked_may_offer_requiretls() -> None:
    two = Plan("mx.test", ROUTES[:2])
    walk = FIRST_STEP.after(frozenset((A, B)), TransactionResult({0: replace(LACKS, host=B)}), usable=True)
    assert walk.final_answers(two) == {0: replace(LACKS, host=B)}
    unreached = lacking(A).unreached(NOT_REACHED)
    assert unreached.final_answers(two) == unreached.final_answers(Plan("mx.test", ROUTES[:1])) == {0: NOT_REACHED}


def test_hosts_without_requiretls_are_no_sessions_of_a_walk() -> None:
    hosts = [route.label for route in ROUTES[:MOST_ADDRESSES]]
    assert lacking(*hosts[:-1]).next_routes(PLAN)
    walk = lacking(*hosts)
    assert not walk.next_routes(PLAN)
    assert isinstance(walk.final_answers(PLAN)[0], Failed)


def test_a_remote_that_replies_with_this_status_means_something_else() -> None:
    said = replace(LACKS, reply=reply(451, "4.7.30", "later"))
    walk = FIRST_STEP.after(frozenset((A,)), TransactionResult({0: said}), usable=True)
    assert walk.final_answers(Plan("mx.test", ROUTES[:1])) == {0: said}
    assert walk.sessions == 1


def test_recipients_are_sorted_by_their_answers() -> None:
    five = recipients(5)
    outcomes: dict[int, Outcome] = {0: TAKEN, 1: NO, 2: LATER, 3: OURS}
    parts = sort_out(five, TransactionResult(outcomes, excess=ExcessRecipients(frozenset((4,)), 2)))
    assert (parts.decided, parts.undecided, parts.excess) == ((five[0], five[1], five[3]), (five[2],), (five[4],))


def test_a_copy_may_exist_only_if_the_message_was_fully_sent_and_not_refused() -> None:
    outcomes: dict[int, Outcome] = {0: LATER, 1: LOST}
    assert unsent(TransactionResult(outcomes, fully_sent=True)) == {0}
    assert unsent(TransactionResult(outcomes, fully_sent=False)) == {0, 1}
    assert unsent(TransactionResult({0: TAKEN}, excess=ExcessRecipients(frozenset((1, 2)), 1))) == {1, 2}


outcomes_of = st.sampled_from([TAKEN, NO, LATER, LOST, OURS])


@given(st.lists(st.tuples(st.sampled_from(ROUTES), st.lists(outcomes_of, min_size=4, max_size=4)), min_size=1))
def test_every_recipient_ends_once_and_no_bound_is_passed(hosts: list[tuple[Route, list[Outcome]]]) -> None:
    """Walk over hosts that answer anything: each recipient gets one outcome, and each host is asked once."""
    waiting, walk, ended, asked = recipients(4), FIRST_STEP, dict[int, Outcome](), list[str]()
    for _, answers in hosts:
        routes = walk.next_routes(PLAN)
        if not routes:
            break
        label = routes[0].label
        assert label not in asked
        asked.append(label)
        given: Mapping[int, Outcome] = {each.index: answers[each.index] for each in waiting}
        walk = walk.after(frozenset((label,)), TransactionResult(given), usable=True)
        parts = sort_out(waiting, TransactionResult(given))
        for each in parts.decided:
            assert each.index not in ended
            ended[each.index] = given[each.index]
        waiting = parts.undecided
        if not waiting:
            break
    assert len(asked) <= min(MOST_SESSIONS, MOST_ADDRESSES)
    assert {*ended, *(each.index for each in waiting)} == {0, 1, 2, 3}
    assert all(walk.answers[each.index] in (LATER, LOST) for each in waiting)
