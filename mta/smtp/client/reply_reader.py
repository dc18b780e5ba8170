"""Cuts the bytes of a server into replies: RFC 5321 section 4.2.1, read as liberally as Postfix and Exim read it.

The first three digits decide and the text never does, because a message is sent again if the reply to it cannot be
read. The deviations that real servers show are accepted here: LF alone as the end of a line, CR CR LF, no text, a tab
for the blank, blanks in front, blank lines between replies, lines without a code inside a reply, text of any length,
and no end of the line where the server then closes or falls silent. A line without a code that stands alone is an
error, because it may be the answer of another protocol.
"""

import re
from functools import lru_cache

from mta.smtp.address import printable
from mta.smtp.replies import MAX_REPLY_LINE, MAX_TEXT, Reply, read_reply

#: Octets of a line, with its CR, that are read; the rest of a longer line is left out. RFC 5321 section 4.5.3.1.5
#: allows 512.
MAX_LINE = 2048
#: Bounds of one reply with all its lines, text that is left out included. More than that is not a reply.
MAX_LINES = 1000
MAX_OCTETS = 256 * 1024
#: Characters that are kept of a reply to EHLO, over all its lines.
MAX_OFFER = 16384

# RFC 5321 section 4.2 Reply-line, with any text or none behind the code.
_LINE = re.compile(rb"[ \t]*+([2-5][0-9][0-9])(?![0-9])([- \t]?)(.*)", re.DOTALL)


class UnreadableReply(Exception):
    """The server's bytes are not a reply; the message quotes as little as an operator needs."""


class ReplyReader:
    """Cuts bytes into replies. Never holds more than one reply and the last piece from the transport.

    Of a reply's text it keeps MAX_OFFER characters, over all lines, and after `be_brief` only as many as are ever told.
    `...` stands for text that is left out, because a server may answer each recipient of a message with 256 KiB.
    """

    __slots__ = ("_at", "_buffer", "_code", "_count", "_dropped", "_most", "_octets", "_room", "_texts", "skip_foreign")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        # Octets of the unfinished line that were beyond MAX_LINE.
        self._dropped = 0
        self._most = MAX_OFFER
        # The unfinished reply: its octets, its code, the number of its lines, the texts that are kept of them, and the
        # room for further characters, which is negative once text was left out.
        self._octets = self._code = self._count = 0
        self._texts: list[str] = []
        self._room = 0
        #: Whether lines without a code are left out between replies too: only where they cannot hide an answer.
        self.skip_foreign = False

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
        while (end := self._buffer.find(b"\n", self._at)) >= 0:
            line = self._buffer[self._at : end]
            self._at = end + 1
            if not self._octets and len(line) <= MAX_REPLY_LINE and (reply := _only_line(line)) is not None:
                return reply
            if self._was_last(line):
                texts, self._texts, self._count, self._octets = self._texts, [], 0, 0
                return read_reply(self._code, texts)
        if len(self._buffer) - self._at > MAX_LINE:
            self._cut_unfinished()
        return None

    def unended(self) -> Reply | None:
        """Return the reply that lacked only its line end when the connection ended, or None."""
        if self._at == len(self._buffer):
            return None
        try:
            self.feed(b"\n")
            return self.next()
        except UnreadableReply:
            return None

    def _cut_unfinished(self) -> None:
        """Hold no more than MAX_LINE octets of a line that has no end yet. Raises UnreadableReply."""
        self._dropped += len(self._buffer) - self._at - MAX_LINE
        self._bound(MAX_LINE)
        self._buffer, self._at = self._buffer[self._at : self._at + MAX_LINE], 0

    def _bound(self, octets: int) -> None:
        if self._octets + self._dropped + octets > MAX_OCTETS:
            raise UnreadableReply(f"a reply of more than {MAX_OCTETS} octets")

    def _was_last(self, line: bytes) -> bool:
        """Take one line of a reply; return whether it is complete. Raises UnreadableReply."""
        self._bound(len(line))
        whole = not self._dropped and len(line) <= MAX_LINE
        self._octets += len(line) + self._dropped + 1
        self._dropped = 0
        line = line[:MAX_LINE].rstrip(b"\r")
        match = _LINE.fullmatch(line)
        take = self._go_on if self._count else self._begin
        return take(line, match, whole=whole)

    def _go_on(self, line: bytes, match: re.Match[bytes] | None, *, whole: bool) -> bool:
        """Take a line behind the first one of a reply. Raises UnreadableReply when there are too many."""
        self._count += 1
        if self._count > MAX_LINES:
            raise UnreadableReply(f"a reply of more than {MAX_LINES} lines")
        if match is None or self._is_foreign(line, match):
            # Not of the protocol: Postfix leaves it out. It may explain a refusal; of EHLO it must not become an offer.
            if self._code >= 400 and (words := line.strip()):
                self._keep(words, whole=whole)
            return False
        if self._code < 400 <= int(match[1]):
            # Exim goes by the first code and Postfix by the last. A yes counts only when every line says so.
            self._code = int(match[1])
        self._keep(match[3], whole=whole)
        return match[2] != b"-"

    def _is_foreign(self, line: bytes, match: re.Match[bytes]) -> bool:
        """Whether digits in front of a line inside a reply are not its code: a number in a sentence."""
        return bool(match[3] and not match[2]) or (line[:1] in b" \t" and int(match[1]) != self._code)

    def _begin(self, line: bytes, match: re.Match[bytes] | None, *, whole: bool) -> bool:
        """Take the first line of a reply, or pass over a blank line. Raises UnreadableReply for any other line."""
        if match is None:
            if line.strip() and not self.skip_foreign:
                raise UnreadableReply(f"not a reply: {_quoted(line)}")
            return False
        self._code, self._count, self._room = int(match[1]), 1, self._most
        self._keep(match[3], whole=whole)
        return match[2] != b"-"

    def _keep(self, octets: bytes, *, whole: bool) -> None:
        """Keep the text of a line as far as there is room; `whole` tells whether nothing of the line was left out."""
        if self._room < 0:
            return
        text = _text(octets)
        self._texts.append(text if whole and len(text) <= self._room else f"{text[: self._room]}...")
        self._room -= len(text)


@lru_cache(maxsize=512)
def _only_line(line: bytes) -> Reply | None:
    """Return the reply that a line is by itself, or None when it is not one.

    Cached: a server answers most commands in the same words each time.
    """
    match = _LINE.fullmatch(line.rstrip(b"\r"))
    return None if match is None or match[2] == b"-" else read_reply(int(match[1]), [_text(match[3])])


def _text(octets: bytes) -> str:
    """Decode for a log; what could break a line or hide text there becomes `?`."""
    return printable(octets.decode("utf-8", "replace"))


def _quoted(line: bytes) -> str:
    return repr(_text(line[:80]))
