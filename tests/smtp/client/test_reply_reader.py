"""The replies of real servers, with their deviations and bounds."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.client.reply_reader import MAX_LINE, MAX_LINES, MAX_OCTETS, MAX_OFFER, ReplyReader, UnreadableReply
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
        (b"250-a\r\n250-b\r\n251 c\r\n", ["250 a b c"]),
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
    ("wire", "replies"),
    [
        (b"220 hi\n250-a\n250 b\n", ["220 hi", "250 a b"]),
        (b"220 hi\n250-a\r\n250 b\n354 go\r\n", ["220 hi", "250 a b", "354 go"]),
        (b"250 ok\r\r\n250-a\r\r\n250 b\r\r\n", ["250 ok", "250 a b"]),
        (b"\r\n\n \r\n220 hi\r\n\r\n250 ok\r\n", ["220 hi", "250 ok"]),
        (b"250\n250 \n250-\n250\n", ["250 ", "250 ", "250  "]),
        (b"250\tok\r\n250-a\r\n250\tb\r\n", ["250 ok", "250 a b"]),
        (b" 250 ok\r\n\t250-a\r\n 250 b\r\n", ["250 ok", "250 a b"]),
        (b"250_ok\r\n250ok\r\n550:no\r\n", ["250 _ok", "250 ok", "550 :no"]),
        (b"250 a\rb\0c\r\n", ["250 a?b?c"]),
        (b"250 ok\0\r\n", ["250 ok?"]),
    ],
)
def test_real_deviations_are_read_as_the_reply_that_was_meant(wire: bytes, replies: list[str]) -> None:
    assert read(wire) == replies
    assert read(*[bytes([octet]) for octet in wire]) == replies


@pytest.mark.parametrize(
    ("wire", "replies"),
    [
        (b"550-rejected\r\nfor policy reasons\r\n550 bye\r\n", ["550 rejected for policy reasons bye"]),
        (b"550-5.7.1 no\r\n\r\n404: gone\r\n2505 x\r\n550 5.7.1 bye\r\n", ["550 5.7.1 no 404: gone 2505 x bye"]),
        (b"250-mx\r\nSTARTTLS\r\n250 SIZE\r\n", ["250 mx SIZE"]),
        (b"550-limit of\r\n  500 messages a day\r\n550 bye\r\n", ["550 limit of 500 messages a day bye"]),
        (
            b"550-no\r\n" + b"x" * 5000 + b"\r\n550 bye\r\n220 next\r\n",
            ["550 no " + "x" * (MAX_TEXT - 3) + "...", "220 next"],
        ),
    ],
)
def test_foreign_lines_inside_a_reply_explain_a_refusal_and_are_left_out_of_any_other(
    wire: bytes, replies: list[str]
) -> None:
    assert read(wire) == replies


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"250-a\r\n251 b\r\n", 250),
        (b"550-a\r\n250 b\r\n", 550),
        (b"250-a\r\n550-b\r\n250 c\r\n", 550),
        (b"250-a\r\n421 b\r\n", 421),
        (b"450-a\r\n550 b\r\n", 450),
    ],
)
def test_of_several_codes_the_first_decides_but_a_yes_needs_every_line(wire: bytes, code: int) -> None:
    (told,) = read(wire)
    assert told.startswith(f"{code} ")


@pytest.mark.parametrize("length", [MAX_LINE - 6, MAX_LINE - 5, MAX_LINE - 4, MAX_LINE, 3000, 200_000])
@pytest.mark.parametrize("code", [250, 550])
def test_a_long_line_is_cut_and_its_code_counts(code: int, length: int) -> None:
    wire = b"%d %b\r\n220 next\r\n" % (code, b"x" * length)
    for step in (len(wire), 1, 1000):
        first, second = read(*[wire[at : at + step] for at in range(0, len(wire), step)])
        assert first == f"{code} {'x' * MAX_TEXT}..."
        assert second == "220 next"


def test_a_long_line_of_an_offer_hides_no_later_line() -> None:
    reader = ReplyReader()
    reader.feed(b"250-mx\r\n250-XTEXT " + b"x" * 9000 + b"\r\n250 STARTTLS\r\n")
    reply = reader.next()
    assert reply is not None
    assert reply.lines[2] == "STARTTLS"


@pytest.mark.parametrize("step", [1, 500, 1 << 20])
def test_no_more_of_an_unfinished_line_is_held_than_is_read(step: int) -> None:
    reader = ReplyReader()
    wire = b"250 " + b"x" * 20_000
    for at in range(0, len(wire), step):
        reader.feed(wire[at : at + step])
        assert reader.next() is None
        assert len(reader._buffer) <= MAX_LINE
    assert not reader.empty


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (b"hello\r\n", "not a reply: 'hello'"),
        (b"150 ok\r\n", "not a reply"),
        (b"650 ok\r\n", "not a reply"),
        (b"25 ok\r\n", "not a reply"),
        (b"2500 ok\r\n", "not a reply"),
        (b"250 a\nb\r\n", "not a reply: 'b'"),
        (b"250 " + b"x" * MAX_OCTETS, f"more than {MAX_OCTETS} octets"),
        (b"250 " + b"x" * MAX_OCTETS + b"\r\n", f"more than {MAX_OCTETS} octets"),
        ((b"550-" + b"x" * 2000 + b"\r\n") * 140, f"more than {MAX_OCTETS} octets"),
        (b"\r\n" * MAX_OCTETS, f"more than {MAX_OCTETS} octets"),
        (b"250-x\r\n" * (MAX_LINES + 1), f"more than {MAX_LINES} lines"),
        (b"550-x\r\n" + b"x\r\n" * MAX_LINES, f"more than {MAX_LINES} lines"),
    ],
)
def test_bytes_that_are_not_a_reply_or_never_end_are_refused(wire: bytes, words: str) -> None:
    for step in (len(wire), 1000):
        with pytest.raises(UnreadableReply, match=words):
            read(*[wire[at : at + step] for at in range(0, len(wire), step)])


def test_blank_lines_between_replies_add_up_to_no_bound() -> None:
    reader = ReplyReader()
    for _ in range(40):
        reader.feed(b"\r\n" * 5000 + b"250 ok\r\n")
        assert str(reader.next()) == "250 ok"


def test_as_many_and_as_long_lines_as_allowed_are_read() -> None:
    line = b"250-" + b"x" * (MAX_LINE - 5)
    reader = ReplyReader()
    reader.feed((line + b"\r\n") * 100 + b"250-x\r\n" * (MAX_LINES - 101) + b"250 end\r\n220 next\r\n")
    reply = reader.next()
    assert reply is not None
    assert reply.lines[:7] == ("x" * (MAX_LINE - 5),) * 7
    assert str(reader.next()) == "220 next"


def test_an_offer_of_a_hundred_lines_is_kept_whole() -> None:
    lines = tuple(f"X-{number:02} " + "y" * 100 for number in range(100))
    reader = ReplyReader()
    reader.feed("".join(f"250-{line}\r\n" for line in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode())
    reply = reader.next()
    assert reply is not None
    assert reply.lines == lines


@given(st.lists(st.sampled_from([0, 1, 500, 999, 1000, MAX_LINE - 5]), min_size=1, max_size=100), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_kept_text_of_a_reply_is_bounded_and_a_cut_is_marked(sizes: list[int], brief: bool) -> None:
    reader = ReplyReader()
    most = MAX_OFFER
    if brief:
        reader.shorten_texts()
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


def test_the_text_of_a_reply_is_short_for_replies_of_any_length() -> None:
    for code in (250, 421, 451, 550):
        (told,) = read(f"{code}-5.7.1 no\r\n".encode() * 400 + b"%d %b\r\n" % (code, b"y" * 2000))
        assert told.startswith(f"{code} ")
        assert len(told) < MAX_TEXT + 20
        assert told.endswith("...")


def test_empty_tells_whether_something_was_left_over() -> None:
    reader = ReplyReader()
    for piece, empty in ((b"220 go\r\n", True), (b"2", False), (b"50 ok\r\n", True), (b"250-a\r\n", False)):
        reader.feed(piece)
        reader.next()
        assert reader.empty is empty
