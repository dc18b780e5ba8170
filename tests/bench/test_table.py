"""The tables of goals and figures as Markdown."""

import pytest

from bench.measure import number
from bench.results import Results
from bench.row import Goal
from bench.table import figures_table, goals_table, section
from tests.fakes.bench_row import FakeRow

ROW = FakeRow(
    goals=(
        Goal("end-to-end/s", 4, against="postfix"),
        Goal("resident MB", 60, at_most=True),
        Goal("MB/s", 1.5, against="exim"),
    )
)


def found() -> Results:
    results = Results()
    for turn, (ours, theirs) in enumerate([(1000.0, 500.0), (2400.0, 400.0), (1600.0, 400.0)]):
        results.add("B1", "smtprelay", turn, {"end-to-end/s": ours, "resident MB": 48.25, "adds/s @ 10 waiting": 1.0})
        results.add("B1", "postfix", turn, {"end-to-end/s": theirs})
    return results


def test_each_goal_is_one_line_with_the_load_said_once():
    _, _, *lines = goals_table(found(), [ROW]).splitlines()
    assert lines == [
        "| B1 | a load | end-to-end/s | at least 4 times postfix | 4 (2 to 6) | 1,600 | 400 | yes |",
        "| B1 |  | resident MB | at most 60 | 48.2 (48.2 to 48.2) | 48.2 |  | yes |",
        "| B1 |  | MB/s | at least 1.5 times exim |  |  |  | not measured |",
    ]


def test_a_goal_of_another_contender_names_it():
    row = FakeRow(goals=(Goal("end-to-end/s", 2, of="postfix"),))
    assert "| end-to-end/s of postfix | at least 2 | 400 (400 to 500) | 400 |  | yes |" in goals_table(found(), [row])


def test_a_goal_that_is_missed_stands_out():
    row = FakeRow(goals=(Goal("end-to-end/s", 5, against="postfix"),))
    assert goals_table(found(), [row]).endswith("| **no** |")


def test_each_contender_is_one_line_with_its_figures_and_without_the_points_of_curves():
    _, _, *lines = figures_table(found(), [ROW]).splitlines()
    assert lines == [
        "| B1 | smtprelay | end-to-end/s 1,600 (1,000 to 2,400); resident MB 48.2 (48.2 to 48.2) | 3 |",
        "| B1 | postfix | end-to-end/s 400 (400 to 500) | 3 |",
    ]


def test_a_single_round_has_no_spread():
    results = Results()
    results.add("B1", "smtprelay", 0, {"s": 0.25})
    assert figures_table(results, [ROW]).endswith("| B1 | smtprelay | s 0.25 | 1 |")


def test_a_section_has_the_machine_the_command_and_the_notes():
    results = found()
    results.notes.append("B1 exim left out: no root")
    text = section(results, [ROW], {"cores": "2", "kernel": "6.1"}, "python -m bench")
    assert text.startswith("cores 2, kernel 6.1.\n`python -m bench`\n\n| row |")
    assert text.endswith("\n\n- B1 exim left out: no root\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(2467.4, "2,467"), (100, "100"), (99.96, "100"), (48.25, "48.2"), (0.5, "0.5"), (0.0, "0"), (0.00012, "1.2e-04")],
)
def test_a_figure_has_as_many_digits_as_a_person_reads(value, text):
    assert number(value) == text
