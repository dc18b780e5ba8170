"""The detection of a wall clock that was set."""

from mta.daemon.clocks import ClockWatch
from mta.event_log.log import EventLog

DAY = 86400.0


class _Watched:
    def __init__(self) -> None:
        self.wall_clock = 1_000_000.0
        self.monotonic = 50.0
        self.done: list[str] = []
        self.lines: list[str] = []
        self.watch = ClockWatch(
            wall_clock=lambda: self.wall_clock,
            monotonic=lambda: self.monotonic,
            make_all_due=lambda: self.done.append("make_all_due"),
            wake=lambda: self.done.append("wake"),
            event_log=EventLog(self.lines.append, lambda: self.wall_clock),
        )

    def look(self, *, passed: float = 10.0, moved: float = 0.0) -> list[str]:
        self.monotonic += passed
        self.wall_clock += passed + moved
        self.done.clear()
        self.watch.look()
        return self.done


def test_time_that_passes_is_no_clock_that_was_set() -> None:
    watched = _Watched()
    for passed in (0.0, 10.0, 10.7, 3600.0):
        assert watched.look(passed=passed, moved=0.3) == []
    assert watched.lines == []


def test_all_messages_are_tried_after_the_clock_was_set_back_with_one_notice() -> None:
    for moved in (-3.0, -DAY, -999_000.0):
        watched = _Watched()
        assert watched.look(moved=moved) == ["make_all_due"]
        assert f"the clock was set back by {-moved:.0f} s" in watched.lines[0]
        assert watched.look() == []
        assert len(watched.lines) == 1


def test_due_messages_are_looked_for_after_the_clock_went_forward() -> None:
    watched = _Watched()
    assert watched.look(moved=366 * DAY) == ["wake"]
    assert "the clock went forward by 31622400 s" in watched.lines[0]
    assert watched.look(moved=-366 * DAY) == ["make_all_due"]
