"""A TLS layer for a TCP connection, with the two properties that Twisted's own layer lacks.

The end of input closes one direction only: after close_notify (RFC 8446 section 6.1) or the end of the TCP stream, a
protocol that provides IHalfCloseableProtocol can still write. Twisted's layer closes both directions, so a client that
sends all its commands and then closes its sending side would not get the replies.

The memory of a session is bounded: OpenSSL's memory BIO keeps the size of the largest piece that was ever written to
it, so input is written to it in small chunks.
"""

from typing import Any

from OpenSSL import SSL
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import BaseClient, Connection
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

#: Octets of memory for the buffers of a TLS session that receives a large body: the memory BIO, which grows to four
#: thirds of a chunk, and a record. OpenSSL releases the record, the BIO stays (measured: 22 KB a session).
SESSION_OCTETS = 40 * 1024
# Octets written to the memory BIO at once; a TLS record has at most 16 KiB of data (RFC 8446 section 5.1).
_CHUNK = 16384


@implementer(IHalfCloseableProtocol)
class TLSLayer(BufferingTLSTransport):
    """Twisted's layer between a TCP connection and a protocol; `start_tls` puts it there."""

    transport: Any
    _input_ended = False

    def dataReceived(self, data: bytes) -> None:
        """Decrypt input and give it to the protocol."""
        if len(data) <= _CHUNK:
            super().dataReceived(data)
            return
        for start in range(0, len(data), _CHUNK):
            # The protocol may have closed the connection because of an earlier chunk.
            if self._lostTLSConnection:
                return
            super().dataReceived(data[start : start + _CHUNK])

    def readConnectionLost(self) -> None:
        """Handle the end of the TCP stream: the peer sends no more, or the connection is lost."""
        self._input_ended = True
        if self._handshakeDone and not self.disconnecting and self._end_input():
            return
        # With any other reason Twisted would reset the connection.
        self.transport.connectionLost(connectionDone)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the session, and let go of the connection, which keeps this layer; so both are freed now."""
        super().connectionLost(reason)
        self.transport = None

    def writeConnectionLost(self) -> None:
        """Do nothing: under TLS only whole connections are closed from this side."""

    def loseConnection(self) -> None:  # noqa: N802  Twisted names it
        """Close the connection after everything is written; do not wait for a close_notify that cannot come."""
        super().loseConnection()
        if self._input_ended:
            self.transport.loseConnection()

    def _flushReceiveBIO(self) -> None:  # noqa: N802  Twisted names it
        connection = self._tlsConnection
        while not self._lostTLSConnection:
            try:
                data = connection.recv(_CHUNK)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                # When this side has sent its close_notify already, that of the peer completes the shutdown.
                if self.disconnecting or not self._end_input():
                    self._shutdownTLS()
                    self._tlsShutdownFinished(None)
                break
            except SSL.Error:
                self._tlsShutdownFinished(Failure())
            else:
                if not self._aborted:
                    ProtocolWrapper.dataReceived(self, data)
        self._flushSendBIO()

    def _end_input(self) -> bool:
        """Tell the protocol that no more input comes; False if the protocol cannot handle a half-closed connection."""
        protocol: Any = self.wrappedProtocol
        if not IHalfCloseableProtocol.providedBy(protocol):
            return False
        protocol.readConnectionLost()
        return True


class _Factory(TLSMemoryBIOFactory):
    protocol = TLSLayer


def start_tls(connection: Connection, options: Any, send: Any) -> TLSLayer:
    """Put a TLS layer between a TCP connection and its protocol, and begin the handshake; return the layer.

    `options` is of the type that Twisted's `startTLS` takes. `send` sends octets on the socket at once and returns how
    many it has sent; None leaves all writing to the reactor.
    """
    producer, streaming = connection.producer, connection.streamingProducer
    if producer is not None:
        connection.unregisterProducer()
    unwrapped: Any = None
    factory = _Factory(options, isinstance(connection, BaseClient), unwrapped)
    protocol: Any = connection.protocol
    layer = TLSLayer(factory, protocol, False)  # noqa: FBT003  Twisted's own flag
    changed: Any = connection
    changed.protocol = layer
    changed.getHandle = layer.getHandle
    changed.getPeerCertificate = layer.getPeerCertificate
    directlyProvides(connection, ISSLTransport)
    changed.TLS = True
    layer.makeConnection(_SocketTransport(connection, send))
    if producer is not None:
        connection.registerProducer(producer, streaming)
    return layer


class _SocketTransport:
    """The transport of a TLS layer: writes to the socket first and leaves the rest to the connection.

    The connection's own methods lead to the TLS layer, so this class calls those of its base class.
    """

    def __init__(self, connection: Connection, send: Any) -> None:
        self._connection: Any = connection
        self._send = send

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write(self, data: bytes) -> None:
        """Send one or more TLS records."""
        if self._send is not None:
            sent = 0
            if self._connection.connected and not self._connection.disconnecting:
                try:
                    sent = self._send(data)
                except OSError:
                    # The socket has no room, or the connection is lost, which the transport detects by itself.
                    sent = 0
            if sent == len(data):
                return
            # The reactor sends the rest, and from here on everything, which keeps the order.
            self._send = None
            data = data[sent:]
        FileDescriptor.write(self._connection, data)

    def loseConnection(self) -> None:  # noqa: N802  Twisted names it
        """Close the connection once everything is written."""
        FileDescriptor.loseConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: FBT001, N802
        """Have a producer write to the connection."""
        FileDescriptor.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:  # noqa: N802
        """Note that the producer writes no more."""
        FileDescriptor.unregisterProducer(self._connection)
