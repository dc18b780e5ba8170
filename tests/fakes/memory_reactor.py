"""A reactor whose connections are in memory; the test plays the server's end of each."""

from typing import Any

from twisted.internet import error
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure


class Wire(StringTransport):
    """A client's transport that goes down as Twisted's does: in a later turn of the reactor."""

    def __init__(self, reactor: MemoryReactorClock, protocol: Any) -> None:
        super().__init__()
        self.options: set[str] = set()
        self.tls: Any = None
        self._reactor = reactor
        self._protocol = protocol
        self._down = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options.add("nodelay")

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options.add("keepalive")

    def getHandle(self) -> None:
        return None

    def startTLS(self, options: Any) -> None:
        self.tls = options

    def loseConnection(self) -> None:
        super().loseConnection()
        self._reactor.callLater(0, self.lost, error.ConnectionDone())

    def abortConnection(self) -> None:
        self.aborting = self.disconnecting = True
        self._reactor.callLater(0, self.lost, error.ConnectionAborted())

    # The server's side

    def says(self, *lines: str) -> None:
        """Let the server say these lines."""
        self._protocol.dataReceived("".join(f"{line}\r\n" for line in lines).encode())

    def heard(self) -> bytes:
        """Return the octets that were written since the last call."""
        written: bytes = self.value()
        self.clear()
        return written

    def lost(self, reason: Exception | None = None) -> None:
        """Take the connection down, once."""
        if not self._down:
            self._down = self.disconnected = True
            if self.producer is not None:
                self.producer.stopProducing()
            self._protocol.connectionLost(Failure(reason or error.ConnectionDone()))

    def shake_hands(self) -> None:
        self._protocol.handshakeCompleted()


class Net(MemoryReactorClock):
    """The reactor; `wires` holds every connection that was let happen."""

    def __init__(self) -> None:
        super().__init__()
        self.wires: list[Wire] = []

    @property
    def targets(self) -> list[tuple[str, int]]:
        return [(host, port) for host, port, *_ in self.tcpClients]

    def accept(self, *lines: str) -> Wire:
        """Let the last connection attempt succeed; the server says these lines."""
        factory = self.tcpClients[-1][2]
        protocol = factory.buildProtocol(None)
        wire = Wire(self, protocol)
        self.wires.append(wire)
        protocol.makeConnection(wire)
        if lines:
            wire.says(*lines)
        return wire

    def refuse(self) -> None:
        self._fail(error.ConnectionRefusedError())

    def time_out(self) -> None:
        self._fail(error.TimeoutError())

    def _fail(self, reason: Exception) -> None:
        self.tcpClients[-1][2].clientConnectionFailed(self.connectors[-1], Failure(reason))
