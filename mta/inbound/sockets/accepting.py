"""The listening port: accepts connections in small batches, and rejects clients with a 421 and without a transport.

The port replaces the accept loop of Twisted's `Port` for three reasons. Twisted accepts in one turn as many connections
as in the last turn and twenty more, so that a flood holds the reactor. It builds a transport for each rejected client.
When the process is out of file descriptors, Twisted closes connections without a reply and with one log line each, or
loops if it has no descriptor in reserve.
"""

import errno
import os
import resource
import socket
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.inbound.sockets.port_rule import PortRule
from mta.smtp.replies import Reply, reply

_log = Logger()

NO_DESCRIPTORS = reply(421, "4.3.2", "Too many open files here, please try again later")

#: The maximum number of connections accepted in one turn of the reactor.
MAX_BATCH = 32
#: Seconds without accepting after the system had no descriptor even for a rejection.
PAUSE = 1.0
#: Descriptors that are reserved for the queue and the deliveries, but at most an eighth of all.
HEADROOM = 64

_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class ClientFactory(Protocol):
    """The factory of a ClientPort."""

    @property
    def rule(self) -> PortRule:
        """The rule of the port."""

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:  # noqa: N802  Twisted names it
        """Return the protocol of a client, or a RejectedClient."""

    def no_room(self, address: str, refusal: Reply, trouble: str) -> None:
        """Log that a client was rejected for lack of a system resource; `trouble` names it.

        `address` is "" if not even a refusal could be sent.
        """


class RejectedClient(TwistedProtocol):
    """The protocol of a client that is rejected: it sends the octets of a refusal and closes."""

    def __init__(self, refusal: bytes) -> None:
        self.refusal = refusal

    def connectionMade(self) -> None:
        """Send the refusal, if the port has not sent it."""
        assert self.transport is not None
        self.transport.write(self.refusal)
        self.transport.loseConnection()


class ClientConnection(Server):
    """A connection that a ClientPort accepted."""

    # A shutdown before the close changes nothing, because no other process has the descriptor. With a connection for
    # each message most of them would fail and raise, because the client has closed before.
    _shouldShutdown = False  # noqa: N815  Twisted names it


class ClientPort(Port):
    """A listening socket whose factory is a ClientFactory."""

    reactor: Any
    transport: Any = ClientConnection
    _pause: IDelayedCall | None = None
    _reserved: int | None = None
    # The descriptors of clients are lower than this number.
    _descriptor_limit = 0
    _batch = 1

    def startListening(self) -> None:  # noqa: N802  Twisted names it
        """Start accepting, with a descriptor in reserve for rejections."""
        super().startListening()
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._descriptor_limit = soft - min(HEADROOM, soft // 8)
        self._reserve_descriptor()

    def doRead(self) -> None:
        """Accept a batch of connections."""
        self.accept_batch(self._batch)

    def accept_batch(self, size: int) -> None:
        """Accept up to `size` connections."""
        for _ in range(size):
            try:
                connection, address = self.socket.accept()
            except OSError as error:
                if error.errno in _NO_RESOURCES:
                    self._out_of_resources(error)
                self._batch = 1
                return
            if connection.fileno() < self._descriptor_limit:
                try:
                    self._serve(connection, address)
                except Exception:  # noqa: BLE001  the reactor would close the port for a fault with one client
                    _log.failure("a connection could not be served")
            else:
                self._reject(connection, address, "almost all descriptors are in use")
        # The batch grows only while it is filled: it is most often one, which saves the call that finds no more.
        self._batch = min(2 * size, MAX_BATCH)

    def connectionLost(self, reason: Failure) -> None:
        """Cancel the pause and release the reserved descriptor."""
        self.end_pause()
        if self._reserved is not None:
            os.close(self._reserved)
            self._reserved = None
        super().connectionLost(reason)

    def pause(self, seconds: float) -> None:
        """Leave new connections in the kernel's queue for some seconds."""
        self.stopReading()
        self._pause = self.reactor.callLater(seconds, self._resume)

    def end_pause(self) -> None:
        """Cancel the end of a pause."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def resumed(self) -> None:
        """Do the work that is due after a pause; the port accepts again."""
        self._reserve_descriptor()

    def _resume(self) -> None:
        self._pause = None
        if not self.disconnecting:
            self.startReading()
            self.resumed()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        if len(address) == 4 and address[3]:
            # The scope of a link-local address is part of its text.
            name = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
            address = (name, *address[1:])
        try:
            protocol = cast("ClientFactory", self.factory).buildProtocol(self._buildAddr(address))
        except Exception:
            # The logged failure refers to the connection, which would otherwise stay open.
            connection.close()
            raise
        if type(protocol) is RejectedClient:
            _send_and_close(connection, protocol.refusal)
            return
        number = self.sessionno
        self.sessionno = number + 1
        transport = self.transport(connection, protocol, address, self, number, self.reactor)
        protocol.makeConnection(transport)

    def _out_of_resources(self, error: OSError) -> None:
        """Reject one client by the reserved descriptor; further connections wait in the kernel's queue."""
        if self._reserved is not None:
            os.close(self._reserved)
            self._reserved = None
            try:
                connection, address = self.socket.accept()
            except OSError:
                self._reserve_descriptor()
            else:
                self._reject(connection, address, _error_text(error))
                self._reserve_descriptor()
                if self._reserved is not None:
                    return
        cast("ClientFactory", self.factory).no_room("", NO_DESCRIPTORS, _error_text(error))
        self.pause(PAUSE)

    def _reject(self, connection: socket.socket, address: Any, trouble: str) -> None:
        factory = cast("ClientFactory", self.factory)
        _send_and_close(connection, factory.rule.refusal(NO_DESCRIPTORS))
        factory.no_room(str(address[0]), NO_DESCRIPTORS, trouble)

    def _reserve_descriptor(self) -> None:
        if self._reserved is None:
            try:
                self._reserved = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                # Another part of the process took the descriptor; it is tried again after the next pause.
                self._reserved = None


def _send_and_close(connection: socket.socket, refusal: bytes) -> None:
    """Send a refusal, for which a new connection always has room, and close at once without a transport."""
    try:
        connection.send(refusal, socket.MSG_DONTWAIT)
    except OSError:
        # The client is gone.
        pass
    finally:
        connection.close()


def _error_text(error: OSError) -> str:
    return f"the system gives no more connections ({error.strerror})"
