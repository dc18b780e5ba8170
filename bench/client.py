"""A mail client that knows the moment: raw octets on a socket, and as little work between them as can be."""

import socket
import time
from collections.abc import Sequence
from typing import Self

SENDER = "bench@example.test"
_SECONDS = 60.0


def content(octets: int = 4096) -> bytes:
    """Return a message of about that size with its end of data."""
    head = b"From: <bench@example.test>\r\nTo: <someone@example.test>\r\nSubject: measured\r\n\r\n"
    line = b"x" * 76 + b"\r\n"
    return head + line * max(1, (octets - len(head)) // len(line)) + b".\r\n"


class Client:
    """One connection to a port of 127.0.0.1, which it greets with EHLO. Every reply must be of 2xx or 3xx."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        self._replies(1)
        self.say(["EHLO client.example.test"])
        return self

    def __exit__(self, *exc: object) -> None:
        self._lines.close()
        self._socket.close()

    def say(self, commands: Sequence[str]) -> None:
        """Send commands in one group and read all their replies. Raises RuntimeError at one that refuses."""
        self._socket.sendall("".join(f"{command}\r\n" for command in commands).encode())
        self._replies(len(commands))

    def send(self, recipients: Sequence[str], message: bytes) -> float:
        """Send a message and return the seconds from its last octet, handed to the kernel, to its 250."""
        self.say([f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{each}>" for each in recipients), "DATA"])
        self._socket.sendall(message)
        said = time.perf_counter()
        self._replies(1)
        return time.perf_counter() - said

    def _replies(self, count: int) -> None:
        while count:
            line = self._lines.readline()
            if line[:1] not in (b"2", b"3"):
                raise RuntimeError(f"the server says {line.decode(errors='replace').strip() or 'nothing more'}")
            count -= line[3:4] != b"-"
