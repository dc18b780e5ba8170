"""Lines, bodies and chunks, cut in any way."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.framing import (
    BareControl,
    ChunkReader,
    DotReader,
    DotStuffer,
    InputBuffer,
    LineTooLong,
    TextCheck,
    bare,
    line_ends,
)
from tests.strategies import bodies, splits, wild_bytes


def lines(pieces: list[bytes], limit: int = 40, buffer: InputBuffer | None = None) -> list[bytes | str]:
    buffer = buffer or InputBuffer(limit)
    seen: list[bytes | str] = []
    for piece in pieces:
        buffer.feed(piece)
        while True:
            try:
                line = buffer.line()
            except LineTooLong:
                seen.append("too long")
                continue
            except BareControl as fault:
                return [*seen, str(fault)]
            if line is None:
                break
            seen.append(line)
    return seen


def undot(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    reader, text, rest = DotReader(), b"", None
    for piece in pieces:
        if rest is not None:
            rest += piece
            continue
        more, rest = reader.feed(piece)
        text += more
    return text, rest


def stuffed(pieces: list[bytes]) -> bytes:
    stuffer = DotStuffer()
    return b"".join([*map(stuffer.stuff, pieces), stuffer.end()])


def check(pieces: list[bytes], limit: int = 5) -> TextCheck:
    result = TextCheck(0, limit)
    for piece in pieces:
        result.inspect(piece)
    return result


def each_octet(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"", None),
        (b"a\r\nb\r\n", None),
        (b"a\nb", "bare LF"),
        (b"a\rb", "bare CR"),
        (b"a\r\r\n", "bare CR"),
        (b"\r\n\n", "bare LF"),
        (b"\n\r", "bare LF"),
        (b"a\0b", "NUL"),
        (b"a\0b\n", "NUL"),
    ],
)
def test_the_first_octet_that_is_no_text_is_named(text, name):
    assert bare(text) == name


@given(wild_bytes)
@settings(max_examples=300, deadline=None)
def test_text_is_lines_without_nul_cr_and_lf_between_crlfs(text):
    between = text.split(b"\r\n")
    clean = not any(octet in line for line in between for octet in (b"\0", b"\r", b"\n"))
    assert line_ends(text) == (len(between) - 1 if clean else None)
    assert (bare(text) is None) == clean


@pytest.mark.parametrize("cut", [lambda data: [data], each_octet])
@pytest.mark.parametrize(
    ("wire", "seen"),
    [
        (b"NOOP\r\nQUIT\r\nRS", [b"NOOP", b"QUIT"]),
        (b"\r\n\r\n", [b"", b""]),
        (b"a" * 38 + b"\r\n", [b"a" * 38]),
        (b"a" * 39 + b"\r\nNOOP\r\n", ["too long", b"NOOP"]),
        (b"a" * 500 + b"\r\nNOOP\r\n", ["too long", b"NOOP"]),
        (b"NOOP\nQUIT\r\n", ["bare LF"]),
        (b"NO\rOP\r\n", ["bare CR"]),
        (b"NOOP\r\r\n", ["bare CR"]),
        (b"NO\0OP", ["NUL"]),
        (b"a" * 90 + b"\nNOOP\r\n", ["bare LF"]),
    ],
)
def test_commands_are_cut_at_crlf_alone(wire, seen, cut):
    assert lines(cut(wire)) == seen


def lenient_lines(pieces):
    buffer = InputBuffer(40, line_feeds=True)
    return lines(pieces, buffer=buffer)


@pytest.mark.parametrize("cut", [lambda data: [data], each_octet])
@pytest.mark.parametrize(
    ("wire", "seen"),
    [
        (b"NOOP\nQUIT\r\nRS", [b"NOOP", b"QUIT"]),
        (b"\n\r\n\n", [b"", b"", b""]),
        (b"a" * 39 + b"\n", [b"a" * 39]),
        (b"a" * 500 + b"\nNOOP\n", ["too long", b"NOOP"]),
        (b"NO\rOP\n", ["bare CR"]),
        (b"NOOP\r\r\n", ["bare CR"]),
        (b"NO\0OP\n", ["NUL"]),
    ],
)
def test_commands_are_cut_at_a_bare_lf_too_where_that_is_allowed(wire, seen, cut):
    assert lenient_lines(cut(wire)) == seen


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_split_gives_the_same_commands_where_a_bare_lf_is_allowed(data):
    wire = data.draw(wild_bytes)
    assert lenient_lines(data.draw(splits(wire))) == lenient_lines([wire])


def test_an_overlong_line_is_forgotten_while_it_comes():
    buffer = InputBuffer(100)
    for _ in range(50):
        buffer.feed(b"x" * 99)
        assert buffer.line() is None
        assert buffer.size <= 100


def test_a_number_of_octets_can_be_taken():
    buffer = InputBuffer(100)
    buffer.feed(b"BDAT 3\r\nabcNOOP\r\n")
    assert buffer.line() == b"BDAT 3"
    assert buffer.take(3) == b"abc"
    assert buffer.size == 6
    assert buffer.take() == b"NOOP\r\n"
    assert buffer.take(4) == b""


def test_cleared_input_is_gone_with_the_memory_of_its_length():
    buffer = InputBuffer(4)
    buffer.feed(b"toolong")
    buffer.line()
    buffer.clear()
    buffer.feed(b"a\r\n")
    assert buffer.line() == b"a"


@pytest.mark.parametrize("cut", [lambda data: [data], each_octet])
@pytest.mark.parametrize(
    ("wire", "text", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"..a\r\n...\r\n.\r\n", b".a\r\n..\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", b""),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", b""),
        (b"a\r.\r\n\r\n.\r\n", b"a\r.\r\n\r\n", b""),
        (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", b""),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n", b""),
        (b"a\r\n.", b"a", None),
        (b"", b"", None),
    ],
)
def test_only_crlf_dot_crlf_ends_the_data(wire, text, rest, cut):
    assert undot(cut(wire)) == (text, rest)


def test_no_more_than_four_octets_are_held_back():
    reader, wire, text = DotReader(), b"ab\r\n.\rc\r\n\r\n.\n" * 9, b""
    for sent, octet in enumerate(each_octet(wire), 1):
        text += reader.feed(octet)[0]
        dots = wire[:sent].count(b"\r\n.")
        assert sent - dots - len(text) <= 4


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_split_of_the_wire_gives_the_same_body(data):
    wire = data.draw(wild_bytes)
    assert undot(data.draw(splits(wire))) == undot([wire])


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_unstuffing_undoes_stuffing_in_any_pieces(data):
    body = data.draw(bodies)
    wire = stuffed(data.draw(splits(body)))
    assert undot(data.draw(splits(wire))) == (body, b"")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_stuffed_bytes_hold_one_end_of_data_at_their_end(data):
    body = data.draw(wild_bytes)
    wire = stuffed(data.draw(splits(body)))
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3


def test_a_last_line_without_an_end_gets_one():
    assert stuffed([b"a"]) == b"a\r\n.\r\n"
    assert stuffed([]) == b".\r\n"
    assert stuffed([b"a\r"]) == b"a\r\n.\r\n"


@pytest.mark.parametrize("cut", [lambda data: [data], each_octet])
@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"", b""), (b"a\r\n", b"a\r\n"), (b"a", b"a\r\n"), (b"a\r\nb", b"a\r\nb\r\n"), (b".\r\n..\r\n", b".\r\n..\r\n")],
)
def test_chunks_become_whole_lines(octets, text, cut):
    reader = ChunkReader()
    assert b"".join([*map(reader.feed, cut(octets)), reader.finish()]) == text


def test_a_chunk_that_ends_in_cr_is_seen_as_bare_cr_at_the_latest_at_the_end():
    reader = ChunkReader()
    assert reader.feed(b"a\r") == b"a"
    assert bare(reader.finish()) == "bare CR"


@pytest.mark.parametrize("cut", [lambda data: [data], lambda data: [data[:3], data[3:]]])
@pytest.mark.parametrize(
    ("text", "line", "octets"),
    [
        (b"12345\r\n" * 9, 0, 0),
        (b"123456\r\n", 1, 6),
        (b"1\r\n2\r\n1234567\r\n123456789\r\n", 3, 7),
        (b"12345\r\n123456", 2, 6),
        (b"1234567890", 1, 10),
    ],
)
def test_the_first_line_over_the_limit_is_measured(text, line, octets, cut):
    result = check(cut(text))
    assert (result.long_line, result.long_octets, result.size) == (line, octets, len(text))


def test_a_limit_of_0_lets_every_line_through():
    assert check([b"x" * 5000], limit=0).long_line == 0


def lenient_body(pieces):
    """Return a body that came by DATA, its bare LFs made to CRLF, and how it was measured; None when it is refused."""
    reader, measured = DotReader(), TextCheck(0, 5, line_feeds=True)
    try:
        text = b"".join([measured.inspect(reader.feed(piece)[0]) for piece in pieces])
    except BareControl:
        return None
    return text, measured.size, measured.long_line, measured.long_octets


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_bare_lfs_become_crlf_in_any_pieces_and_end_no_message(data):
    wire = data.draw(wild_bytes) + b"\r\n.\r\n"
    _, rest = undot([wire])
    whole = wire[: len(wire) - len(rest)]
    found = lenient_body([whole])
    assert lenient_body(data.draw(splits(whole))) == found
    strict = (b"\r\n" + whole[:-3]).replace(b"\r\n.", b"\r\n")[2:]
    clean = b"\0" not in strict and b"\r" not in strict.replace(b"\r\n", b"")
    assert (found is not None) == clean
    if found is not None:
        text, size, _, _ = found
        assert line_ends(text) is not None
        assert text == strict.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        assert size == len(text)
        assert undot([stuffed([text])]) == (text, b"")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_chunks_with_bare_lfs_become_whole_lines_in_any_pieces(data):
    octets = data.draw(wild_bytes).replace(b"\r", b"").replace(b"\0", b"")

    def whole(pieces):
        reader, measured = ChunkReader(), TextCheck(0, 5, line_feeds=True)
        return b"".join([*(measured.inspect(reader.feed(piece)) for piece in pieces), reader.finish()])

    text = octets.replace(b"\n", b"\r\n")
    assert whole(data.draw(splits(octets))) == text + (b"\r\n" if text and not text.endswith(b"\r\n") else b"")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_long_lines_are_found_alike_in_any_pieces(data):
    text = data.draw(bodies)
    pieces = ChunkReader()
    cut = [pieces.feed(piece) for piece in data.draw(splits(text))]
    lengths = [len(line) for line in text.split(b"\r\n")]
    first = next(((i, n) for i, n in enumerate(lengths, 1) if n > 5), (0, 0))
    result = check(cut)
    assert (result.long_line, result.long_octets) == first


def test_octets_that_were_taken_are_released() -> None:
    for most in (None, 100_000):
        buffer = InputBuffer(512)
        buffer.feed(bytes(100_000))
        taken = buffer.take(most)
        assert len(taken) == 100_000
        # The name here and the argument of the call.
        assert sys.getrefcount(taken) == 2
        assert buffer.size == 0
