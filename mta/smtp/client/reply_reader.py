"""Parses the replies of a server: RFC 5321 section 4.2.1, as liberally as Postfix and Exim do.

The first three digits decide and the text never does, because a message is sent again if the reply to it cannot be
read. The deviations that real servers show are accepted here: LF alone as the end of a line, CR CR LF, no text, a tab
for the blank, blanks in front, blank lines between replies, lines without a code inside a reply, text of any length,
and a missing line end if the server then closes or falls silent. A single line without a code is an error, because it
may belong to another protocol.
"""

import re
from functools import lru_cache

from mta.smtp.address import printable
from mta.smtp.replies import MAX_REPLY_LINE, MAX_TEXT, Reply, read_reply

#: Octets of a line, with its CR, that are read; the rest of a longer line is dropped. RFC 5321 section 4.5.3.1.5
#: allows 512.
MAX_LINE = 2048
#: Bounds of one reply with all its lines, including text that is dropped. Larger input is not a reply.
MAX_LINES = 1000
MAX_OCTETS = 256 * 1024
#: Characters of a reply to EHLO that are kept, over all its lines.
MAX_OFFER = 16384

# RFC 5321 section 4.2 Reply-line, with any text or none behind the code.
_LINE = re.compile(rb"[ \t]*+([2-5][0-9][0-9])(?![0-9])([- \t]?)(.*)", re.DOTALL)


class UnreadableReply(Exception):
    """The server's input is not a reply; the message quotes its beginning."""


class ReplyReader:
    """Parses replies. It holds at most one reply and the last piece from the transport.

    It keeps MAX_OFFER characters of the text of a reply, over all lines, and MAX_TEXT after `shorten_texts`, because a
    server may send 256 KiB for each recipient of a message. `...` stands for text that is dropped.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_code",
        "_dropped",
        "_lines",
        "_max_text",
        "_octets",
        "_room",
        "_texts",
        "skip_foreign_lines",
    )

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        # Octets of the unfinished line that were beyond MAX_LINE.
        self._dropped = 0
        self._max_text = MAX_OFFER
        # The unfinished reply: its octets, its code, the number of its lines, the texts that are kept of them, and the
        # room for further characters, which is negative once text was left out.
        self._octets = self._code = self._lines = 0
        self._texts: list[str] = []
        self._room = 0
        #: Whether lines without a code are skipped between replies too. They must not be where they could hide a reply.
        self.skip_foreign_lines = False

    @property
    def empty(self) -> bool:
        """Whether all input so far belongs to replies that `next` has returned."""
        return self._at == len(self._buffer) and not self._lines

    def shorten_texts(self) -> None:
        """Keep only MAX_TEXT characters of each further reply, because the reply to EHLO was read."""
        self._max_text = MAX_TEXT

    def feed(self, data: bytes) -> None:
        """Add input of the server. `next` must be called until it returns None before more is added."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next(self) -> Reply | None:
        """Return the next whole reply, or None. Raises UnreadableReply, after which nothing may be read."""
        while (end := self._buffer.find(b"\n", self._at)) >= 0:
            line = self._buffer[self._at : end]
            self._at = end + 1
            if not self._octets and len(line) <= MAX_REPLY_LINE and (reply := _only_line(line)) is not None:
                return reply
            if self._add_line(line):
                texts, self._texts, self._lines, self._octets = self._texts, [], 0, 0
                return read_reply(self._code, texts)
        if len(self._buffer) - self._at > MAX_LINE:
            self._drop_excess()
        return None

    def cut_off_reply(self) -> Reply | None:
        """Return the reply that only lacks its line end at the end of the connection, or None."""
        if self._at == len(self._buffer):
            return None
        try:
            self.feed(b"\n")
            return self.next()
        except UnreadableReply:
            return None

    def _drop_excess(self) -> None:
        """Keep only MAX_LINE octets of an unfinished line. Raises UnreadableReply."""
        self._dropped += len(self._buffer) - self._at - MAX_LINE
        self._check_size(MAX_LINE)
        self._buffer, self._at = self._buffer[self._at : self._at + MAX_LINE], 0

    def _check_size(self, octets: int) -> None:
        if self._octets + self._dropped + octets > MAX_OCTETS:
            raise UnreadableReply(f"a reply of more than {MAX_OCTETS} octets")

    def _add_line(self, line: bytes) -> bool:
        """Add one line to a reply; return whether the reply is complete. Raises UnreadableReply."""
        self._check_size(len(line))
        whole = not self._dropped and len(line) <= MAX_LINE
        self._octets += len(line) + self._dropped + 1
        self._dropped = 0
        line = line[:MAX_LINE].rstrip(b"\r")
        match = _LINE.fullmatch(line)
        add = self._add_further_line if self._lines else self._add_first_line
        return add(line, match, whole=whole)

    def _add_further_line(self, line: bytes, match: re.Match[bytes] | None, *, whole: bool) -> bool:
        """Add a line after the first one of a reply. Raises UnreadableReply if there are too many."""
        self._lines += 1
        if self._lines > MAX_LINES:
            raise UnreadableReply(f"a reply of more than {MAX_LINES} lines")
        if match is None or self._is_foreign(line, match):
            # Postfix skips such a line. In a refusal it may explain the reason; in a reply to EHLO it must not be read
            # as an extension.
            if self._code >= 400 and (words := line.strip()):
                self._keep(words, whole=whole)
            return False
        if self._code < 400 <= int(match[1]):
            # Exim uses the first code and Postfix the last. A reply is positive only if every line is.
            self._code = int(match[1])
        self._keep(match[3], whole=whole)
        return match[2] != b"-"

    def _is_foreign(self, line: bytes, match: re.Match[bytes]) -> bool:
        """Return whether the digits at the beginning of a further line are not a code but a number in a sentence."""
        return bool(match[3] and not match[2]) or (line[:1] in b" \t" and int(match[1]) != self._code)

    def _add_first_line(self, line: bytes, match: re.Match[bytes] | None, *, whole: bool) -> bool:
        """Add the first line of a reply, or skip a blank line. Raises UnreadableReply for any other line."""
        if match is None:
            if line.strip() and not self.skip_foreign_lines:
                raise UnreadableReply(f"not a reply: {_quoted(line)}")
            return False
        self._code, self._lines, self._room = int(match[1]), 1, self._max_text
        self._keep(match[3], whole=whole)
        return match[2] != b"-"

    def _keep(self, octets: bytes, *, whole: bool) -> None:
        """Keep the text of a line as far as there is room; `whole` tells whether all of the line was read."""
        if self._room < 0:
            return
        text = _text(octets)
        self._texts.append(text if whole and len(text) <= self._room else f"{text[: self._room]}...")
        self._room -= len(text)


@lru_cache(maxsize=512)
def _only_line(line: bytes) -> Reply | None:
    """Return the reply that consists of one line, or None if the line is not a complete reply.

    Cached, because a server answers most commands with the same text each time.
    """
    match = _LINE.fullmatch(line.rstrip(b"\r"))
    return None if match is None or match[2] == b"-" else read_reply(int(match[1]), [_text(match[3])])


def _text(octets: bytes) -> str:
    """Decode text for a log; a character that could end a line or hide text becomes `?`."""
    return printable(octets.decode("utf-8", "replace"))


def _quoted(line: bytes) -> str:
    return repr(_text(line[:80]))
