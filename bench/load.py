"""The load in front and the sink behind: Postfix's smtp-source and smtp-sink, and what one round of them shows."""

import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.fakes.processes import answers, find_program, free_port, until

if TYPE_CHECKING:
    from bench.peers import Peer

MESSAGE_BYTES = 4096
SESSIONS = 20
_ROUND_SECONDS = 300.0
_COUNTER = re.compile(rb"mesg=(\d+)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """How the clients behave: `options` are smtp-source's."""

    name: str
    words: str
    options: tuple[str, ...]


PATTERNS = (
    Pattern("reuse", f"{SESSIONS} sessions, each reusing its connection", ("-d",)),
    Pattern("connect", f"{SESSIONS} sessions, a connection a message", ()),
)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured: seconds until the last 250 and until the sink had counted the last message."""

    messages: int
    accepted_seconds: float
    delivered_seconds: float

    @property
    def accepts(self) -> float:
        """Durable accepts a second."""
        return self.messages / self.accepted_seconds

    @property
    def deliveries(self) -> float:
        """Messages a second from the first connect until the sink had counted all."""
        return self.messages / self.delivered_seconds


def why_not() -> str | None:
    """Return why nothing can be measured here, or None."""
    missing = [name for name in ("smtp-source", "smtp-sink") if find_program(name) is None]
    return f"{' and '.join(missing)} not found: install Debian's postfix package" if missing else None


class Sink:
    """smtp-sink, which counts messages and throws them away; its running counter is read from a pipe."""

    def __init__(self) -> None:
        self.port = free_port()
        self._count = 0
        self._tail = b""

    def __enter__(self) -> Self:
        # smtp-sink refuses to keep root's rights; "nobody" exists on every Debian.
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        program = find_program("smtp-sink") or "smtp-sink"
        command = [program, *user, "-c", "-m", "1000", f"127.0.0.1:{self.port}", "1000"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        until(lambda: answers(self.port), what="smtp-sink's greeting")
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()

    def count(self) -> int:
        """Return how many messages it has taken since it started.

        The pipe is read 50 times a second rather than at every line, so that counting costs the two cores nothing.
        """
        assert self._process.stdout is not None
        while data := self._process.stdout.read(1 << 20):
            self._tail = (self._tail + data)[-200:]
        if found := _COUNTER.findall(self._tail[: self._tail.rfind(b" max")]):
            self._count = int(found[-1])
        return self._count


def measure(peer: "Peer", sink: Sink, pattern: Pattern, messages: int) -> Round:
    """Send `messages` through a peer and return what it took. Raises RuntimeError or TimeoutError if it fails."""
    goal = sink.count() + messages
    command = [find_program("smtp-source") or "smtp-source", *pattern.options]
    command += ["-s", str(SESSIONS), "-m", str(messages), "-l", str(MESSAGE_BYTES)]
    command += ["-f", "bench@example.test", "-t", "someone@example.test", f"127.0.0.1:{peer.port}"]
    source = _Source(command)
    try:
        until(lambda: sink.count() >= goal or source.failed, _ROUND_SECONDS, what=f"{peer.name}: message {messages}")
        ended = time.perf_counter()
    finally:
        words = source.finish()
    if source.failed:
        raise RuntimeError(f"{peer.name}: smtp-source failed: {words[-500:]}")
    return Round(messages, source.ended - source.begun, ended - source.begun)


class _Source:
    """A running smtp-source; a thread waits for its end, to know the moment."""

    def __init__(self, command: list[str]) -> None:
        self.ended = 0.0
        self.begun = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._waiter = threading.Thread(target=self._wait)
        self._waiter.start()

    def _wait(self) -> None:
        self._process.wait()
        self.ended = time.perf_counter()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return bool(self._process.returncode)

    def finish(self) -> str:
        """Wait for its end, which is near or is forced, and return what it said."""
        self._waiter.join(10)
        if self._waiter.is_alive():
            self._process.kill()
            self._waiter.join()
        assert self._process.stdout is not None
        return self._process.stdout.read()
