"""One connection to a sink: the wire, and the server's side of the dialogue."""

import base64
import hashlib
import hmac
import re
import socket
from typing import TYPE_CHECKING

from harness.sink_rules import Login, Message
from harness.waiting import PATIENCE

if TYPE_CHECKING:
    from harness.sink import Sink

_PATH = re.compile(rb"(?:FROM|TO):<([^>]*)>\s*(.*)", re.IGNORECASE)


class GoneError(Exception):
    """The conversation is over."""


class _Wire:
    """Lines and octets over a socket, plain or encrypted. The sink records the peer's mistakes as faults."""

    def __init__(self, sink: "Sink", connection: socket.socket, number: int) -> None:
        self.sink = sink
        self.connection = connection
        self.number = number
        self.buffer = b""
        self.encrypted = False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(PATIENCE)

    def close(self) -> None:
        try:
            self.connection.close()
        except OSError:
            return

    def fault(self, words: str) -> None:
        with self.sink.lock:
            self.sink.faults.append(f"connection {self.number}: {words}")

    def receive(self) -> bytes:
        data = self.connection.recv(65536)
        if not data:
            raise GoneError
        return data

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            self.buffer += self.receive()
        line, _, self.buffer = self.buffer.partition(b"\n")
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            self.fault(f"bare CR or LF in command {line!r}")
        return line.rstrip(b"\r")

    def send(self, *lines: str) -> None:
        self.connection.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def answer(self, verb: str, argument: str, usual: str, message: Message | None = None) -> bool:
        """Reply as the rules say, else as usual; a message is recorded before its 2yz. Whether that was success."""
        rule = self.sink.rule_for(verb, argument)
        if rule is not None and rule.hold is not None:
            with self.sink.lock:
                self.sink.waiting += 1
            rule.hold.wait(PATIENCE)
        reply = usual if rule is None else rule.reply
        if message is not None and reply is not None and reply[0] == "2":
            with self.sink.lock:
                self.sink.messages.append(message)
        if reply is not None:
            self.send(*reply.split("\n"))
        if reply is None or (rule is not None and rule.close):
            raise GoneError
        return reply[0] in "23"

    def encrypt(self) -> None:
        assert self.sink.context is not None
        if self.buffer:
            self.fault(f"sent in clear before TLS: {self.buffer!r}")
            self.buffer = b""
        plain = self.connection
        self.connection = self.sink.context.wrap_socket(plain, server_side=True)
        self.encrypted = True
        with self.sink.lock:
            self.sink.open_connections.discard(plain)
            self.sink.open_connections.add(self.connection)


class Session(_Wire):
    """The dialogue: one method a verb."""

    def __init__(self, sink: "Sink", connection: socket.socket, number: int) -> None:
        super().__init__(sink, connection, number)
        self.user = ""
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
        if self.sink.users:
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

    def do_auth(self, argument: bytes) -> None:
        mechanism, _, initial = argument.partition(b" ")
        name = mechanism.decode("ascii", "replace").upper()
        if name not in self.sink.mechanisms:
            self.send("504 5.5.4 no such mechanism")
            return
        user, password, good = getattr(self, f"auth_{name.lower().replace('-', '_')}")(initial)
        with self.sink.lock:
            self.sink.logins.append(Login(name, user, password, good, self.encrypted))
        if not good:
            self.send("535 5.7.8 authentication credentials invalid")
        elif self.answer("AUTH", name, "235 2.7.0 welcome"):
            self.user = user

    def challenge(self, words: bytes) -> bytes:
        self.send("334 " + base64.b64encode(words).decode())
        return base64.b64decode(self.line())

    def auth_plain(self, initial: bytes) -> tuple[str, str, bool]:
        answer = base64.b64decode(initial) if initial else self.challenge(b"")
        _, user, password = answer.decode().split("\0")
        return user, password, self.sink.users.get(user) == password

    def auth_login(self, initial: bytes) -> tuple[str, str, bool]:
        user = (base64.b64decode(initial) if initial else self.challenge(b"Username:")).decode()
        password = self.challenge(b"Password:").decode()
        return user, password, self.sink.users.get(user) == password

    def auth_cram_md5(self, initial: bytes) -> tuple[str, str, bool]:
        words = b"<1.2@sink.example.test>"
        user, _, digest = self.challenge(words).decode().rpartition(" ")
        secret = self.sink.users.get(user, "")
        right = hmac.new(secret.encode(), words, hashlib.md5).hexdigest()
        return user, secret if digest == right else "", digest == right and bool(secret)

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
