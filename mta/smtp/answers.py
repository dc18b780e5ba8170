"""What a server said, cut out of its bytes: RFC 5321 section 4.2.1, bounded and strict."""

import re
from functools import lru_cache

from mta.smtp.printable import printable
from mta.smtp.replies import MAX_REPLY_LINE, MAX_TEXT, Reply, read_reply

#: RFC 5321 section 4.5.3.1.5 says 512 with the CRLF; real servers put help texts and links there.
MAX_LINE = 2048
MAX_LINES = 100
#: Characters that are kept of a reply to EHLO, over all its lines.
MAX_OFFER = 16384

# RFC 5321 section 4.2 Reply-line. The blank after a lone code is missing often enough to be forgiven.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?", re.DOTALL)


class UnreadableReply(Exception):
    """The server's bytes are no reply; the message quotes as little as an operator needs."""


class ReplyReader:
    """Cuts bytes into replies. Never holds more than one reply and what the transport gave at once.

    Of a reply's text it keeps MAX_OFFER characters, over all lines, and after `be_brief` only as many as are ever told.
    What is left out becomes `...`: each of a message's recipients may get 200 KB of text.
    """

    __slots__ = ("_at", "_buffer", "_code", "_count", "_most", "_room", "_texts")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._most = MAX_OFFER
        # Of the reply whose last line has not come: its code, how many lines came, what is kept of them, and for how
        # many characters more there is room; less than none when something was left out.
        self._code = self._count = 0
        self._texts: list[str] = []
        self._room = 0

    @property
    def empty(self) -> bool:
        """Whether every byte so far belonged to a reply already given out."""
        return self._at == len(self._buffer) and not self._count

    def be_brief(self) -> None:
        """Keep no more of the replies to come than is told of one: EHLO has been answered."""
        self._most = MAX_TEXT

    def feed(self, data: bytes) -> None:
        """Take more of the server's bytes; call `next` until it gives None before feeding again."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next(self) -> Reply | None:
        """Return the next whole reply, or None. Raises UnreadableReply, after which nothing may be read."""
        while (end := self._buffer.find(b"\r\n", self._at)) >= 0:
            line = self._buffer[self._at : end]
            self._at = end + 2
            if not self._count and len(line) <= MAX_REPLY_LINE and (reply := _only_line(line)) is not None:
                return reply
            if self._was_last(line):
                texts, self._texts, self._count = self._texts, [], 0
                return read_reply(self._code, texts)
        if len(self._buffer) - self._at > MAX_LINE:
            raise UnreadableReply(f"a reply line of more than {MAX_LINE} octets")
        return None

    def _was_last(self, line: bytes) -> bool:
        """Take one line of a reply; return whether it is complete. Raises UnreadableReply."""
        code, more, text = _split(line)
        if not self._count:
            self._code, self._room = code, self._most
        elif code != self._code:
            raise UnreadableReply(f"a reply with two codes: {self._code} and {code}")
        self._count += 1
        if self._count > MAX_LINES:
            raise UnreadableReply(f"a reply of more than {MAX_LINES} lines")
        if self._room >= 0:
            self._texts.append(text if len(text) <= self._room else f"{text[: self._room]}...")
            self._room -= len(text)
        return not more


@lru_cache(maxsize=512)
def _only_line(line: bytes) -> Reply | None:
    """Return the reply that a line is by itself; None when more belong to it.

    Cached: a server answers most commands in the same words each time.
    """
    code, more, text = _split(line)
    return None if more else read_reply(code, [text])


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
