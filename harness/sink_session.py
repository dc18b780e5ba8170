"""One connection to a sink: the server's side of the dialogue."""

import re
import socket
from typing import TYPE_CHECKING

from harness.sink_logins import Logins
from harness.sink_rules import Message
from harness.sink_wire import GoneError

if TYPE_CHECKING:
    from harness.sink import Sink

_PATH = re.compile(rb"(?:FROM|TO):<([^>]*)>\s*(.*)", re.IGNORECASE)


class Session(Logins):
    """The dialogue: one method a verb."""

    def __init__(self, sink: "Sink", connection: socket.socket, number: int) -> None:
        super().__init__(sink, connection, number)
        self.helo = ""
        self.reset()

    def reset(self) -> None:
        self.sender: str | None = None
        self.mail_parameters = ""
        self.recipients: list[tuple[str, str]] = []
        self.chunks = b""

    def run(self) -> None:
        if self.sink.implicit:
            self.encrypt()
        if not self.answer("CONNECT", "", f"220 {self.sink.name} ESMTP"):
            raise GoneError
        while True:
            verb, _, argument = self.line().partition(b" ")
            name = verb.decode("ascii", "replace").upper()
            handler = getattr(self, f"do_{name.lower()}", None)
            if handler is None:
                self.send("500 5.5.1 what?")
            else:
                handler(argument.strip())

    def do_ehlo(self, argument: bytes) -> None:
        self.reset()
        self.helo = argument.decode("utf-8", "replace")
        offers = [self.sink.name, *self.sink.extensions]
        if self.sink.context is not None and not self.encrypted:
            offers.append("STARTTLS")
        if self.sink.offers_login:
            offers.append("AUTH " + " ".join(self.sink.mechanisms))
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        self.answer("EHLO", self.helo, "\n".join(lines))

    def do_helo(self, argument: bytes) -> None:
        self.reset()
        self.helo = argument.decode("utf-8", "replace")
        self.answer("HELO", self.helo, f"250 {self.sink.name}")

    def do_starttls(self, argument: bytes) -> None:
        if self.answer("STARTTLS", argument.decode(), "220 2.0.0 go ahead"):
            self.encrypt()
            self.helo = ""
            self.user = ""

    def do_mail(self, argument: bytes) -> None:
        path, parameters = self.path(argument)
        if self.sender is not None:
            self.send("503 5.5.1 nested MAIL")
        elif self.answer("MAIL", path, "250 2.1.0 sender fine"):
            self.sender, self.mail_parameters = path, parameters

    def do_rcpt(self, argument: bytes) -> None:
        path, parameters = self.path(argument)
        if self.sender is None:
            self.send("503 5.5.1 MAIL first")
        elif self.answer("RCPT", path, "250 2.1.5 recipient fine"):
            self.recipients.append((path, parameters))

    def path(self, argument: bytes) -> tuple[str, str]:
        found = _PATH.fullmatch(argument)
        if found is None:
            self.fault(f"path not in brackets: {argument!r}")
            return "", ""
        return found.group(1).decode("utf-8", "replace"), found.group(2).decode("utf-8", "replace")

    def do_data(self, argument: bytes) -> None:
        if not self.recipients:
            self.send("503 5.5.1 RCPT first")
        elif self.answer("DATA", argument.decode(), "354 go ahead"):
            self.finish(self.stuffed_content(), "DATA")

    def stuffed_content(self) -> bytes:
        # The CRLF in front lets the data begin with its end: an empty message.
        data = bytearray(b"\r\n" + self.buffer)
        end = data.find(b"\r\n.\r\n")
        while end < 0:
            scanned = len(data)
            data += self.receive()
            end = data.find(b"\r\n.\r\n", max(0, scanned - 4))
        self.buffer = bytes(data[end + 5 :])
        content = bytes(data[: end + 2])
        if re.search(rb"\r\n\.(?!\.)", content):
            self.fault("a line begins with a single dot")
        return content.replace(b"\r\n..", b"\r\n.")[2:]

    def do_bdat(self, argument: bytes) -> None:
        size, _, last = argument.partition(b" ")
        chunk = bytearray(self.buffer)
        while len(chunk) < int(size):
            chunk += self.receive()
        self.buffer = bytes(chunk[int(size) :])
        self.chunks += bytes(chunk[: int(size)])
        if not self.recipients:
            self.send("503 5.5.1 RCPT first")
        elif last.upper() == b"LAST":
            self.finish(self.chunks, "BDAT")
        else:
            self.answer("BDAT", argument.decode(), "250 2.0.0 chunk fine")

    def finish(self, content: bytes, verb: str) -> None:
        self.inspect(content)
        message = Message(
            sender=self.sender or "",
            recipients=tuple(path for path, _ in self.recipients),
            mail_parameters=self.mail_parameters,
            rcpt_parameters=tuple(parameters for _, parameters in self.recipients),
            content=content,
            tls=self.encrypted,
            user=self.user,
            helo=self.helo,
            connection=self.number,
            verb=verb,
            certificate=self.certificate,
        )
        self.reset()
        self.answer(".", message.sender, "250 2.0.0 taken", message)

    def inspect(self, content: bytes) -> None:
        if re.search(rb"\r(?!\n)|(?<!\r)\n", content):
            self.fault("bare CR or LF in a message")
        if content and not content.endswith(b"\r\n"):
            self.fault("a message does not end with CRLF")
        if max(map(len, content.split(b"\r\n"))) > 998:
            self.fault("a line of a message is longer than 998 octets")

    def do_rset(self, argument: bytes) -> None:
        self.reset()
        self.answer("RSET", argument.decode(), "250 2.0.0 forgotten")

    def do_noop(self, argument: bytes) -> None:
        self.answer("NOOP", argument.decode(), "250 2.0.0 done")

    def do_quit(self, argument: bytes) -> None:
        self.answer("QUIT", argument.decode(), "221 2.0.0 bye")
        raise GoneError
