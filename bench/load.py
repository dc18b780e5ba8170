"""The load in front and the sink behind: Postfix's smtp-source and smtp-sink."""

import os
import re
import subprocess
import threading
import time
from typing import Protocol, Self

from harness.processes import find_program, free_port, greets
from harness.waiting import until

_COUNTER = re.compile(rb"mesg=(\d+)")
# How long smtp-source may take to end when its last message is through.
_END_SECONDS = 10.0


def why_not() -> str | None:
    """Return the reason why this machine cannot measure, or None."""
    missing = [name for name in ("smtp-source", "smtp-sink") if find_program(name) is None]
    return f"{' and '.join(missing)} not found: install Debian's postfix package" if missing else None


class Counter(Protocol):
    """A sink, whichever it is."""

    def count(self) -> int:
        """Return how many messages it has taken since it started."""


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
        until(lambda: greets(self.port), what="smtp-sink's greeting")
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()

    def count(self) -> int:
        """Return how many messages it has taken since it started.

        The pipe is read 50 times a second rather than at every line, because counting would take time from the two
        cores.
        """
        assert self._process.stdout is not None
        while data := self._process.stdout.read(1 << 20):
            self._tail = (self._tail + data)[-200:]
        if found := _COUNTER.findall(self._tail[: self._tail.rfind(b" max")]):
            self._count = int(found[-1])
        return self._count


class Source:
    """A running smtp-source that sends to a port of 127.0.0.1; a thread waits for its end, to know the moment.

    `begun` and `ended` are of time.perf_counter(); `ended` is 0 while it runs.
    """

    def __init__(
        self, port: int, messages: int, octets: int = 4096, sessions: int = 20, *, options: tuple[str, ...] = ("-d",)
    ) -> None:
        command = [find_program("smtp-source") or "smtp-source", *options]
        command += ["-s", str(sessions), "-m", str(messages), "-l", str(octets)]
        command += ["-f", "bench@example.test", "-t", "someone@example.test", f"127.0.0.1:{port}"]
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return bool(self._process.returncode)

    def finish(self) -> None:
        """Wait for its end, or force it. Raises RuntimeError with its output if it failed."""
        self._end()
        if self.failed:
            assert self._process.stdout is not None
            raise RuntimeError(f"smtp-source failed: {self._process.stdout.read()[-500:]}")

    def _end(self) -> None:
        self._waiter.join(_END_SECONDS)
        if self._waiter.is_alive():
            self._process.kill()
            self._waiter.join()
