"""A client that sends one message after another at a steady pace, and a sink that notes when each arrives."""

import smtplib
import socketserver
import threading
import time
from collections.abc import Sequence
from typing import Self

_TOKEN = b"X-Token: "
_OCTETS = 4096


class TimedSink:
    """An SMTP server that only notes the time at which it had each message, by the token in its header."""

    def __init__(self) -> None:
        self.arrived: dict[int, float] = {}
        sink = self

        class Session(socketserver.StreamRequestHandler):
            # One write a reply: Nagle's algorithm would add its own delays.
            disable_nagle_algorithm = True

            def handle(self) -> None:
                self.wfile.write(b"220 sink.example.test ESMTP\r\n")
                for line in self.rfile:
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        self._take()
                    self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 ok\r\n")

            def _take(self) -> None:
                token = None
                for line in self.rfile:
                    if line == b".\r\n":
                        break
                    if line.startswith(_TOKEN):
                        token = int(line.removeprefix(_TOKEN))
                if token is not None:
                    sink.arrived[token] = time.perf_counter()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def send_steadily(port: int, to: str, rate: float, count: int) -> Sequence[float]:
    """Send messages to an address at a rate a second; return when each had its 250, by its token.

    Delays are not made up for: after a slow reply the next message leaves at once, and the pace goes on from there.
    """
    answered = []
    with smtplib.SMTP("127.0.0.1", port, "client.example.test", timeout=60) as client:
        for token in range(count):
            began = time.perf_counter()
            client.sendmail("fresh@example.test", [to], _message(token))
            answered.append(time.perf_counter())
            time.sleep(max(0.0, began + 1 / rate - time.perf_counter()))
    return answered


def _message(token: int) -> bytes:
    head = b"Subject: fresh\r\n%b%d\r\n\r\n" % (_TOKEN, token)
    return head + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (_OCTETS // 72)
