"""Notices about hosts and domains: once a day each, and for a bounded number of them."""

import pytest

from mta.routing.demands.notices import MAX_NAMES, DailyNotices

DAY = 86400.0


def test_a_name_is_told_of_once_a_day() -> None:
    notices = DailyNotices()
    told = [notices.due(host, at) for host, at in (("a.test", 0), ("a.test", DAY - 1), ("b.test", 1), ("a.test", DAY))]
    assert told == [True, False, True, True]
    assert not notices.due("a.test", DAY + 1)


@pytest.mark.parametrize(("pause", "room"), [(0.0, False), (DAY, True)])
def test_the_names_that_are_remembered_are_bounded_and_forgotten_after_a_day(pause: float, room: bool) -> None:
    notices = DailyNotices()
    for number in range(MAX_NAMES):
        assert notices.due(f"mx{number}.test", 0.0)
    assert notices.due("mx.test", pause) is room
    assert len(notices._last_notice_at) <= MAX_NAMES
