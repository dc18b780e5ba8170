from mta.queue.interface import DueMessage
from mta.queue.sqlite.tables import select_due


def waiting(domain: str) -> DueMessage:
    return DueMessage(0.0, delay_reported=False, domains=(domain,))


def dead_until_nine(one: DueMessage) -> float | None:
    return 9.0 if one.domains == ("dead.test",) else None


def test_what_is_to_be_left_alone_makes_way_for_what_comes_behind_it():
    due = [(1, waiting("dead.test")), (2, waiting("live.test")), (3, waiting("dead.test"))]
    parted = select_due(due, 10, dead_until_nine)
    assert (parted.claim, parted.later) == ([2], [(1, 9.0), (3, 9.0)])


def test_what_must_be_claimed_is_not_asked_about():
    assert select_due([(1, None)], 10, lambda _: 9.0).claim == [1]


def test_it_ends_where_there_is_enough():
    due = [(number, waiting("live.test")) for number in range(5)] + [(5, waiting("dead.test"))]
    parted = select_due(due, 2, dead_until_nine)
    assert (parted.claim, parted.later) == ([0, 1], [])
