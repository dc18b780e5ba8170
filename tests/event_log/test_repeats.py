"""The count of lines that repeat in a minute."""

import pytest

from mta.event_log.repeats import MAX_KINDS, MAX_LINES, WINDOW, Repeats, kind_of

NOW = 1_000_000.0


def passed(repeats: Repeats, number: int, kind: str = "full", now: float = NOW) -> int:
    return sum(repeats.passes(kind, now, "trouble", {"text": kind}) for _ in range(number))


def test_the_first_lines_of_a_kind_are_written_and_the_others_are_counted() -> None:
    repeats = Repeats()
    assert passed(repeats, 19_000) == MAX_LINES
    assert passed(repeats, 3, "other") == 3
    assert repeats.end() == [("trouble", {"text": "full", "more": 19_000 - MAX_LINES})]
    assert repeats.end() == []
    assert passed(repeats, 1) == 1


@pytest.mark.parametrize(
    ("now", "over"), [(NOW, False), (NOW + WINDOW - 1, False), (NOW + WINDOW, True), (NOW - 1, True)]
)
def test_a_minute_is_over_in_time_and_when_the_clock_was_set_back(now: float, over: bool) -> None:
    repeats = Repeats()
    assert not repeats.is_over(now)
    passed(repeats, 1)
    assert repeats.is_over(now) == over


def test_kinds_beyond_a_bound_are_one() -> None:
    repeats = Repeats()
    told = sum(passed(repeats, 1, f"kind {number}") for number in range(MAX_KINDS + 5000))
    assert told == MAX_KINDS + MAX_LINES
    assert [fields["more"] for _, fields in repeats.end()] == [5000 - MAX_LINES]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("only 3 MiB free", "only 4 MiB free", True),
        ("x" * 80 + "a", "x" * 80 + "b", True),
        ("the disk is full", "the disk is gone", False),
    ],
)
def test_the_kind_of_a_text_is_its_beginning_without_numbers(one: str, other: str, same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) == same
