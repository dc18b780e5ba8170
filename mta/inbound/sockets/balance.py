"""Balances the connections between processes that accept from the same sockets, by the number that each has open.

Without this, the process that the kernel wakes first could accept all connections of a burst and leave the others idle
for as long as the sessions last. The numbers are in shared memory; each process writes its own.
"""

import mmap
import os
from typing import Any

from twisted.python.failure import Failure

from mta.inbound.sockets.accepting import ClientConnection, ClientPort

#: A process accepts the next connection at once if it has at most this many more than the process with the fewest.
SLACK = 1
#: Seconds for which it otherwise leaves a connection to the other processes.
PAUSE = 0.002
# The number of a process that does not accept.
_ABSENT = 0xFFFF_FFFF
_OCTETS = 4


class Balance:
    """The open connections of all processes, which are numbered from 1. Process `mine` counts its own; 0 only reads."""

    def __init__(self, descriptor: int, mine: int = 0) -> None:
        """`descriptor` is that of `shared_memory`; the caller may close it."""
        self._open = memoryview(mmap.mmap(descriptor, 0)).cast("I")
        self._mine = mine - 1

    def begin(self) -> None:
        """Start counting the connections of this process."""
        self._open[self._mine] = 0

    def leave(self, number: int) -> None:
        """Note that a process does not accept any more."""
        self._open[number - 1] = _ABSENT

    def opened(self) -> None:
        """Count a connection that this process opened."""
        self._open[self._mine] += 1

    def closed(self) -> None:
        """Count a connection that this process closed."""
        self._open[self._mine] -= 1

    def may_accept(self) -> bool:
        """Return whether this process may accept the next connection, because it has few."""
        return self._open[self._mine] <= min(self._open) + SLACK


def shared_memory(processes: int) -> int:
    """Return the descriptor of the shared memory for the Balance of `processes` that do not yet accept."""
    descriptor = os.memfd_create("smtprelay-balance")
    os.write(descriptor, b"\xff" * (_OCTETS * processes))
    return descriptor


class CountedConnection(ClientConnection):
    """A connection that a SharedPort accepted."""

    server: Any

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server.balance.opened()

    def connectionLost(self, reason: Failure) -> None:
        """Count the connection as closed."""
        self.server.balance.closed()
        super().connectionLost(reason)


class SharedPort(ClientPort):
    """A listening socket from which other processes accept too."""

    transport: Any = CountedConnection
    balance: Balance
    _waited = False

    def doRead(self) -> None:
        """Accept one connection, after a pause if other processes have fewer and may accept it first."""
        if self._waited or self.balance.may_accept():
            self._waited = False
            self.accept_batch(1)
        else:
            self.pause(PAUSE)

    def resumed(self) -> None:
        """Accept the next connection if it is still there."""
        super().resumed()
        self._waited = True
