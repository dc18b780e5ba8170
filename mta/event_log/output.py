"""Writes the event log to standard output without blocking the reactor, and takes in the log of Twisted.

Standard output may be a file, a terminal, a pipe or a socket, and other processes may share it. O_NONBLOCK would change
it for all of them, because the flag belongs to the open file and not to the descriptor. Therefore a pipe or a terminal
is opened a second time, and a socket gets a flag with each call.
"""

import fcntl
import os
import select
import socket
import stat
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.event_log.emitting import MakeLine
from mta.event_log.lines import Render, render_text
from mta.event_log.log import EventLog

# A pipe that `poll` reports as writable takes this many octets at once.
_PIPE_OCTETS = select.PIPE_BUF
_OPEN_FLAGS = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
#: Octets that may wait in memory for a reader that has stopped.
MAX_WAITING = 1024 * 1024
#: Seconds that such a reader gets at the end of the program.
CLOSE_TIMEOUT = 1.0
# Seconds for which lines are gathered before they are written, and the longest time until the next write to a reader
# that has stopped.
_GATHER_SECONDS = 0.02
_MAX_PAUSE = 0.5


class OutputSink:
    """A descriptor to write to."""

    def __init__(self, descriptor: int) -> None:
        """Prepare; a descriptor that is not open raises OSError at each write."""
        self._descriptor = descriptor
        # The same pipe or terminal, opened by this process.
        self._reopened: int | None = None
        self._socket: socket.socket | None = None
        self._is_pipe = False
        with suppress(OSError):
            mode = os.fstat(descriptor).st_mode
            self._is_pipe = stat.S_ISFIFO(mode)
            if stat.S_ISSOCK(mode):
                self._socket = socket.socket(fileno=os.dup(descriptor))

    def reopen(self) -> None:
        """Open a pipe or a terminal a second time; do nothing if that fails, as it may for another user.

        Without it a write to a terminal may block.
        """
        if self._reopened is None and (self._is_pipe or os.isatty(self._descriptor)):
            with suppress(OSError):
                self._reopened = os.open(f"/proc/self/fd/{self._descriptor}", _OPEN_FLAGS)

    def write(self, data: memoryview) -> int:
        """Return how many octets were written: 0 if a write would have to wait for the reader. Raises OSError."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT)
            if self._reopened is not None:
                return os.write(self._reopened, data)
            if self._is_pipe:
                return os.write(self._descriptor, data[:_PIPE_OCTETS]) if self.wait(0.0) else 0
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0

    def wait(self, seconds: float) -> bool:
        """Wait until the descriptor is writable, at most so many seconds; return whether it is."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Close the descriptors that this object opened."""
        if self._reopened is not None:
            os.close(self._reopened)
            self._reopened = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def write_out(descriptor: int, lines: bytes, timeout: float) -> None:
    """Write lines before logging begins or after it has ended; give up when the reader takes none for `timeout` s."""
    sink, left = OutputSink(descriptor), memoryview(lines)
    with suppress(OSError):
        while left and sink.wait(timeout):
            left = left[sink.write(left) :]
    sink.close()


def end_cut_line(descriptor: int) -> None:
    """Add a line end to a file that ends within a line, because the process that wrote it before was killed.

    Otherwise the first line of this process would follow on the same line. Nothing is done to a pipe or a terminal, nor
    to a file that this process may not read.
    """
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            appending = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
            end = os.lseek(descriptor, 0, os.SEEK_END if appending else os.SEEK_CUR)
            if end and _octet(descriptor, end - 1) not in {b"", b"\n"}:
                os.write(descriptor, b"\n")


def _octet(descriptor: int, at: int) -> bytes:
    """Return the octet of a file that is open for writing; empty beyond its end. Raises OSError."""
    reading = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(reading, 1, at)
    finally:
        os.close(reading)


@dataclass(slots=True)
class _Chunk:
    """Octets that wait for the reader, and the number of lines lost if they are dropped."""

    data: memoryview
    lines: int


class Output:
    """Writes lines to a file descriptor. Lines are gathered for some milliseconds, under load many for one write.

    If the reader stops reading, lines wait in memory, up to MAX_WAITING octets. Later lines are dropped and counted,
    and one line says how many were lost when the reader is back. If the reader is gone, log lines are lost, but no
    mail.
    """

    def __init__(
        self,
        descriptor: int,
        clock: IReactorTime,
        render: Render = render_text,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; `render` and `wall_clock` are used for lines about the log itself."""
        self._sink = OutputSink(descriptor)
        self._clock = clock
        self._render = render
        self._wall_clock = wall_clock
        # Lines, or the arguments of `write_later`.
        self._lines: list[str | tuple[MakeLine, float, tuple[Any, ...]]] = []
        self._chunks: deque[_Chunk] = deque()
        #: Octets that wait in memory for the reader.
        self.waiting = 0
        # Lost lines that no line has reported yet.
        self._lost = 0
        #: All lines that were lost.
        self.dropped = 0
        # Seconds until the next attempt to write to a reader that has stopped, and its timer.
        self._pause = _GATHER_SECONDS
        self._retry: IDelayedCall | None = None

    def open(self) -> None:
        """Open the pipe or terminal a second time; to be called after daemonizing and before privileges are dropped."""
        self._sink.reopen()

    def write(self, line: str) -> None:
        """Write a line, which includes its line end, some milliseconds later."""
        if not self._lines:
            self._clock.callLater(_GATHER_SECONDS, self.flush)
        self._lines.append(line)

    def write_later(self, line: MakeLine, now: float, values: tuple[Any, ...]) -> None:
        """Write the line that `line` returns for a time and values; it is called when gathered lines are written."""
        if not self._lines:
            self._clock.callLater(_GATHER_SECONDS, self.flush)
        self._lines.append((line, now, values))

    def write_lines(self, lines: bytes) -> None:
        """Write whole lines that another process has gathered, after the lines that wait here."""
        self.flush()
        self._put(lines)

    def flush(self) -> None:
        """Write the gathered lines, or queue them for the reader."""
        # A line that is written while lines are made comes after them.
        lines, self._lines = self._lines, []
        self._put("".join([line if type(line) is str else self._made(*line) for line in lines]).encode())

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write the remaining lines; block for at most `timeout` seconds if the reader has stopped."""
        end = self._clock.seconds() + timeout
        self.flush()
        while self._chunks and self._sink.wait(max(0.0, end - self._clock.seconds())):
            self._drain()
        self._cancel_retry()
        self._sink.close()

    def _made(self, line: MakeLine, now: float, values: tuple[Any, ...]) -> str:
        """Return a line; a fault in its place if a bug prevents it, so that it costs no other line."""
        try:
            return line(now, *values)
        except Exception:  # noqa: BLE001
            # Not by Twisted's log: the same bug may prevent the line of that fault, and so on.
            fields = {"text": "the line of an event cannot be made", "traceback": traceback.format_exc()}
            return self._render(now, "fault", fields)

    def _put(self, data: bytes) -> None:
        if data and self._has_room(len(data)):
            self._report_lost()
            self._add(data, data.count(b"\n"))
        else:
            self._lose(data.count(b"\n"))
        self._drain()

    def _lose(self, lines: int) -> None:
        self._lost += lines
        self.dropped += lines

    def _has_room(self, octets: int) -> bool:
        """Whether lines may be queued. After a loss half of the queue must be written first, so that gaps are few."""
        if not self._chunks:
            return True
        return self.waiting <= MAX_WAITING // 2 if self._lost else self.waiting + octets <= MAX_WAITING

    def _report_lost(self) -> None:
        if self._lost:
            text = f"{self._lost} lines of the log are lost: standard output was not read, or could not be written"
            self._add(self._render(self._wall_clock(), "trouble", {"text": text}).encode(), self._lost)
            self._lost = 0

    def _add(self, data: bytes, lines: int) -> None:
        self._chunks.append(_Chunk(memoryview(data), lines))
        self.waiting += len(data)

    def _drain(self) -> None:
        """Write as many of the waiting octets as the reader takes."""
        try:
            while self._chunks:
                chunk = self._chunks[0]
                taken = self._sink.write(chunk.data)
                if not taken:
                    self._schedule_retry()
                    return
                self.waiting -= taken
                self._pause = _GATHER_SECONDS
                chunk.data = chunk.data[taken:]
                if not chunk.data:
                    self._chunks.popleft()
                    if self._has_room(0):
                        # The reader is back: report the loss even if no other line comes.
                        self._report_lost()
        except OSError:
            self._lose(sum(chunk.lines for chunk in self._chunks))
            self._chunks.clear()
            self.waiting = 0
        self._cancel_retry()

    def _schedule_retry(self) -> None:
        if self._retry is None:
            self._retry = self._clock.callLater(self._pause, self._run_retry)
            self._pause = min(self._pause * 2, _MAX_PAUSE)

    def _run_retry(self) -> None:
        self._retry = None
        self._drain()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


@implementer(ILogObserver)
class TwistedObserver:
    """Writes events of Twisted's log as lines of the event log: failures with traceback, warnings, and stray prints."""

    def __init__(self, event_log: EventLog, flush: Callable[[], None]) -> None:
        self._event_log = event_log
        self._flush = flush

    def __call__(self, event: LogEvent) -> None:
        """Write one event; Twisted's informational messages are dropped."""
        # Twisted's reactors log a fault with a connection by the older interface, which has other keys.
        failure = event.get("log_failure") or event.get("failure")
        level = event.get("log_level", LogLevel.info)
        if failure is not None:
            text = formatEvent(event) if "log_failure" in event else event.get("why")
            self._event_log.fault(text or str(failure.value), _traceback(failure))
        elif level >= LogLevel.warn or event.get("log_namespace") in {"stdout", "stderr"}:
            self._event_log.notice(formatEvent(event))
        else:
            return
        self._flush()


def _traceback(failure: Failure) -> str:
    if failure.value is None or failure.value.__traceback__ is None:
        return failure.getTraceback()
    return "".join(traceback.format_exception(failure.value))
