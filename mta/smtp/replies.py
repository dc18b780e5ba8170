"""Replies: a code, an enhanced status and lines of text (RFC 5321 section 4.2, RFC 3463, RFC 2034)."""

import re
from dataclasses import InitVar, field

from mta.fast_value import fast_value
from mta.smtp.address import printable

#: RFC 5321 section 4.5.3.1.5 allows 512 octets a reply line with its CRLF.
MAX_REPLY_LINE = 512
#: Characters of a reply that are logged and reported.
MAX_TEXT = 2000
# A text of this many octets fits its line with any code and status.
_SHORT = MAX_REPLY_LINE - 32
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


@fast_value(frozen=True, slots=True)
class Reply:
    """A server's reply. `status` is "" where RFC 2034 does not ask for one (greeting, EHLO, 3xx).

    `wire` has the octets to send. They are built once, so that a constant reply costs little to send; a reply that was
    `received` has none. `positive` tells whether the command succeeded (2yz) or may go on (3yz).
    """

    code: int
    status: str
    lines: tuple[str, ...]
    wire: bytes = field(init=False, repr=False, compare=False)
    # A field, because it is read eighteen times for a relayed message and each reply is built once.
    positive: bool = field(init=False, repr=False, compare=False)
    received: InitVar[bool] = False

    def __post_init__(self, received: bool) -> None:  # noqa: FBT001  a field
        """Build the wire form; a character that could end a line or hide text becomes `?`."""
        if not 200 <= self.code <= 599 or not self.lines:
            raise ValueError(f"not a reply: {self.code} {self.lines}")
        object.__setattr__(self, "positive", self.code < 400)
        if received:
            object.__setattr__(self, "wire", b"")
            return
        prefix = f"{self.status} " if self.status else ""
        line = self.lines[0]
        if len(self.lines) == 1 and len(line) <= _SHORT and line.isascii() and line.isprintable():
            # The reply to each message is such a line; the code below costs three times as much.
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
        """Whether the command may succeed later (4yz)."""
        return 400 <= self.code < 500

    @property
    def text(self) -> str:
        """All lines as one, for a log or a report, cut to MAX_TEXT characters."""
        text = " ".join(self.lines)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."

    def __str__(self) -> str:
        """Return the whole reply on one line."""
        return f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"


def reply(code: int, status: str, *lines: str) -> Reply:
    """Build a reply from its parts; a short form for constants."""
    return Reply(code, status, lines)


def read_reply(code: int, lines: list[str]) -> Reply:
    """Build a reply that a server sent. An enhanced status at the start of each line is removed (RFC 2034)."""
    match = _STATUS.match(lines[0])
    if match is None or int(match[1][0]) != code // 100:
        return Reply(code, "", tuple(lines), received=True)
    status = match[1]
    return Reply(code, status, tuple(line.removeprefix(status).lstrip(" ") for line in lines), received=True)


def _cut(text: str, octets: int) -> bytes:
    """Return the beginning of a text that fits, without a part of a character at its end."""
    encoded = text.encode()
    return encoded if len(encoded) <= octets else encoded[:octets].decode(errors="ignore").encode()
