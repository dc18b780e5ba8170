"""The splitting of a worker's output into whole lines."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mta.workers.process import MAX_LINE, LineBuffer

PIECES = st.lists(st.lists(st.sampled_from([b"a", b"bc", b"\n"])).map(b"".join))


def test_only_whole_lines_are_passed_on():
    lines = LineBuffer()
    assert [lines.feed(piece) for piece in (b"one\ntw", b"", b"o\nthree\n", b"four")] == [
        b"one\n",
        b"",
        b"two\nthree\n",
        b"",
    ]


def test_an_incomplete_last_line_gets_a_line_end():
    lines = LineBuffer()
    lines.feed(b"one\ntw")
    assert lines.end() == b"tw\n"
    assert lines.end() == b""


@given(pieces=PIECES)
@settings(max_examples=100)
def test_nothing_is_lost_or_doubled_and_each_piece_passed_on_ends_with_a_line(pieces):
    lines = LineBuffer()
    passed = [lines.feed(piece) for piece in pieces]
    assert all(piece.endswith(b"\n") for piece in passed if piece)
    whole = b"".join(pieces)
    ended = whole + b"\n" if whole and not whole.endswith(b"\n") else whole
    assert b"".join(passed) + lines.end() == ended


def test_a_line_without_end_is_passed_on_in_parts():
    lines = LineBuffer()
    passed = [lines.feed(b"x" * 65536) for _ in range(40)]
    assert b"".join(passed).count(b"x") > MAX_LINE
    assert all(len(piece) <= MAX_LINE + 65537 for piece in passed)
