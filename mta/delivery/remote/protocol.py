"""The Twisted protocol of one connection to a remote host.

It moves bytes between the transport and the SMTP client's machine, keeps the time limits, begins TLS, and sends a body
that is too large for one write no faster than the remote host takes it.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPullProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.connection_errors import connection_loss_text
from mta.delivery.remote.in_flight import not_noted
from mta.delivery.remote.interface import IsStale
from mta.delivery.remote.timeouts import Deadline, Timeouts
from mta.message.body import CHUNK_BYTES, Body
from mta.smtp.client.dialogue import Awaited, ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.machine import ClientMachine
from mta.tls.client import CertificateRejected, Fault, handshake_failure_text, options_of
from mta.tls.prompt_writer import PromptWriter

# Reading a member off its Enum costs as much as a call in Python 3.11, and each transaction has such an event.
_START_TLS = ClientEvent.START_TLS


class Listener(Protocol):
    """The user of a SmtpClientProtocol."""

    def session_event(self, event: ClientEvent) -> None:
        """Act on an event of the session. START_TLS does not come here, because the protocol handles it."""

    def connection_lost(self) -> None:
        """Note that the connection is down. This is the last call."""


class Transport(Protocol):
    """The part of ITLSTransport and ISystemHandle that is used here; the reactor's transports provide both."""

    # In some places Twisted has 0 and 1.
    disconnecting: int

    def writeSequence(self, data: list[bytes], /) -> None: ...  # noqa: D102, N802
    def registerProducer(self, producer: object, streaming: bool, /) -> None: ...  # noqa: D102, FBT001, N802
    def unregisterProducer(self) -> None: ...  # noqa: D102, N802
    def loseConnection(self) -> None: ...  # noqa: D102, N802
    def abortConnection(self) -> None: ...  # noqa: D102, N802
    def startTLS(self, options: object, /) -> None: ...  # noqa: D102, N802
    def getHandle(self) -> object: ...  # noqa: D102, N802
    def getHost(self) -> object: ...  # noqa: D102, N802
    def setTcpNoDelay(self, enabled: bool, /) -> None: ...  # noqa: D102, FBT001, N802
    def setTcpKeepAlive(self, enabled: bool, /) -> None: ...  # noqa: D102, FBT001, N802


@implementer(IHandshakeListener, IPullProducer)
class SmtpClientProtocol(TwistedProtocol):
    """Drives the SMTP machine in `client` and gives its events to `listener`.

    The listener must be set before the connection is made. While a body is streamed, the protocol is the pull producer
    of its own transport, so that at most two pieces of the body are in memory.
    """

    transport: Transport  # type: ignore[assignment]  # the base class declares only ITransport

    def __init__(
        self,
        clock: IReactorTime,
        client: ClientMachine,
        timeouts: Timeouts,
        tls_options: Callable[[], IOpenSSLClientConnectionCreator],
        *,
        implicit_tls: bool = False,
    ) -> None:
        """Prepare; `tls_options` is called when a TLS handshake begins."""
        self.client = client
        #: Why the certificate was rejected, if it was.
        self.fault: Fault | None = None
        #: Whether a TLS handshake is complete.
        self.handshake_done = False
        #: The relay's address on this connection; "" until a handshake begins.
        self.own_address = ""
        self.listener: Listener
        self._timeouts = timeouts
        self._tls_options = tls_options
        self._implicit_tls = implicit_tls
        self._handshaking = False
        self._writer: PromptWriter
        # While a body is streamed: the pieces to come, the number of octets not yet read, and the function that notes
        # the request before the last piece is sent.
        self._pieces: Iterator[bytes] | None = None
        self._unread = 0
        self._note: Callable[[], Deferred[IsStale | None]]
        self._clock = clock
        self._deadline: Deadline

    def connectionMade(self) -> None:
        """Wait for the greeting; if TLS begins with the first byte, after the handshake."""
        self._deadline = Deadline(self._clock, self._expired)
        self._writer = PromptWriter(self.transport)
        with suppress(OSError):
            # A socket of UNIX has no such option, which Twisted 24.7 does not know.
            self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        if self._implicit_tls:
            self._start_tls()
        else:
            self.flush()

    def dataReceived(self, data: bytes) -> None:
        """Give the bytes to the machine, send the commands that it answers with, and act on its event."""
        replies = self.client.reply_count
        event = self.client.receive(data)
        # An incomplete reply does not move the deadline, so a server that dribbles gets no more time than a silent one.
        if self.client.reply_count != replies:
            self.flush()
        if event is None:
            return
        if event is _START_TLS:
            self._start_tls()
        else:
            self.listener.session_event(event)

    def handshakeCompleted(self) -> None:
        """Continue the session inside TLS."""
        # Twisted also calls this after the certificate was rejected; the connection is then being closed.
        if self.transport.disconnecting:
            return
        options = options_of(self.transport)
        if options is not None and not options.acceptable:
            self.end(SessionFailure(FailureKind.NOT_TRUSTED, "4.7.5", "the host showed no certificate"))
            return
        self._handshaking, self.handshake_done = False, True
        if not self._implicit_tls:
            self.client.tls_started()
        self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the session for the reason that the transport gives."""
        if isinstance(reason.value, CertificateRejected):
            self.fault = reason.value.fault
        event = self.client.fail(_loss(reason, self.client.awaited, handshaking=self._handshaking))
        if event is not None:
            self.listener.session_event(event)
        self._deadline.cancel()
        listener = self.listener
        # The listener refers to this protocol. Without the way back both are freed now, with the last message that was
        # sent, and not when Python looks for garbage among old objects, minutes and thousands of connections later.
        del self.listener
        listener.connection_lost()

    def flush(self) -> None:
        """Send the commands of the machine, and set the deadline for the reply that it awaits."""
        pieces = self.client.to_send()
        if pieces:
            self._writer.write(b"".join(pieces))
        step = self.client.awaited
        if step is not None:
            self._deadline.set(self._timeouts.of(step))
        else:
            self._deadline.clear()

    def stream_body(self, body: Body, note: "Callable[[], Deferred[IsStale | None]]") -> None:
        """Send a body piece by piece, as fast as the remote host takes it; to be called on SEND_BODY.

        The last piece is held back until the Deferred that `note` returns has fired. If that fails, the session ends.
        """
        self._pieces, self._unread, self._note = _pieces(body), body.size, note
        self._deadline.set(self._timeouts.block)
        self._writer.leave_to_reactor()
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Send the next piece of the body, because the transport has room for it."""
        if self._pieces is None:
            return
        try:
            piece = next(self._pieces, None)
        except OSError as error:
            text = f"cannot read the message body: {error.strerror or error}"
            self.end(SessionFailure(FailureKind.LOCAL, "4.3.0", text))
            return
        self._unread -= len(piece or b"")
        if piece is not None and self._unread > 0:
            self.client.send_body(piece)
            self.transport.writeSequence(self.client.to_send())
            self._deadline.set(self._timeouts.block)
            return
        self._stop_streaming()
        if piece is None:
            # The body is shorter than announced, so the machine ends the session.
            self._end_body(b"")
            return
        # The connection waits for the disk now, not for the remote host.
        self._deadline.clear()
        self._note().addCallbacks(self._noted, self._not_noted, (piece,))

    def stopProducing(self) -> None:
        """Stop reading the body, because the transport is closed."""
        self._pieces = None

    def end(self, failure: SessionFailure) -> None:
        """End the session and close the connection at once; a running transaction fails with `failure`."""
        event = self.client.fail(failure)
        self.abort()
        if event is not None:
            self.listener.session_event(event)

    def abort(self) -> None:
        """Close the connection at once, and stop the body that is being sent."""
        self._stop_streaming()
        self.transport.abortConnection()

    def close(self, *, by_host: bool = False) -> None:
        """Close the connection once all written data is sent; at once if that takes longer than the time limit.

        With `by_host` the host closes it, so that it does not count it any more when it is down.
        """
        self.flush()
        self._deadline.set(self._timeouts.close)
        if not by_host:
            self.transport.loseConnection()

    def _noted(self, _: object, last_piece: bytes) -> None:
        # The session may have ended while the note was being written.
        if self.client.ended is None:
            self._end_body(last_piece)

    def _not_noted(self, failure: Failure) -> None:
        if self.client.ended is None:
            self.end(not_noted(failure))

    def _end_body(self, last_piece: bytes) -> None:
        self.client.send_body(last_piece)
        if (event := self.client.end_body()) is not None:
            self.abort()
            self.listener.session_event(event)
        else:
            self.flush()

    def _stop_streaming(self) -> None:
        if self._pieces is not None:
            self._pieces = None
            self.transport.unregisterProducer()

    def _start_tls(self) -> None:
        self._handshaking = True
        self.own_address = getattr(self.transport.getHost(), "host", "")
        self._deadline.set(self._timeouts.tls)
        try:
            self._writer.start_tls(self._tls_options())
        except Exception as error:  # noqa: BLE001  a broken TLS library must not block the mail
            self.end(SessionFailure(FailureKind.TLS_FAILED, "4.7.5", f"TLS cannot be used on this host: {error}"))

    def _expired(self) -> None:
        if self.client.ended is not None:
            self.abort()
        else:
            self.end(self._overdue())

    def _overdue(self) -> SessionFailure:
        if self._handshaking:
            text = f"no TLS handshake within {self._timeouts.tls:g} seconds"
            return SessionFailure(FailureKind.TLS_FAILED, "4.7.5", text)
        step = self.client.awaited
        if self._pieces is not None or step is None:
            text = f"took no more of the body for {self._timeouts.block:g} seconds"
        else:
            text = f"no reply to {step.value} within {self._timeouts.of(step):g} seconds"
        return SessionFailure(FailureKind.TIMEOUT, "4.4.2", text)


def _pieces(body: Body) -> Iterator[bytes]:
    """Yield the body in pieces of at most CHUNK_BYTES octets."""
    for chunk in body.chunks():
        if len(chunk) <= CHUNK_BYTES:
            yield chunk
            continue
        for start in range(0, len(chunk), CHUNK_BYTES):
            yield chunk[start : start + CHUNK_BYTES]


def _loss(reason: Failure, step: Awaited | None, *, handshaking: bool) -> SessionFailure:
    """Return the failure that the transport's reason for closing stands for."""
    if reason.check(CertificateRejected):
        return SessionFailure(FailureKind.NOT_TRUSTED, "4.7.5", handshake_failure_text(reason))
    if handshaking or reason.check(SSL.Error):
        return SessionFailure(FailureKind.TLS_FAILED, "4.7.5", handshake_failure_text(reason))
    where = "" if step is None else f" before the reply to {step.value}"
    return SessionFailure(FailureKind.LOST, "4.4.2", f"{connection_loss_text(reason.value)}{where}")
