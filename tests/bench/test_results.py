"""Figures of several rounds: medians, spreads, ratios and goals."""

import pytest

from bench.results import Results, Verdict, judge, spread
from bench.row import Goal
from tests.fakes.bench_row import FakeRow

ROW = FakeRow()
FOUR_TIMES = Goal("end-to-end/s", 4, against="postfix")


def found(**rounds: list[float | None]) -> Results:
    results = Results()
    for contender, values in rounds.items():
        for number, value in enumerate(values):
            if value is not None:
                results.add("B1", contender, number, {"end-to-end/s": value})
    return results


def verdict(goal: Goal, **rounds: list[float | None]) -> Verdict:
    return judge(found(**rounds), ROW, goal)


def test_a_ratio_is_the_median_of_the_ratios_within_each_round():
    given = verdict(FOUR_TIMES, smtprelay=[400.0, 900.0, 500.0], postfix=[100.0, 300.0, 100.0])
    assert given.measured == spread([4.0, 3.0, 5.0])
    assert given.reached is True


def test_a_round_that_one_side_missed_is_not_set_against_another_round():
    given = verdict(FOUR_TIMES, smtprelay=[None, 900.0], postfix=[100.0, 300.0])
    assert given.measured == spread([3.0])
    assert given.reached is False


def test_a_goal_without_the_other_side_is_neither_reached_nor_missed():
    given = verdict(FOUR_TIMES, smtprelay=[400.0])
    assert given.measured is None
    assert given.reached is None


@pytest.mark.parametrize(
    ("at_most", "value", "reached"),
    [(False, 60.0, True), (False, 59.9, False), (True, 60.0, True), (True, 60.1, False)],
)
def test_a_bound_on_the_figure_itself_holds_up_to_the_bound(at_most, value, reached):
    given = verdict(Goal("end-to-end/s", 60, at_most=at_most), smtprelay=[value])
    assert given.reached is reached
    assert given.theirs is None


def test_a_goal_may_stand_against_another_row():
    results = found(smtprelay=[90.0])
    results.add("B0", "smtprelay", 0, {"end-to-end/s": 100.0})
    given = judge(results, ROW, Goal("end-to-end/s", 0.9, against="B0/smtprelay"))
    assert given.measured == spread([0.9])


def test_a_goal_may_be_of_another_contender_than_the_relay():
    goal = Goal("end-to-end/s", 5, against="postfix", of="compiled")
    given = verdict(goal, smtprelay=[400.0], compiled=[500.0], postfix=[100.0])
    assert given.measured == spread([5.0])
    assert given.reached is True


def test_a_figure_is_never_divided_by_zero():
    assert verdict(FOUR_TIMES, smtprelay=[400.0], postfix=[0.0]).measured is None


def test_an_empty_spread_is_an_empty_text():
    assert spread([None]) is None
