"""How processes that accept from the same sockets share the connections: by how many each of them has open.

Whichever process the kernel wakes first could take all that come together and leave the others idle, for as long as
sessions last. The numbers stand in memory that all of them see; each writes its own.
"""

import mmap
import os
from typing import Any

from twisted.internet.tcp import Server
from twisted.python.failure import Failure

from mta.inbound.accepting import ClientPort

#: How many connections a process may have more than the one that has least, and still take the next at once.
SLACK = 1
#: Seconds that it otherwise leaves a connection to the others.
PAUSE = 0.002
# In place of the number of a process that takes none.
_ABSENT = 0xFFFF_FFFF
_OCTETS = 4


class Balance:
    """The open connections of all processes, numbered from 1, as process `mine` sees them; 0 watches only."""

    def __init__(self, descriptor: int, mine: int = 0) -> None:
        """`descriptor` is what `shared_memory` gave; the caller may close it."""
        self._open = memoryview(mmap.mmap(descriptor, 0)).cast("I")
        self._mine = mine - 1

    def begin(self) -> None:
        """Take connections from now on."""
        self._open[self._mine] = 0

    def leave(self, number: int) -> None:
        """Note that a process takes none any more."""
        self._open[number - 1] = _ABSENT

    def opened(self) -> None:
        """Note one more of ours."""
        self._open[self._mine] += 1

    def closed(self) -> None:
        """Note one less of ours."""
        self._open[self._mine] -= 1

    def our_turn(self) -> bool:
        """Whether no other process should take the next connection in our place."""
        return self._open[self._mine] <= min(self._open) + SLACK


def shared_memory(processes: int) -> int:
    """Return the descriptor of memory for a Balance of so many processes, none of which takes connections yet."""
    descriptor = os.memfd_create("smtprelay-balance")
    os.write(descriptor, b"\xff" * (_OCTETS * processes))
    return descriptor


class CountedConnection(Server):
    """A connection that was taken by a SharedPort."""

    server: Any

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server.balance.opened()

    def connectionLost(self, reason: Failure) -> None:
        """Count it out."""
        self.server.balance.closed()
        super().connectionLost(reason)


class SharedPort(ClientPort):
    """A listening socket that other processes accept from too."""

    transport: Any = CountedConnection
    balance: Balance
    _waited = False

    def doRead(self) -> None:
        """Take one connection if it is our turn; if not, only when nobody else has taken it a moment later."""
        if self._waited or self.balance.our_turn():
            self._waited = False
            self.take(1)
        else:
            self.pause(PAUSE)

    def resumed(self) -> None:
        """Take the next connection if it is still there."""
        super().resumed()
        self._waited = True
