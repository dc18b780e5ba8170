"""Listening sockets that are served once a client connects, because the modules that serve them are large."""

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.blocking import RunBlocking

#: Seconds until a factory that could not be made is made again, if clients still wait.
AGAIN_SECONDS = 10.0
_log = Logger()


class LatePorts:
    """Serves sockets by a factory that is made for their first client, in a thread, so that mail goes on.

    Clients that connect meanwhile wait in the backlogs of the sockets.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], make: Callable[[], IProtocolFactory], reactor: Any, run: RunBlocking
    ) -> None:
        """`make` imports the modules and returns the factory; `run` calls it. The sockets listen and do not block."""
        self._sockets = list(sockets)
        self._make = make
        self._reactor = reactor
        self._run = run
        self._waiting: list[_Waiting] = []
        self._again: IDelayedCall | None = None
        self._ports: list[IListeningPort] = []

    def open(self) -> None:
        """Wait for the first client."""
        self._again = None
        self._waiting = [_Waiting(each, self._load) for each in self._sockets]
        for each in self._waiting:
            self._reactor.addReader(each)

    def close(self) -> "Deferred[Any]":
        """Take no more clients. The result fires when the ports are closed."""
        self._wait_no_more()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._close_sockets()
        ports, self._ports = self._ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)

    def _load(self) -> None:
        self._wait_no_more()
        self._run(self._make).addCallbacks(self._serve, self._failed)

    def _serve(self, factory: IProtocolFactory) -> None:
        # There are no sockets any more if it was closed meanwhile.
        for each in self._sockets:
            self._ports.append(self._reactor.adoptStreamPort(each.fileno(), each.family, factory))
        self._close_sockets()

    def _failed(self, failure: Failure) -> None:
        """Log the failure, which may pass: a process without free descriptors can import no module."""
        _log.failure("a port cannot be served yet", failure)
        if self._sockets:
            self._again = self._reactor.callLater(AGAIN_SECONDS, self.open)

    def _wait_no_more(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._reactor.removeReader(each)

    def _close_sockets(self) -> None:
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            each.close()


@implementer(IReadDescriptor)
class _Waiting:
    """A listening socket, which can be read once a client has connected."""

    def __init__(self, listening: socket.socket, connected: Callable[[], object]) -> None:
        self._listening = listening
        self._connected = connected

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._listening.fileno()

    def doRead(self) -> None:  # noqa: N802  Twisted names it
        """Tell of the client."""
        self._connected()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802
        """Do nothing: the socket is closed with the others."""

    def logPrefix(self) -> str:  # noqa: N802
        """Return the name of this in the log of Twisted."""
        return "LatePorts"
