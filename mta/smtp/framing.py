"""Reads lines, bodies and chunks from bytes, and writes bodies: RFC 5321 sections 2.3.8 and 4.5.2, RFC 3030.

Only CRLF ends a line and only CRLF.CRLF ends a message. Where a bare LF is allowed, it becomes CRLF after the search
for the end of the message, so it cannot end one. Bodies are not read line by line: each piece is searched as a whole,
and at most four octets wait for the next piece.

For a large body these searches were half of the relay's work. Python searches for one octet with `memchr`, ten times as
fast as for two, so each search is reduced to single octets where the result is the same (bench/README.md).
"""

import re

_END = b"\r\n.\r\n"
_BEGINNINGS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
# The first octet that is not allowed in a line of text (RFC 5321 sections 2.3.8 and 4.5.2; RFC 5322 for NUL).
_BARE = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n")
# As numbers: for an octet given as bytes, `in` first raises an exception inside (2 % of a small message).
_NUL, _LF, _CR = b"\0\n\r"
_NAMES = {b"\x00": "NUL", b"\r": "bare CR", b"\n": "bare LF"}
# Twice as fast as `bytes.find` for these three octets.
_DOT_LINE = re.compile(rb"\r\n\.")


def bare(text: bytes) -> str | None:
    """Return the name of the first NUL, bare CR or bare LF, or None. The text must not be cut inside a CRLF."""
    if line_ends(text) is not None:
        return None
    found = _BARE.search(text)
    return found and _NAMES[found[0]]


def line_ends(text: bytes) -> int | None:
    """Return the number of CRLFs in a text, or None if it contains a NUL, bare CR or bare LF."""
    # Each LF follows a CR, and there is no other CR, if and only if removing all CRs and inserting one before each LF
    # gives the same text.
    without = text.replace(b"\r", b"")
    if _NUL in text or without.replace(b"\n", b"\r\n") != text:
        return None
    return len(text) - len(without)


def normalized(text: bytes) -> bytes:
    """Return a text, which is not cut inside a CRLF, with CRLF in place of each bare LF. A bare CR stays bare."""
    # A bare CR before a bare LF must not become a CRLF: of CR CR LF the first CR stays bare.
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _dot_line(text: bytes, stop: int) -> int:
    """Return the position of the first CRLF that is followed by a dot before `stop`, or -1."""
    # Encoded data has no dots, so in a large body the last dot is often in the header, and the search can end there.
    found = _DOT_LINE.search(text, 0, text.rfind(b".", 0, stop) + 1)
    return found.start() if found else -1


class LineTooLong(Exception):
    """The line is longer than the limit. It has been read to its end."""


class BareControl(Exception):
    """The input contains a NUL, bare CR or bare LF, which the message names. The rest of the input is not trusted."""


class InputBuffer:
    """The input that is not yet read, as lines of bounded length or as plain octets.

    Only the unfinished line is bounded; the driver must stop reading from the socket while `size` is large.
    """

    __slots__ = ("_at", "_data", "_end", "_end_size", "_overlong", "limit")

    def __init__(self, line_limit: int, *, line_feeds: bool = False) -> None:
        """With `line_feeds` a bare LF ends a line too."""
        #: The length of a line with its CRLF above which it is refused.
        self.limit = line_limit
        self._end = b"\n" if line_feeds else b"\r\n"
        self._end_size = len(self._end)
        self._data = b""
        self._at = 0
        self._overlong = False

    @property
    def size(self) -> int:
        """Octets that wait."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Add input."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def line(self) -> bytes | None:
        """Return the next line without its CRLF, or None until it is complete.

        Raises LineTooLong if the line with its CRLF exceeds the limit, and BareControl even if it is not complete.
        """
        start, end = self._at, self._data.find(self._end, self._at)
        if end < 0:
            if start < len(self._data):
                self._check_unfinished()
            return None
        after = end + self._end_size
        line = self._data[start:end]
        if self._end_size == 1:
            line = line.removesuffix(b"\r")
        if _LF in line or _CR in line or _NUL in line:
            raise BareControl(bare(line))
        self._at = after
        if self._overlong or after - start > self.limit:
            self._overlong = False
            raise LineTooLong
        return line

    def _check_unfinished(self) -> None:
        """Check the beginning of a line, and drop it once it is too long."""
        whole = len(self._data) - self._data.endswith(b"\r", self._at)
        if name := bare(self._data[self._at : whole]):
            raise BareControl(name)
        if whole + self._end_size - self._at > self.limit:
            self._overlong = True
            self._at = whole

    def begins(self, octets: bytes) -> bool:
        """Return whether the input begins with these octets."""
        return self._data.startswith(octets, self._at)

    def begun(self, octets: bytes) -> bool:
        """Return whether the input begins with these octets, or is a beginning of them, at the start of a line."""
        if self._overlong or self._at == len(self._data):
            return False
        return octets.startswith(self._data[self._at : self._at + len(octets)])

    def take(self, most: int | None = None) -> bytes:
        """Return up to `most` octets, or all octets."""
        data, start = self._data, self._at
        end = len(data) if most is None else min(start + most, len(data))
        if end < len(data):
            self._at = end
        else:
            # The data is released at once, because it may be 128 KiB of a body and the next piece may be late.
            self._data, self._at = b"", 0
        return data[start:end]

    def clear(self) -> None:
        """Drop all input."""
        self._data = b""
        self._at = 0
        self._overlong = False


class DotReader:
    """Reads the body that follows DATA: finds its end and removes the stuffed dots (RFC 5321 section 4.5.2)."""

    __slots__ = ("_held", "_virtual")

    def __init__(self) -> None:
        # The body begins at the start of a line: the CRLF of the DATA command serves the first line's dot.
        self._held = b"\r\n"
        self._virtual = 2

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return the next text, and the octets behind the end of data, or None before that end."""
        wire = self._held + data
        size = len(wire)
        # Most often the piece ends with the end of data, so that its dot need not be searched for.
        ends = wire.endswith(_END)
        dot = _dot_line(wire, size - 3 if ends else size)
        if dot < 0 and ends:
            dot = size - 5
        end = dot if dot < 0 or wire.startswith(_END, dot) else wire.find(_END, dot)
        if end >= 0:
            return self._unstuffed(wire[: end + 2], dot < end), wire[end + 5 :]
        cut = size - _unfinished_end(wire)
        self._held = wire[cut:]
        return self._unstuffed(wire[:cut], 0 <= dot < cut), None

    def _unstuffed(self, wire: bytes, dotted: bool) -> bytes:
        text = wire.replace(b"\r\n.", b"\r\n") if dotted else wire
        if self._virtual and text:
            text, self._virtual = text[2:], 0
        return text


def _unfinished_end(wire: bytes) -> int:
    """Return how many of the last octets may be the beginning of the end of data."""
    if wire.endswith(_BEGINNINGS):
        return next(len(beginning) for beginning in _BEGINNINGS if wire.endswith(beginning))
    return 0


class ChunkReader:
    """Joins the chunks of BDAT (RFC 3030). A chunk may end inside a CRLF, but the text that is returned does not."""

    __slots__ = ("_held", "_open")

    def __init__(self) -> None:
        self._held = b""
        self._open = False

    def feed(self, data: bytes) -> bytes:
        """Return the next text; a CR at its end waits for the next piece."""
        text = self._held + data
        self._held = b"\r" if text.endswith(b"\r") else b""
        if self._held:
            text = text[:-1]
        if text:
            self._open = not text.endswith(b"\n")
        return text

    def finish(self) -> bytes:
        """Return the rest of the text after the last chunk; a last line without CRLF gets one."""
        return self._held + b"\r\n" if self._held or self._open else b""


class TextCheck:
    """Measures the size of a body and finds the first line that is too long. A limit of 0 means no limit."""

    __slots__ = (
        "_column",
        "_ends",
        "_line_feeds",
        "_line_limit",
        "_size_limit",
        "_unending",
        "long_line",
        "long_octets",
        "size",
    )

    def __init__(self, size_limit: int, line_limit: int, *, line_feeds: bool = False) -> None:
        """With `line_feeds` a bare LF becomes CRLF, and counts as two octets."""
        self._line_feeds = line_feeds
        self._size_limit = size_limit
        self._line_limit = line_limit
        self._column = 0
        self._ends = 0
        self._unending = False
        #: Octets so far.
        self.size = 0
        #: The number of the first line that is too long, counted from 1, and its octets; 0 if no line is.
        self.long_line = 0
        self.long_octets = 0

    @property
    def oversize(self) -> bool:
        """Whether the body is larger than the limit."""
        return 0 < self._size_limit < self.size

    @property
    def failed(self) -> bool:
        """Whether the body is to be refused."""
        return self.long_line > 0 or self.oversize

    def inspect(self, text: bytes) -> bytes:
        """Measure the next piece, which is not cut inside a CRLF, and return it. Raises BareControl."""
        ends = line_ends(text)
        if ends is None and self._line_feeds:
            text = normalized(text)
            ends = line_ends(text)
        if ends is None:
            raise BareControl(bare(text))
        self.size += len(text)
        if self._unending:
            self._extend_long_line(text)
        elif self._line_limit and not self.long_line:
            self._search(text, ends)
        return text

    def _search(self, text: bytes, ends: int) -> None:
        """Search for a window of the maximum line length in which no line ends."""
        size, limit = len(text), self._line_limit
        start, begin = -self._column, 0
        while size - start > limit:
            end = text.rfind(b"\n", begin, start + limit + 2)
            if end < 0:
                self._start_long_line(text, start)
                return
            start = begin = end + 1
        last = text.rfind(b"\n")
        self._column = size - last - 1 if last >= 0 else self._column + size
        self._ends += ends

    def _start_long_line(self, text: bytes, start: int) -> None:
        begin = max(start, 0)
        self.long_line = self._ends + text.count(b"\r\n", 0, begin) + 1
        self.long_octets = begin - start
        self._extend_long_line(text[begin:])

    def _extend_long_line(self, text: bytes) -> None:
        end = text.find(b"\r\n")
        self._unending = end < 0
        self.long_octets += len(text) if end < 0 else end


class DotStuffer:
    """Stuffs the dots of a body for DATA, piece by piece (RFC 5321 section 4.5.2).

    The lines of the body must end in CRLF. If the last line has none, `end` adds it.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def stuff(self, text: bytes) -> bytes:
        """Return the next piece with its leading dots doubled."""
        before = self._tail if text.startswith((b".", b"\n")) else b""
        end = self._tail + text[-2:]
        self._tail = b"\r\n" if end.endswith(b"\r\n") else b"\r" if end.endswith(b"\r") else b""
        joined = before + text
        if _dot_line(joined, len(joined)) < 0:
            return text
        return joined.replace(b"\r\n.", b"\r\n..")[len(before) :]

    def end(self) -> bytes:
        """Return the end of data."""
        return _END[len(self._tail) :]
