"""What a server said, cut out of its bytes: RFC 5321 section 4.2.1, bounded and strict."""

import re
from functools import lru_cache

from mta.smtp.printable import printable
from mta.smtp.replies import Reply, read_reply

#: RFC 5321 section 4.5.3.1.5 says 512 with the CRLF; real servers put help texts and links there.
MAX_LINE = 2048
MAX_LINES = 100

# RFC 5321 section 4.2 Reply-line. The blank after a lone code is missing often enough to be forgiven.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?", re.DOTALL)


class UnreadableReply(Exception):
    """The server's bytes are no reply; the message quotes as little as an operator needs."""


class ReplyReader:
    """Cuts bytes into replies. Never holds more than one reply and what the transport gave at once."""

    __slots__ = ("_at", "_buffer", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._lines: list[bytes] = []

    @property
    def empty(self) -> bool:
        """Whether every byte so far belonged to a reply already given out."""
        return self._at == len(self._buffer) and not self._lines

    def feed(self, data: bytes) -> None:
        """Take more of the server's bytes; call `next` until it gives None before feeding again."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next(self) -> Reply | None:
        """Return the next whole reply, or None. Raises UnreadableReply, after which nothing may be read."""
        while (end := self._buffer.find(b"\r\n", self._at)) >= 0:
            line = self._buffer[self._at : end]
            self._at = end + 2
            if not self._lines and (reply := _only_line(line)) is not None:
                return reply
            self._lines.append(line)
            if len(self._lines) > MAX_LINES:
                raise UnreadableReply(f"a reply of more than {MAX_LINES} lines")
            if line[3:4] != b"-":
                lines, self._lines = self._lines, []
                return _join([_split(line) for line in lines])
        if len(self._buffer) - self._at > MAX_LINE:
            raise UnreadableReply(f"a reply line of more than {MAX_LINE} octets")
        return None


@lru_cache(maxsize=512)
def _only_line(line: bytes) -> Reply | None:
    """Return the reply that a line is by itself; None when more belong to it.

    Cached: a server answers most commands in the same words each time.
    """
    code, more, text = _split(line)
    return None if more else read_reply(code, [text])


def _join(parts: list[tuple[int, bool, str]]) -> Reply:
    codes = {code for code, _, _ in parts}
    if len(codes) > 1:
        raise UnreadableReply(f"a reply with two codes: {min(codes)} and {max(codes)}")
    return read_reply(codes.pop(), [text for _, _, text in parts])


def _split(line: bytes) -> tuple[int, bool, str]:
    """Return the code, whether more lines follow, and the text."""
    if len(line) > MAX_LINE:
        raise UnreadableReply(f"a reply line of more than {MAX_LINE} octets")
    match = _LINE.fullmatch(line)
    if match is None:
        raise UnreadableReply(f"not a reply: {_quoted(line)}")
    return int(match[1]), match[2] == b"-", _text(match[3] or b"")


def _text(octets: bytes) -> str:
    """Decode for a log; what could break a line or hide text there becomes `?`."""
    return printable(octets.decode("utf-8", "replace"))


def _quoted(line: bytes) -> str:
    return repr(_text(line[:80]))
