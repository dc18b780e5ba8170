"""A strict receiver: reads the octets of an SMTP or LMTP client one by one, by a grammar of its own.

It shares no code with the relay and forgives no mistake: a bare CR, a bare LF or a NUL anywhere, an unknown command,
and octets after the end of a message that are not a command are faults.
"""

import re
from dataclasses import dataclass, field

_COMMAND = re.compile(rb"(EHLO|LHLO|MAIL FROM:|RCPT TO:|DATA|BDAT|RSET|QUIT)(.*)")


@dataclass
class Receiver:
    """One session, which answers each command as it comes. `messages` holds the complete messages as they were sent."""

    lmtp: bool = False
    extensions: tuple[bytes, ...] = ()
    messages: list[bytes] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    replies: bytes = b"220 hi\r\n"
    #: The line that is under way: of a command, or of a message.
    line: bytearray = field(default_factory=bytearray)
    recipients: int = 0
    #: The lines of a message that comes by DATA; None outside of one.
    lines: list[bytes] | None = None
    #: Octets that a chunk still has to bring, and those of the message so far.
    chunk: int = 0
    last: bool = False
    text: bytearray = field(default_factory=bytearray)

    def hear(self, wire: bytes) -> bytes:
        """Take octets of the client and return the replies to them."""
        for octet in wire:
            if self.chunk:
                self._count(octet)
            else:
                self._read(octet)
        replies, self.replies = self.replies, b""
        return replies

    def _read(self, octet: int) -> None:
        before = self.line[-1] if self.line else 0
        if octet == 0:
            self.faults.append("NUL")
        if octet == 10 and before != 13:
            self.faults.append("bare LF")
        if octet != 10 and before == 13:
            self.faults.append("bare CR")
        self.line.append(octet)
        if before == 13 and octet == 10:
            line, self.line = bytes(self.line[:-2]), bytearray()
            if self.lines is None:
                self._obey(line)
            else:
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        assert self.lines is not None
        if line == b".":
            text = b"".join(kept + b"\r\n" for kept in self.lines)
            self.lines = None
            self._finish(text)
        else:
            self.lines.append(line.removeprefix(b"."))

    def _count(self, octet: int) -> None:
        self.text.append(octet)
        self.chunk -= 1
        if not self.chunk:
            self._end_chunk()

    def _end_chunk(self) -> None:
        if self.last:
            text, self.text = bytes(self.text), bytearray()
            if re.search(rb"\0|\r(?!\n)|(?<!\r)\n", text):
                self.faults.append("a chunk is no text")
            self._finish(text)
        else:
            self._say(b"250 chunk")

    def _finish(self, text: bytes) -> None:
        self.messages.append(text)
        for _ in range(self.recipients if self.lmtp else 1):
            self._say(b"250 taken")
        self.recipients = 0

    def _say(self, line: bytes) -> None:
        self.replies += line + b"\r\n"

    def _obey(self, line: bytes) -> None:
        self.commands.append(line)
        known = _COMMAND.fullmatch(line)
        if known is None:
            self.faults.append(f"no command: {line!r}")
            self._say(b"500 what")
            return
        verb = known[1]
        if verb in (b"EHLO", b"LHLO"):
            self.replies += (
                b"".join(b"250-%b\r\n" % word for word in (b"receiver.test", *self.extensions)) + b"250 OK\r\n"
            )
        elif verb == b"DATA":
            self.lines = []
            self._say(b"354 go")
        elif verb == b"BDAT":
            size, _, last = known[2].strip().partition(b" ")
            self.chunk, self.last = int(size), last == b"LAST"
            if not self.chunk:
                self._end_chunk()
        else:
            self.recipients += verb == b"RCPT TO:"
            self._say(b"250 ok")
