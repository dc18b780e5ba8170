"""Cutting octets into lines, bodies and chunks, and stuffing dots: held against code that looks at each line."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from tests.fuzz.target import Growth, Tape, Target, each_octet, pieces, sentences

_BARE = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Stream:
    """Octets, how they are cut, and the longest line."""

    data: bytes
    way: int = 0
    limit: int = 10

    def cuts(self) -> tuple[Sequence[bytes], ...]:
        """Return the ways of cutting that must all come to the same."""
        return (self.data,), pieces(self.data, self.way), each_octet(self.data)


def check(stream: Stream) -> None:
    """Read the octets as commands, as a body with dots, as chunks and as text."""
    data = stream.data
    between = data.split(b"\r\n")
    clean = not any(octet in line for line in between for octet in (b"\0", b"\r", b"\n"))
    assert line_ends(data) == (len(between) - 1 if clean else None)
    assert (bare(data) is None) == clean == (_BARE.search(data) is None)
    for cut in stream.cuts():
        _check_dots(data, cut)
        _check_chunks(data, cut)
        if clean:
            _check_stuffing(data, cut)
            _check_text(between, cut, stream.limit)
    lines = [_lines(cut, stream.limit) for cut in stream.cuts()]
    assert lines[0] == lines[1] == lines[2]


def _check_dots(data: bytes, cut: Sequence[bytes]) -> None:
    """Find the end of data as RFC 5321 section 4.5.2 describes it, line by line."""
    reader, text, rest = DotReader(), b"", None
    for piece in cut:
        if rest is None:
            more, rest = reader.feed(piece)
            text += more
        else:
            rest += piece
    lines = data.split(b"\r\n")
    end = lines[:-1].index(b".") if b"." in lines[:-1] else None
    if end is None:
        assert rest is None
        whole = b"\r\n".join(line.removeprefix(b".") for line in lines)
        assert whole.startswith(text)
        assert len(data) - len(text) <= 4 + data.count(b".")
    else:
        assert text == b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:end])
        assert rest == b"\r\n".join(lines[end + 1 :])


def _check_chunks(data: bytes, cut: Sequence[bytes]) -> None:
    reader = ChunkReader()
    parts = [reader.feed(piece) for piece in cut]
    assert bare(data) or not any(part.endswith(b"\r") for part in parts)
    text = b"".join(parts) + reader.finish()
    wanting = b"" if not data or data.endswith(b"\n") else b"\n" if data.endswith(b"\r") else b"\r\n"
    # A CR at the very end may be the half of a line's end, or be bare: it is followed by a whole one.
    assert text in {data + wanting, data + b"\r\n"}


def _check_stuffing(data: bytes, cut: Sequence[bytes]) -> None:
    """Assert that the stuffed text has one end of data, and that it is read back unchanged."""
    stuffer = DotStuffer()
    wire = b"".join([*map(stuffer.stuff, cut), stuffer.end()])
    assert (b"\r\n" + wire).count(b"\r\n.\r\n") == 1
    whole = data if not data or data.endswith(b"\r\n") else data + b"\r\n"
    assert DotReader().feed(wire) == (whole, b"")


def _check_text(lines: Sequence[bytes], cut: Sequence[bytes], limit: int) -> None:
    measure = TextCheck(0, limit)
    held = b""
    for piece in cut:
        # As `inspect` wants it: never cut inside a CRLF.
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""
        measure.inspect(text[: len(text) - len(held)])
    long = [number for number, line in enumerate(lines, 1) if len(line) > limit]
    assert measure.long_line == (long[0] if long else 0)
    assert measure.long_octets == (len(lines[long[0] - 1]) if long else 0)


def _lines(cut: Sequence[bytes], limit: int) -> list[bytes | str]:
    buffer = InputBuffer(limit)
    seen: list[bytes | str] = []
    for piece in cut:
        buffer.feed(piece)
        try:
            _drain(buffer, seen)
        except BareControl as fault:
            return [*seen, str(fault)]
        assert buffer.size <= limit
    return seen


def _drain(buffer: InputBuffer, seen: list[bytes | str]) -> None:
    while True:
        try:
            line = buffer.line()
        except LineTooLong:
            seen.append("too long")
            continue
        if line is None:
            return
        seen.append(line)


def read(tape: Tape) -> Stream:
    """Read a stream: two octets of choices, then its own."""
    limit, way = 2 + tape.number() % 64, tape.number()
    return Stream(tape.rest(), way, limit)


_VOCABULARY = (
    *(
        b"\r\n",
        b"\r\n",
        b"\r\n.",
        b".",
        b"..",
        b"\r\n.\r\n",
        b"\r\n..\r\n",
        b"a",
        b"bc" * 9,
        b" ",
        b"\x80\xff",
        b"NOOP\r\n",
    ),
    *(b"\r", b"\n", b"\0", b"\n.\n", b"\r.\r", b"\r\n.\n", b"\r\r\n", b"\n.\r\n", b"\r\n.\r", b"\r\n\0.\r\n"),
)
#: Clean text more often than chance would have it.
streams = st.builds(
    Stream,
    sentences(_VOCABULARY) | sentences(_VOCABULARY[:12]),
    st.integers(0, 255),
    st.integers(2, 64),
)


def _alone(stream: Stream) -> None:
    _lines(pieces(stream.data, stream.way), stream.limit)
    stuffer, reader, chunks, measure = DotStuffer(), DotReader(), ChunkReader(), TextCheck(0, stream.limit)
    for piece in pieces(stream.data, stream.way):
        stuffer.stuff(piece)
        reader.feed(piece)
        measure.inspect(chunks.feed(piece))


def _shape(name: str, make: Callable[[int], bytes], *, limit: int = 998, way: int = 0) -> Growth[Stream]:
    return Growth(name, lambda size: Stream(make(size), way, limit), 1 << 16 if way == 0 else 1 << 14, work=_alone)


GROWTH = tuple(
    _shape(f"{name}, {'by octets' if way else 'whole'}", make, way=way, limit=limit)
    for way in (0, 1)
    for name, make, limit in (
        ("one line", lambda n: b"x" * n, 998),
        ("one line of dots", lambda n: b"." * n, 0),
        ("empty lines", lambda n: b"\r\n" * (n // 2), 998),
        ("lines of two dots", lambda n: b"..\r\n" * (n // 4), 998),
        ("lines that are too short to be long", lambda n: (b"x" * 997 + b"\r\n") * (n // 999), 998),
        ("a dot in no line's front", lambda n: b"x.\r\n" * (n // 4), 998),
    )
)
TARGET = Target("framing", check, read, streams, _VOCABULARY, GROWTH)
