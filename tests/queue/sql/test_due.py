"""The selection of due messages by a deferral filter."""

from mta.queue.interface import DeferralFilter, DueMessage
from mta.queue.sql.due import select_due


def due_message(domain: str) -> DueMessage:
    return DueMessage(0.0, delay_reported=False, domains=(domain,))


def dead_until_nine(message: DueMessage) -> float | None:
    return 9.0 if message.domains == ("dead.test",) else None


def test_deferred_messages_make_way_for_those_behind_them():
    due = [(1, due_message("dead.test")), (2, due_message("live.test")), (3, due_message("dead.test"))]
    selection = select_due(due, 10, DeferralFilter(dead_until_nine))
    assert (selection.claim, selection.deferred) == ([2], [(1, 9.0), (3, 9.0)])


def test_the_filter_is_not_asked_about_a_message_that_must_be_claimed():
    assert select_due([(1, None)], 10, DeferralFilter(lambda _: 9.0)).claim == [1]


def test_the_selection_ends_when_it_has_enough_messages():
    due = [(number, due_message("live.test")) for number in range(5)] + [(5, due_message("dead.test"))]
    selection = select_due(due, 2, DeferralFilter(dead_until_nine))
    assert (selection.claim, selection.deferred) == ([0, 1], [])
