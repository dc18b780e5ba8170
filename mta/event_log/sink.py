"""Writes to a descriptor that another process reads, without ever waiting for the reader.

Standard output may be a file, a terminal, a pipe or a socket, and other processes may share it. O_NONBLOCK would be set
for all of them, because it belongs to the open file and not to the descriptor: a pipe or a terminal is opened anew, and
a socket takes a flag with each call.
"""

import os
import select
import socket
import stat
from contextlib import suppress

# A pipe that `poll` calls writable takes as many octets at once.
_AT_ONCE = select.PIPE_BUF
_OPEN = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Outlet:
    """A descriptor to write to."""

    def __init__(self, descriptor: int) -> None:
        """Prepare; a descriptor that is not open raises OSError with each write."""
        self._descriptor = descriptor
        # The same pipe or terminal, opened here.
        self._own: int | None = None
        self._socket: socket.socket | None = None
        self._is_pipe = False
        with suppress(OSError):
            mode = os.fstat(descriptor).st_mode
            self._is_pipe = stat.S_ISFIFO(mode)
            if stat.S_ISSOCK(mode):
                self._socket = socket.socket(fileno=os.dup(descriptor))

    def open_anew(self) -> None:
        """Open a pipe or a terminal once more, which another user may not be allowed to; do nothing if that fails.

        Before, or without that, a terminal may be waited for.
        """
        if self._own is None and (self._is_pipe or os.isatty(self._descriptor)):
            with suppress(OSError):
                self._own = os.open(f"/proc/self/fd/{self._descriptor}", _OPEN)

    def write(self, data: memoryview) -> int:
        """Return how many octets were taken: 0 when more would have to wait for the reader. Raises OSError."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT)
            if self._own is not None:
                return os.write(self._own, data)
            if self._is_pipe:
                return os.write(self._descriptor, data[:_AT_ONCE]) if self.wait(0.0) else 0
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0

    def wait(self, seconds: float) -> bool:
        """Wait until something may be written, but no longer than that; return whether it may."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Close the descriptors that were opened here."""
        if self._own is not None:
            os.close(self._own)
            self._own = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def write_out(descriptor: int, lines: bytes, patience: float) -> None:
    """Write lines before logging begins or after it ended; a reader that stopped gets `patience` seconds each time."""
    outlet, left = Outlet(descriptor), memoryview(lines)
    with suppress(OSError):
        while left and outlet.wait(patience):
            left = left[outlet.write(left) :]
    outlet.close()
