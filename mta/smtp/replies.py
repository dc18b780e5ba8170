"""Replies: a code, an enhanced status and lines of text (RFC 5321 section 4.2, RFC 3463, RFC 2034)."""

import re
from dataclasses import InitVar, field

from mta.fast_value import fast_value
from mta.smtp.address import printable

#: RFC 5321 section 4.5.3.1.5 allows 512 octets a reply line with its CRLF.
MAX_REPLY_LINE = 512
#: Characters of a reply that are told; no honest one needs more.
MAX_TEXT = 2000
# A text of so many octets fits its line with any code and status.
_SHORT = MAX_REPLY_LINE - 32
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


@fast_value(frozen=True, slots=True)
class Reply:
    """What a server answers. `status` is "" where RFC 2034 asks for none (greeting, EHLO, 3xx).

    `wire` is what goes out, built once: a constant reply costs nothing to send. One that was `heard` from a remote has
    none. `positive` tells whether the command succeeded (2yz) or may go on (3yz).
    """

    code: int
    status: str
    lines: tuple[str, ...]
    wire: bytes = field(init=False, repr=False, compare=False)
    # Asked eighteen times a relayed message, of replies that are built once.
    positive: bool = field(init=False, repr=False, compare=False)
    heard: InitVar[bool] = False

    def __post_init__(self, heard: bool) -> None:  # noqa: FBT001  a field
        """Build the wire form; a character that could end a line or hide text becomes `?`."""
        if not 200 <= self.code <= 599 or not self.lines:
            raise ValueError(f"not a reply: {self.code} {self.lines}")
        object.__setattr__(self, "positive", self.code < 400)
        if heard:
            object.__setattr__(self, "wire", b"")
            return
        prefix = f"{self.status} " if self.status else ""
        line = self.lines[0]
        if len(self.lines) == 1 and len(line) <= _SHORT and line.isascii() and line.isprintable():
            # The verdict on each message is one of these; what follows costs three times as much.
            object.__setattr__(self, "wire", f"{self.code} {prefix}{line}\r\n".encode())
            return
        room = MAX_REPLY_LINE - 6 - len(prefix)
        encoded = [
            f"{self.code}{'-' if more else ' '}{prefix}".encode() + _cut(printable(line), room)
            for more, line in zip(range(len(self.lines) - 1, -1, -1), self.lines, strict=True)
        ]
        object.__setattr__(self, "wire", b"\r\n".join(encoded) + b"\r\n")

    @property
    def temporary(self) -> bool:
        """Whether trying again later may help (4yz)."""
        return 400 <= self.code < 500

    @property
    def text(self) -> str:
        """The lines as one, for a log or a report, cut where they are longer than anyone needs."""
        text = " ".join(self.lines)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."

    def __str__(self) -> str:
        """Give the whole reply on one line, as an operator would quote it."""
        return f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"


def reply(code: int, status: str, *lines: str) -> Reply:
    """Build a reply from its parts; the short form for constants."""
    return Reply(code, status, lines)


def read_reply(code: int, lines: list[str]) -> Reply:
    """Build the Reply a remote sent: an enhanced status that leads every line is taken off the text (RFC 2034)."""
    match = _STATUS.match(lines[0])
    if match is None or int(match[1][0]) != code // 100:
        return Reply(code, "", tuple(lines), heard=True)
    status = match[1]
    return Reply(code, status, tuple(line.removeprefix(status).lstrip(" ") for line in lines), heard=True)


def _cut(text: str, octets: int) -> bytes:
    """Return as much of a text as fits, without half a character at the end."""
    encoded = text.encode()
    return encoded if len(encoded) <= octets else encoded[:octets].decode(errors="ignore").encode()
