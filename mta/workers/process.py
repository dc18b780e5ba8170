"""One life of one worker, as the parent sees it: its start, its words, its output and its end.

The output of a worker on its way through the parent: whole lines only, so that those of several never mix.
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

from mta.workers.channel import Channel, Handler, open_channel

#: Octets of a line whose end has not come; a longer one is parted.
LONGEST = 1 << 20


class LineBuffer:
    """Cuts what comes in pieces behind the last end of a line. In bulk: most pieces are passed on as they are."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take what came and return the lines that are whole now."""
        whole, end, rest = data.rpartition(b"\n")
        if end:
            lines, self._rest = self._rest + whole + end, rest
            return lines
        self._rest += rest
        return self.end() if len(self._rest) > LONGEST else b""

    def end(self) -> bytes:
        """Return what is left, which gets the end it lacks."""
        rest, self._rest = self._rest, b""
        return rest + b"\n" if rest else b""


#: Seconds that a worker has to stop: the grace of running deliveries, goodbyes, and a sync or two.
STOP_SECONDS = 20.0
#: Where a worker finds the channel among its descriptors; all that it inherits follows.
CHANNEL_DESCRIPTOR = 3

_OUT, _ERR = 1, 2
# Seconds from the end of the channel to that of the process.
_LAST_SECONDS = 2.0
# Octets of them that are kept, the last ones.
_MAX_STARTUP_ERRORS = 65536


@dataclass(frozen=True, slots=True)
class End:
    """How a worker ended."""

    #: The exit status; None if a signal ended it.
    status: int | None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is None:
            return f"ended with status {self.status}"
        return f"was killed by {signal.Signals(self.signal).name}"


class WorkerListener(Protocol):
    """Whoever keeps the workers."""

    def worker_ready(self, worker: "WorkerProcess") -> None:
        """Learn that a worker listens."""

    def worker_ended(self, worker: "WorkerProcess", end: End) -> None:
        """Learn that a worker is gone, and everything that it said is passed on."""


@dataclass(frozen=True, slots=True)
class OutputSinks:
    """Where words about workers go."""

    #: Takes whole lines of a worker's journal.
    pass_on: Callable[[bytes], object]
    #: Takes whole lines of what a worker says outside it, on standard error.
    complain: Callable[[bytes], object]
    #: Takes a line for the operator.
    trouble: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a worker is started."""

    #: The command line for a worker of this number; its descriptors are added, that of the channel first.
    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str]
    #: What it inherits, as our own descriptors.
    inherited: Sequence[int]
    #: Called with the number of a worker that has ended.
    ended: Callable[[int], object]

    def start(self, reactor: Any, worker: "WorkerProcess") -> None:
        """Start a process. Raises OSError."""
        ours, theirs = socketpair()
        descriptors = [theirs.fileno(), *self.inherited]
        numbers = range(CHANNEL_DESCRIPTOR, CHANNEL_DESCRIPTOR + len(descriptors))
        command = [*self.command(worker.number), *map(str, numbers)]
        with open(os.devnull, "rb") as nothing, theirs:  # noqa: PTH123  a device, not a path of anyone's
            files: dict[int, int | str] = {0: nothing.fileno(), _OUT: "r", _ERR: "r"}
            files.update(zip(numbers, descriptors, strict=True))
            try:
                reactor.spawnProcess(worker, command[0], command, self.environment, childFDs=files)
            except BaseException:
                ours.close()
                raise
        open_channel(reactor, ours, worker.channel)


class WorkerProcess(ProcessProtocol):
    """One process. `handlers` are for what it says about things other than its life."""

    def __init__(
        self, number: int, listener: WorkerListener, sinks: OutputSinks, clock: Any, handlers: Mapping[str, Handler]
    ) -> None:
        self.number = number
        self.born = self.last_sign = float(clock.seconds())
        #: The messages it found waiting; None until it listens.
        self.waiting: int | None = None
        self._listener = listener
        self._sinks = sinks
        self._clock = clock
        self.pid = 0
        self._out, self._err = LineBuffer(), LineBuffer()
        #: The lines of its standard error until it listens: why it cannot, to be told once for all workers.
        self.startup_errors = b""
        self._stopper: IDelayedCall | None = None
        self._killer: IDelayedCall | None = None
        verbs: Mapping[str, Handler] = {"ready": self._ready, "alive": self._alive}
        self.channel = Channel({**handlers, **verbs}, ended=self._channel_ended, trouble=sinks.trouble)

    @property
    def listens(self) -> bool:
        """Whether it takes mail."""
        return self.waiting is not None

    def stop(self) -> None:
        """Have it stop as a relay does; what does not end in time is killed."""
        if self._killer is None and self.transport is not None:
            self._killer = self._clock.callLater(STOP_SECONDS, self.kill)
            self._signal("TERM")

    def kill(self) -> None:
        """End it at once."""
        self._signal("KILL")

    def connectionMade(self) -> None:
        """Note which process it is."""
        transport: Any = self.transport
        self.pid = transport.pid

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N802, N803  Twisted names them
        """Pass on what it writes."""
        if childFD == _OUT:
            self._forward_stdout(self._out.feed(data))
        else:
            self._forward_stderr(self._err.feed(data))

    def processEnded(self, reason: Failure) -> None:  # noqa: N802
        """Pass on its last words, and tell."""
        self.transport = None
        for timer in (self._stopper, self._killer):
            if timer is not None and timer.active():
                timer.cancel()
        self._forward_stdout(self._out.end())
        self._forward_stderr(self._err.end())
        self.channel.close()
        self._listener.worker_ended(self, _end(reason))

    def _channel_ended(self) -> None:
        """The channel ended: because the worker ends, and how shall be seen; or else it is to."""
        if self.transport is not None:
            self._stopper = self._clock.callLater(_LAST_SECONDS, self.stop)

    def _ready(self, waiting: int) -> None:
        self.waiting = waiting
        startup_errors, self.startup_errors = self.startup_errors, b""
        self._forward_stderr(startup_errors)
        self._alive()
        self._listener.worker_ready(self)

    def _alive(self) -> None:
        self.last_sign = float(self._clock.seconds())

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
