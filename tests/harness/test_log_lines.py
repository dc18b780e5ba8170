"""The reading of a log whose lines kills have cut."""

import json

import pytest

from harness.log_lines import CutLine, read_line

EVENT = {"time": "2026-11-22T12:00:00.123Z", "event": "deferred", "to": "<bob@b.test>", "reply": '450 {"time": "é"}'}
LINE = json.dumps(EVENT)


def test_a_whole_line_is_one_event_whatever_it_tells():
    assert list(read_line(LINE)) == [EVENT]
    assert list(read_line("")) == []


@pytest.mark.parametrize("kept", range(1, len(LINE)))
def test_a_line_that_is_cut_anywhere_is_told_apart_from_those_that_follow_on_it(kept):
    first, *rest = read_line(LINE[:kept])
    assert (first, rest) == (CutLine(LINE[:kept]), [])
    assert list(read_line(LINE[:kept] + LINE)) == [first, EVENT]
    assert list(read_line(LINE[:kept] + LINE[:50] + LINE)) == [first, CutLine(LINE[:50]), EVENT]


def test_a_cut_line_has_the_name_and_the_recipient_that_were_written_whole():
    (cut,) = read_line(LINE[: LINE.index("450")])
    assert cut.event == {"event": "deferred", "to": "<bob@b.test>"}
    (cut,) = read_line(LINE[: LINE.index("b.test")])
    assert cut.event == {"event": "deferred"}
    (cut,) = read_line(LINE[: LINE.index("ferred")])
    assert cut.event == {}


@pytest.mark.parametrize("line", ["Traceback (most recent call):", LINE + "}", f"x{LINE}", LINE.replace(": ", " ")])
def test_another_line_is_a_fault(line):
    with pytest.raises(ValueError, match="not a line of the event log"):
        list(read_line(line))
