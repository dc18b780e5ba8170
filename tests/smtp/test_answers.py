import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.answers import MAX_LINE, MAX_LINES, MAX_OFFER, ReplyReader, UnreadableReply
from mta.smtp.replies import MAX_TEXT


def read(*pieces: bytes) -> list[str]:
    reader, found = ReplyReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next()) is not None:
            found.append(str(reply))
    return found


@pytest.mark.parametrize(
    ("wire", "replies"),
    [
        (b"250 ok\r\n", ["250 ok"]),
        (b"250\r\n", ["250 "]),
        (b"250 2.1.0 ok\r\n354 go\r\n", ["250 2.1.0 ok", "354 go"]),
        (b"550-5.7.1 no\r\n550-5.7.1 really\r\n550 5.7.1 not\r\n", ["550 5.7.1 no really not"]),
        (b"250-a\r\n250\r\n", ["250 a "]),
        (b"250 caf\xc3\xa9 \xff \x07\r\n", ["250 café \ufffd ?"]),
        (b"250 ok\r", []),
        (b"250-ok\r\n", []),
    ],
)
def test_replies_are_cut_at_their_last_line(wire: bytes, replies: list[str]) -> None:
    assert read(wire) == replies


@given(st.lists(st.integers(0, 60)))
@settings(max_examples=60)
def test_any_split_gives_the_same_replies(cuts: list[int]) -> None:
    wire = b"220-one\r\n220 two\r\n250 2.0.0 ok\r\n550-5.1.1 a\r\n550 5.1.1 b\r\n"
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    pieces = [wire[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*pieces) == read(wire)


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n",
        b"\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"25 ok\r\n",
        b"250_ok\r\n",
        b"250 a\nb\r\n",
        b"250 a\rb\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\njunk\r\n",
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"250 " + b"x" * MAX_LINE,
        b"250-x\r\n" * (MAX_LINES + 1),
    ],
)
def test_what_is_no_reply_is_refused(wire: bytes) -> None:
    with pytest.raises(UnreadableReply):
        read(wire)


def test_as_many_and_as_long_lines_as_allowed_are_read() -> None:
    line = b"250-" + b"x" * (MAX_LINE - 4)
    reader = ReplyReader()
    reader.feed((line + b"\r\n") * (MAX_LINES - 1) + b"250 end\r\n220 next\r\n")
    reply = reader.next()
    assert reply is not None
    assert reply.lines[:7] == ("x" * (MAX_LINE - 4),) * 7
    assert str(reader.next()) == "220 next"


def test_an_offer_of_a_hundred_lines_is_kept_whole() -> None:
    lines = tuple(f"X-{number:02} " + "y" * 100 for number in range(MAX_LINES))
    reader = ReplyReader()
    reader.feed("".join(f"250-{line}\r\n" for line in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode())
    reply = reader.next()
    assert reply is not None
    assert reply.lines == lines


@given(st.lists(st.sampled_from([0, 1, 500, 999, 1000, MAX_LINE - 4]), min_size=1, max_size=MAX_LINES), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_more_is_kept_of_a_reply_than_may_be_and_what_is_left_out_shows(sizes: list[int], brief: bool) -> None:
    reader = ReplyReader()
    most = MAX_OFFER
    if brief:
        reader.be_brief()
        most = MAX_TEXT
    *rest, last = ["x" * size for size in sizes]
    reader.feed("".join(f"450-{line}\r\n" for line in rest).encode() + f"450 {last}\r\n".encode())
    reply = reader.next()
    assert reply is not None
    if sum(sizes) <= most:
        assert reply.lines == (*rest, last)
    else:
        assert sum(map(len, reply.lines)) == most + 3
        assert reply.lines[-1].endswith("...")
    assert reply.wire == b""


def test_what_is_told_of_a_reply_is_short_however_much_was_said() -> None:
    for code in (250, 421, 451, 550):
        (told,) = read(f"{code}-5.7.1 no\r\n".encode() * (MAX_LINES - 1) + b"%d %b\r\n" % (code, b"y" * 2000))
        assert told.startswith(f"{code} ")
        assert len(told) < MAX_TEXT + 20
        assert told.endswith("...")


def test_empty_tells_whether_something_was_left_over() -> None:
    reader = ReplyReader()
    for piece, empty in ((b"220 go\r\n", True), (b"2", False), (b"50 ok\r\n", True), (b"250-a\r\n", False)):
        reader.feed(piece)
        reader.next()
        assert reader.empty is empty
