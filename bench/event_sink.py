"""A receiver of events that only counts requests, in a process of its own.

Usage: python -m bench.event_sink PORT

It neither reads events nor checks signatures, because its work would take the processor from the relay beside it.
"""

import subprocess
import sys
from typing import Any, Self

from twisted.internet import reactor as the_reactor
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from harness.daemon import ROOT
from harness.processes import free_port


class EventSink:
    """The process, for a `with` block."""

    def __init__(self) -> None:
        self.port = free_port()

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        return f"http://127.0.0.1:{self.port}/events"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.event_sink", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the receiver of events does not start")
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()


class Answering(LineReceiver):
    """Answers each request that has a Content-Length."""

    MAX_LENGTH = 65536

    def connectionMade(self) -> None:
        """Wait for the first request."""
        self._left = 0

    def lineReceived(self, line: bytes) -> None:
        """Note the length of the body, and go on with it after the last header."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            self._left = int(value)
        if not line:
            self.setRawMode() if self._left else self._answer()

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802  Twisted's name
        """Skip a piece of the body."""
        self._left -= len(data)
        if self._left <= 0:
            self._answer()
            self.setLineMode()

    def _answer(self) -> None:
        self._left = 0
        self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Do nothing: the relay comes again."""


if __name__ == "__main__":
    reactor: Any = the_reactor
    reactor.listenTCP(int(sys.argv[1]), Factory.forProtocol(Answering), interface="127.0.0.1")
    print("it listens", flush=True)
    reactor.run()
