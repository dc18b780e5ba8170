"""Taking connections off a listening socket: few at a turn, hardly any work for whom we turn away, and a clear word
even when there are no descriptors left.

Twisted's own port would take as many in one turn as it took in the last and twenty more, which lets a flood hold the
reactor; would make a transport for each that is turned away; and without descriptors would close without a word, with a
line of its log for each, or go round and round where it has none in reserve.
"""

import errno
import os
import resource
import socket
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.smtp.replies import Reply, reply

_log = Logger()

NO_DESCRIPTORS = reply(421, "4.3.2", "Too many open files here, please try again later")

#: Connections taken in one turn of the reactor at most.
MOST_AT_ONCE = 32
#: Seconds for which nothing is accepted when the system has nothing to give, not even for a refusal.
PAUSE = 1.0
#: Descriptors that are left to the queue and the deliveries whatever the clients do; or an eighth, where there are few.
HEADROOM = 64

_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Host(Protocol):
    """The factory of a ClientPort."""

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:  # noqa: N802  Twisted names it
        """Return the protocol of a client, or a TurnedAway."""

    def no_room(self, address: str, refusal: Reply, trouble: str) -> None:
        """Learn of a client that was turned away because the system had no room for it, and in what words it said so.

        `address` is "" where not even a refusal could be sent.
        """


class RejectedClient(TwistedProtocol):
    """The protocol of a client that is not served: it hears why, and that is all."""

    def __init__(self, refusal: Reply) -> None:
        self.refusal = refusal

    def connectionMade(self) -> None:
        """Say why, where the port has not done so."""
        assert self.transport is not None
        self.transport.write(self.refusal.wire)
        self.transport.loseConnection()


class ClientPort(Port):
    """A listening socket whose factory is a Host."""

    reactor: Any
    _pause: IDelayedCall | None = None
    _spare: int | None = None
    # The number that no client's descriptor reaches.
    _highest = 0
    _at_once = 1

    def startListening(self) -> None:  # noqa: N802  Twisted names it
        """Begin, with a descriptor in reserve for refusals."""
        super().startListening()
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._highest = soft - min(HEADROOM, soft // 8)
        self._reserve()

    def doRead(self) -> None:
        """Take what waits, as much as one turn has room for."""
        self.take(self._at_once)

    def take(self, most: int) -> None:
        """Take up to so many connections."""
        for _ in range(most):
            try:
                connection, address = self.socket.accept()
            except OSError as error:
                if error.errno in _NO_RESOURCES:
                    self._without_room(error)
                self._at_once = 1
                return
            if connection.fileno() < self._highest:
                try:
                    self._serve(connection, address)
                except Exception:  # noqa: BLE001  the reactor would close the port for a fault with one client
                    _log.failure("a connection could not be served")
            else:
                self._refuse_for_room(connection, address, "almost all descriptors are in use")
        # As many as came: most often one, and the call that finds no more is saved.
        self._at_once = min(2 * most, MOST_AT_ONCE)

    def connectionLost(self, reason: Failure) -> None:
        """Close."""
        self.end_pause()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        super().connectionLost(reason)

    def pause(self, seconds: float) -> None:
        """Leave all connections where they are for a while."""
        self.stopReading()
        self._pause = self.reactor.callLater(seconds, self._resume)

    def end_pause(self) -> None:
        """Forget that we wait."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def resumed(self) -> None:
        """Act at the end of a pause; the port reads again."""
        self._reserve()

    def _resume(self) -> None:
        self._pause = None
        if not self.disconnecting:
            self.startReading()
            self.resumed()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        if len(address) == 4 and address[3]:
            # The scope of a link-local address stands in its name.
            name = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
            address = (name, *address[1:])
        try:
            protocol = cast("Host", self.factory).buildProtocol(self._buildAddr(address))
        except Exception:
            # The log keeps what failed, and would keep the connection open with it.
            connection.close()
            raise
        if type(protocol) is RejectedClient:
            _say_and_close(connection, protocol.refusal)
            return
        number = self.sessionno
        self.sessionno = number + 1
        transport = self.transport(connection, protocol, address, self, number, self.reactor)
        protocol.makeConnection(transport)

    def _without_room(self, error: OSError) -> None:
        """Give up what is in reserve for as long as one refusal takes; the others wait in the kernel meanwhile."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
            try:
                connection, address = self.socket.accept()
            except OSError:
                self._reserve()
            else:
                self._refuse_for_room(connection, address, _words(error))
                self._reserve()
                if self._spare is not None:
                    return
        cast("Host", self.factory).no_room("", NO_DESCRIPTORS, _words(error))
        self.pause(PAUSE)

    def _refuse_for_room(self, connection: socket.socket, address: Any, trouble: str) -> None:
        _say_and_close(connection, NO_DESCRIPTORS)
        cast("Host", self.factory).no_room(str(address[0]), NO_DESCRIPTORS, trouble)

    def _reserve(self) -> None:
        if self._spare is None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                # Somebody else of this process was quicker: the next pause ends with another try.
                self._spare = None


def _say_and_close(connection: socket.socket, refusal: Reply) -> None:
    """Send the words, which a new connection always has room for, and close at once: no transport, no turn to wait."""
    try:
        connection.send(refusal.wire, socket.MSG_DONTWAIT)
    except OSError:
        # The client has gone.
        pass
    finally:
        connection.close()


def _words(error: OSError) -> str:
    return f"the system gives no more connections ({error.strerror})"
