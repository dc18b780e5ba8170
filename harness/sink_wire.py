"""The wire of one connection to a sink: lines and octets, plain or encrypted, and replies by the sink's rules."""

import socket
from typing import TYPE_CHECKING, Any

from harness.exporting_socket import ExportingSocket
from harness.sink_rules import Message
from harness.waiting import PATIENCE

if TYPE_CHECKING:
    from harness.sink import Sink


class GoneError(Exception):
    """The conversation is over."""


class Wire:
    """Lines and octets over a socket, plain or encrypted. The sink records the peer's mistakes as faults."""

    def __init__(self, sink: "Sink", connection: socket.socket, number: int) -> None:
        self.sink = sink
        self.connection: socket.socket | ExportingSocket = connection
        self.number = number
        self.buffer = b""
        self.encrypted = False
        #: The common name of the certificate that the client has shown, or "".
        self.certificate = ""
        #: The channel binding tls-exporter (RFC 9266) of the connection, if the sink makes one.
        self.exporter: bytes | None = None
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
        assert isinstance(plain, socket.socket)
        if "SCRAM-SHA-256-PLUS" in self.sink.mechanisms and self.sink.tls is not None:
            self.connection = ExportingSocket(plain, *self.sink.tls)
            self.exporter = self.connection.exporter
        else:
            self.connection = self.sink.context.wrap_socket(plain, server_side=True)
            self.certificate = _common_name(self.connection.getpeercert())
        self.encrypted = True
        with self.sink.lock:
            self.sink.open_connections.discard(plain)
            self.sink.open_connections.add(self.connection)


def _common_name(certificate: Any) -> str:
    """Return the common name in the subject of a peer's certificate, in the form of `ssl`; "" without one."""
    fields = [field for part in (certificate or {}).get("subject", ()) for field in part]
    return next((text for name, text in fields if name == "commonName"), "")
