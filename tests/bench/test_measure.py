"""The order of rounds, rows and contenders, and the end of a run that takes too long."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from bench.measure import Measuring, taking_part
from bench.row import Bench, Figures, Goal, Row
from bench.server import LeftOut
from tests.fakes.bench_row import FakeRow

BENCH = Bench(Path("/nowhere"), Path("/nowhere"))


def measured(
    rows: Sequence[Row],
    rounds: int,
    *,
    contenders: Sequence[str] | None = None,
    seconds: float = 100,
    clock: Clock | None = None,
) -> tuple[Measuring, list[str]]:
    said: list[str] = []
    clock = clock or Clock()
    measuring = Measuring(BENCH, rows, contenders, seconds=seconds, say=said.append, clock=clock.seconds)
    measuring.run(rounds)
    return measuring, said


def failing(reason: Exception) -> Callable[[str], Figures]:
    def measure(contender: str) -> Figures:
        if contender == "postfix":
            raise reason
        return {"end-to-end/s": 1.0}

    return measure


def test_contenders_take_turns_within_a_row_and_rows_within_a_round():
    calls: list[str] = []
    measured([FakeRow("B1", calls=calls), FakeRow("B2", contenders=("smtprelay",), calls=calls)], 2)
    once = ["B1 smtprelay", "B1 postfix", "B2 smtprelay"]
    assert calls == once * 2


def test_only_the_contenders_asked_for_take_part():
    row = FakeRow()
    measured([row], 1, contenders=["postfix"])
    assert row.calls == ["B1 postfix"]


@pytest.mark.parametrize(
    ("asked", "quick", "who"),
    [
        (None, False, ["smtprelay", "smtprelay compiled", "smtprelay x2", "postfix", "exim"]),
        (None, True, ["smtprelay", "smtprelay compiled", "postfix"]),
        (["exim", "smtprelay x2", "nobody"], True, ["smtprelay x2", "exim"]),
    ],
)
def test_a_quick_run_has_only_those_a_goal_is_about_unless_others_are_asked_for(asked, quick, who):
    goals = (
        Goal("end-to-end/s", 4, against="postfix"),
        Goal("end-to-end/s", 0.9, against="B0/smtprelay"),
        Goal("end-to-end/s", 5, of="smtprelay compiled"),
    )
    row = FakeRow(contenders=("smtprelay", "smtprelay compiled", "smtprelay x2", "postfix", "exim"), goals=goals)
    assert taking_part(row, asked, quick=quick) == who


def test_a_contender_that_is_left_out_is_named_once_and_not_asked_again():
    row = FakeRow(measure=failing(LeftOut("no root")))
    measuring, said = measured([row], 3)
    assert row.calls.count("B1 postfix") == 1
    assert [line for line in said if "postfix" in line] == ["B1 postfix left out: no root"]
    assert measuring.results.notes == ["B1 postfix left out: no root"]


def test_a_round_that_fails_is_said_with_its_last_words_and_the_next_one_is_tried():
    row = FakeRow(measure=failing(RuntimeError("a trace\nit fell over\n")))
    measuring, _ = measured([row], 2)
    assert row.calls.count("B1 postfix") == 2
    assert measuring.results.notes[0] == "B1 postfix round 1 failed: it fell over"
    assert measuring.results.values("B1", "smtprelay", "end-to-end/s") == [1.0, 1.0]


def test_no_round_begins_that_would_end_after_the_time_is_over():
    clock = Clock()

    def slow(_: str) -> Figures:
        clock.advance(20)
        return {"end-to-end/s": 1.0}

    row = FakeRow(measure=slow)
    measuring, _ = measured([row], 3, seconds=100, clock=clock)
    assert len(row.calls) == 4
    assert measuring.results.notes == ["round 3 of B1 left out: the time is over"]


def test_no_turn_begins_after_the_time_is_over():
    clock = Clock()

    def slow(_: str) -> Figures:
        clock.advance(20)
        return {"end-to-end/s": 1.0}

    rows = [FakeRow(name, measure=slow) for name in ("B1", "B2", "B3", "B4")]
    measuring, _ = measured(rows, 1, seconds=90, clock=clock)
    assert [len(row.calls) for row in rows] == [2, 2, 1, 0]
    assert measuring.results.notes == ["round 1 of B3, B4 left out: the time is over"]
