"""Writes to a descriptor that another process reads, without ever waiting for the reader.

Standard output may be a file, a terminal, a pipe or a socket, and other processes may share it. O_NONBLOCK would change
it for all of them, because the flag belongs to the open file and not to the descriptor. Therefore a pipe or a terminal
is opened a second time, and a socket gets a flag with each call.
"""

import os
import select
import socket
import stat
from contextlib import suppress

# A pipe that `poll` reports as writable takes this many octets at once.
_PIPE_OCTETS = select.PIPE_BUF
_OPEN_FLAGS = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


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
