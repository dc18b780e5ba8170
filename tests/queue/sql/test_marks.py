"""The text of the in-flight marks, and the rollback of their changes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.queue.sql.marks import InFlightMarks, read_marks

numbers = st.integers(1, 4)
indexes = st.frozensets(st.integers(0, 12), max_size=6)
steps = st.lists(st.tuples(st.sampled_from(["put", "remove", "clear"]), numbers, indexes), max_size=12)


def apply(marks: InFlightMarks, changes: "list[tuple[str, int, frozenset[int]]]") -> None:
    for verb, number, chosen in changes:
        if verb == "clear":
            marks.clear(number)
        elif chosen:
            getattr(marks, verb)(number, chosen)


def text(marks: InFlightMarks) -> str:
    """Force a change that changes nothing, to have all of it."""
    marks.begin()
    marks.put(9, [0])
    marks.clear(9)
    found = marks.changed()
    assert found is not None
    return found


def test_one_recipient_of_a_message_is_a_short_text() -> None:
    marks = InFlightMarks()
    marks.begin()
    assert marks.put(5, [0]) == frozenset()
    assert marks.changed() == '{"5":[[0,0]]}'


def test_neighbours_are_one_range() -> None:
    marks = InFlightMarks()
    marks.put(5, [*range(100), 102, 104, 105])
    assert text(marks) == '{"5":[[0,99],[102,102],[104,105]]}'


def test_unchanged_marks_are_not_written() -> None:
    marks = InFlightMarks()
    marks.put(5, [1])
    marks.begin()
    marks.remove(6, [0])
    marks.clear(7)
    assert marks.changed() is None


def test_marks_of_the_process_before_are_kept_but_are_no_news_when_tried_again() -> None:
    marks = InFlightMarks()
    assert marks.load('{"5":[[0,1]],"6":[[0,0]]}') == {5: {0, 1}, 6: {0}}
    assert json.loads(text(marks)) == {"5": [[0, 1]], "6": [[0, 0]]}
    assert marks.put(5, [0, 1]) == frozenset()
    # What this process began and never settled is news.
    assert marks.put(5, [0, 1]) == {0, 1}


def test_marks_of_the_process_before_are_no_news_in_a_transaction_that_is_repeated() -> None:
    marks = InFlightMarks()
    marks.load('{"5":[[0,1]]}')
    marks.begin()
    assert marks.put(5, [0]) == frozenset()
    marks.roll_back()
    marks.begin()
    assert marks.put(5, [0]) == frozenset()


def test_marks_of_the_process_before_are_removed_by_a_transaction_that_is_repeated() -> None:
    marks = InFlightMarks()
    marks.load('{"5":[[0,1]],"6":[[0,0]]}')
    marks.begin()
    marks.clear_reported()
    marks.roll_back()
    assert json.loads(text(marks)) == {"5": [[0, 1]], "6": [[0, 0]]}
    marks.begin()
    marks.clear_reported()
    assert marks.changed() == "{}"


@settings(max_examples=300, deadline=None)
@given(steps, steps)
def test_a_rollback_restores_the_marks(before: list, changes: list) -> None:
    marks = InFlightMarks()
    apply(marks, before)
    then = text(marks)
    marks.begin()
    apply(marks, changes)
    marks.roll_back()
    assert json.loads(text(marks)) == json.loads(then)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_the_text_has_all_marks(changes: list) -> None:
    marks, model = InFlightMarks(), dict[int, set[int]]()
    for verb, number, chosen in changes:
        apply(marks, [(verb, number, chosen)])
        if verb == "put" and chosen:
            model.setdefault(number, set()).update(chosen)
        elif verb == "remove":
            model.get(number, set()).difference_update(chosen)
        elif verb == "clear":
            model.pop(number, None)
    assert read_marks(text(marks)) == {number: marked for number, marked in model.items() if marked}


def test_text_that_holds_no_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        read_marks("")


def test_a_mark_that_was_told_is_taken_away_and_one_that_is_new_stays() -> None:
    marks = InFlightMarks()
    marks.load('{"5":[[0,0]],"6":[[0,1]]}')
    marks.begin()
    marks.put(6, [1])
    marks.clear_reported()
    assert read_marks(marks.changed() or "") == {6: frozenset({0, 1})}
    assert marks.put(5, [0]) == frozenset()
