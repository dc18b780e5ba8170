"""Runs one worker process: its start, its channel, its output and its end.

The output of a worker passes through the parent in whole lines, so that the lines of several workers do not mix.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from socket import socketpair
from typing import Any, Protocol

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from mta.workers import STOP_SECONDS
from mta.workers.channel import Channel, Handler, open_channel

#: The descriptor of the channel in a worker; the other inherited descriptors follow.
CHANNEL_DESCRIPTOR = 3
_OUT, _ERR = 1, 2
# Seconds from the end of the channel until the worker is stopped.
_LAST_SECONDS = 2.0
# Octets of a worker's standard error that are kept until it listens; older ones are discarded.
_MAX_STARTUP_ERRORS = 65536
#: Octets of an incomplete line that are kept; a longer line is split.
MAX_LINE = 1 << 20


class LineBuffer:
    """Splits a stream of octets after the last line end, in bulk, because most pieces end with a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take more octets, and return the lines that are complete."""
        whole, end, rest = data.rpartition(b"\n")
        if end:
            lines, self._rest = self._rest + whole + end, rest
            return lines
        self._rest += rest
        return self.end() if len(self._rest) > MAX_LINE else b""

    def end(self) -> bytes:
        """Return the incomplete line with a line end added."""
        rest, self._rest = self._rest, b""
        return rest + b"\n" if rest else b""


@dataclass(frozen=True, slots=True)
class End:
    """How a worker ended."""

    #: The exit status; None if a signal ended the worker.
    status: int | None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is None:
            return f"ended with status {self.status}"
        return f"was killed by {signal.Signals(self.signal).name}"


class WorkerListener(Protocol):
    """Is told about the life of a worker."""

    def worker_ready(self, worker: "WorkerProcess") -> None:
        """Handle that a worker listens."""

    def worker_ended(self, worker: "WorkerProcess", end: End) -> None:
        """Handle the end of a worker whose output is completely forwarded."""


@dataclass(frozen=True, slots=True)
class OutputSinks:
    """The destinations of the output of workers, and of notices about them."""

    #: Takes whole lines of a worker's event log.
    pass_on: Callable[[bytes], object]
    #: Takes whole lines of a worker's standard error.
    complain: Callable[[bytes], object]
    #: Takes a line for the operator.
    trouble: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Launch:
    """Starts worker processes."""

    #: Returns the command line of a worker by its number. The descriptors are appended, the channel's first.
    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str]
    #: The descriptors that a worker inherits.
    inherited: Sequence[int]
    #: Called with the number of a worker that has ended.
    ended: Callable[[int], object]

    def start(self, reactor: Any, worker: "WorkerProcess") -> None:
        """Start a process. Raises OSError."""
        ours, theirs = socketpair()
        descriptors = [theirs.fileno(), *self.inherited]
        numbers = range(CHANNEL_DESCRIPTOR, CHANNEL_DESCRIPTOR + len(descriptors))
        command = [*self.command(worker.number), *map(str, numbers)]
        with open(os.devnull, "rb") as null, theirs:  # noqa: PTH123  a device
            files: dict[int, int | str] = {0: null.fileno(), _OUT: "r", _ERR: "r"}
            files.update(zip(numbers, descriptors, strict=True))
            try:
                reactor.spawnProcess(worker, command[0], command, self.environment, childFDs=files)
            except BaseException:
                ours.close()
                raise
        open_channel(reactor, ours, worker.channel)


class WorkerProcess(ProcessProtocol):
    """One process. `handlers` are for the verbs of the channel other than `ready` and `alive`."""

    def __init__(
        self, number: int, listener: WorkerListener, sinks: OutputSinks, clock: Any, handlers: Mapping[str, Handler]
    ) -> None:
        self.number = number
        self.born = self.last_heartbeat = float(clock.seconds())
        #: The messages in its queue at the start; None until it listens.
        self.waiting: int | None = None
        self._listener = listener
        self._sinks = sinks
        self._clock = clock
        self.pid = 0
        self._out, self._err = LineBuffer(), LineBuffer()
        #: The lines of its standard error until it listens. They explain a failed start, once for all workers.
        self.startup_errors = b""
        self._stopper: IDelayedCall | None = None
        self._killer: IDelayedCall | None = None
        verbs: Mapping[str, Handler] = {"ready": self._ready, "alive": self._alive}
        self.channel = Channel({**handlers, **verbs}, ended=self._channel_ended, trouble=sinks.trouble)

    @property
    def listens(self) -> bool:
        """Whether the worker accepts mail."""
        return self.waiting is not None

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if the worker does not end within STOP_SECONDS."""
        if self._killer is None and self.transport is not None:
            self._killer = self._clock.callLater(STOP_SECONDS, self.kill)
            self._signal("TERM")

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal("KILL")

    def connectionMade(self) -> None:
        """Store the process id."""
        transport: Any = self.transport
        self.pid = transport.pid

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N802, N803  Twisted names them
        """Forward the output of the worker."""
        if childFD == _OUT:
            self._forward_stdout(self._out.feed(data))
        else:
            self._forward_stderr(self._err.feed(data))

    def processEnded(self, reason: Failure) -> None:  # noqa: N802
        """Forward the rest of the output, and tell the listener."""
        self.transport = None
        for timer in (self._stopper, self._killer):
            if timer is not None and timer.active():
                timer.cancel()
        self._forward_stdout(self._out.end())
        self._forward_stderr(self._err.end())
        self.channel.close()
        self._listener.worker_ended(self, _end(reason))

    def _channel_ended(self) -> None:
        """Stop the worker, unless its process ends by itself, which also ends the channel."""
        if self.transport is not None:
            self._stopper = self._clock.callLater(_LAST_SECONDS, self.stop)

    def _ready(self, waiting: int) -> None:
        self.waiting = waiting
        startup_errors, self.startup_errors = self.startup_errors, b""
        self._forward_stderr(startup_errors)
        self._alive()
        self._listener.worker_ready(self)

    def _alive(self) -> None:
        self.last_heartbeat = float(self._clock.seconds())

    def _forward_stdout(self, lines: bytes) -> None:
        if lines:
            self._sinks.pass_on(lines)

    def _forward_stderr(self, lines: bytes) -> None:
        if lines and self.listens:
            self._sinks.complain(lines)
        else:
            self.startup_errors = (self.startup_errors + lines)[-_MAX_STARTUP_ERRORS:]

    def _signal(self, name: str) -> None:
        transport: Any = self.transport
        if transport is not None:
            try:
                transport.signalProcess(name)
            except ProcessExitedAlready:
                return


def _end(reason: Failure) -> End:
    value = reason.value
    if isinstance(value, ProcessDone | ProcessTerminated):
        return End(value.exitCode, value.signal)
    return End(None)
