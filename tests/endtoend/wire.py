"""A client of plain sockets that sends any octets."""

import socket

from harness.waiting import PATIENCE


class Wire:
    """A client that sends any octets."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = self.connected(
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0))
        )
        self.greeting = self.reply()

    def connected(self, plain: socket.socket) -> socket.socket:
        """Prepare a new connection."""
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain

    def say(self, data: bytes) -> str:
        """Send octets and return the last line of the next reply."""
        self.socket.sendall(data)
        return self.reply()

    def ask(self, data: bytes) -> list[str]:
        """Send octets and return all lines of the next reply."""
        self.socket.sendall(data)
        lines = [self._line()]
        while lines[-1][3:4] == "-":
            lines.append(self._line())
        return lines

    def reply(self) -> str:
        """Return the last line of the next reply; "" when the server has hung up."""
        line = self._line()
        return self.reply() if line[3:4] == "-" else line

    def _line(self) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            octet = self.rest(1)
            if not octet:
                return ""
            line += octet
        return line.decode().rstrip()

    def rest(self, limit: int = 65536) -> bytes:
        try:
            return self.socket.recv(limit)
        except ConnectionResetError:
            return b""

    def to_data(self) -> "Wire":
        for command in (b"EHLO client.test", b"MAIL FROM:<a@sender.test>", b"RCPT TO:<someone@example.test>", b"DATA"):
            said = self.say(command + b"\r\n")
        assert said.startswith("354")
        return self
