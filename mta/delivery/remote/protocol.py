"""One TCP connection to a remote host: moves bytes between the transport and the SMTP client's machine.

Sending a body that is too large to write at once, no faster than the remote takes it.
"""

from collections.abc import Callable, Iterator
from typing import Protocol as Shape

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPullProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.connection_errors import loss_words
from mta.delivery.remote.timeouts import Deadline, Timeouts
from mta.message.body import CHUNK_BYTES, Body
from mta.smtp.client.dialogue import Awaited, ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.machine import ClientMachine
from mta.tls.client import CertificateRejected, Fault, failure_words
from mta.tls.prompt_writer import PromptWriter


@implementer(IPullProducer)
class BodyStream:
    """Gives a transport one chunk each time it has room again, so at most two are in memory."""

    def __init__(self, body: Body, write: Callable[[bytes], None], done: Callable[[OSError | None], None]) -> None:
        """Prepare: `write` gets each chunk; then `done` is called once, with the error when the disk failed."""
        self._chunks = _chunks(body)
        self._write = write
        self._done = done
        self._stopped = False

    def resumeProducing(self) -> None:
        """Write the next chunk, or tell that there is none."""
        if self._stopped:
            return
        unread = None
        try:
            if (chunk := next(self._chunks, None)) is not None:
                self._write(chunk)
                return
        except OSError as error:
            unread = error
        self.stopProducing()
        self._done(unread)

    def stopProducing(self) -> None:
        """Read no more."""
        self._stopped = True
        self._chunks = iter(())


def _chunks(body: Body) -> Iterator[bytes]:
    """Yield the body in pieces that are small whatever it is made of."""
    for chunk in body.chunks():
        if len(chunk) <= CHUNK_BYTES:
            yield chunk
            continue
        for start in range(0, len(chunk), CHUNK_BYTES):
            yield chunk[start : start + CHUNK_BYTES]


class Listener(Shape):
    """Who uses a link."""

    def heard(self, event: ClientEvent) -> None:
        """Learn what happened; START_TLS is the link's own affair and does not come here."""

    def gone(self) -> None:
        """Learn that the connection is down; the last thing a link says."""


class Wire(Shape):
    """What we use of the transport that Twisted's reactor makes: ITLSTransport and ISystemHandle."""

    disconnecting: bool

    def writeSequence(self, data: list[bytes], /) -> None: ...  # noqa: D102, N802
    def registerProducer(self, producer: object, streaming: bool, /) -> None: ...  # noqa: D102, FBT001, N802
    def unregisterProducer(self) -> None: ...  # noqa: D102, N802
    def loseConnection(self) -> None: ...  # noqa: D102, N802
    def abortConnection(self) -> None: ...  # noqa: D102, N802
    def startTLS(self, options: object, /) -> None: ...  # noqa: D102, N802
    def getHandle(self) -> object: ...  # noqa: D102, N802
    def setTcpNoDelay(self, enabled: bool, /) -> None: ...  # noqa: D102, FBT001, N802
    def setTcpKeepAlive(self, enabled: bool, /) -> None: ...  # noqa: D102, FBT001, N802


@implementer(IHandshakeListener)
class SmtpClientProtocol(Protocol):
    """The protocol object. Its `listener` hears every event of the machine in `client`."""

    transport: Wire  # type: ignore[assignment]  # the base class knows only what any transport has

    def __init__(
        self,
        clock: IReactorTime,
        client: ClientMachine,
        timeouts: Timeouts,
        secure: Callable[[], IOpenSSLClientConnectionCreator],
        *,
        implicit_tls: bool = False,
    ) -> None:
        """Prepare; `secure` makes the options of a TLS handshake when one is due."""
        self.client = client
        #: Why the certificate was rejected, once it was.
        self.fault: Fault | None = None
        self.listener: Listener
        self._timeouts = timeouts
        self._secure = secure
        self._implicit_tls = implicit_tls
        self._handshaking = False
        self._writer: PromptWriter
        self._stream: BodyStream | None = None
        # Octets of the body that the stream has not read yet, its last piece while that is held back, and who is told.
        self._unread = 0
        self._last = b""
        self._at_last: Callable[[], None]
        self._deadline = Deadline(clock, self._expired)

    def connectionMade(self) -> None:
        """Wait for the greeting, inside TLS where it begins with the first byte."""
        self._writer = PromptWriter(self.transport)
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        if self._implicit_tls:
            self._start_tls()
        else:
            self.flush()

    def dataReceived(self, data: bytes) -> None:
        """Let the machine hear the server, send what it answers."""
        replies = self.client.replies
        event = self.client.receive(data)
        # A piece of a reply moves no deadline: a server that dribbles gets no more time than one that is silent.
        if self.client.replies != replies:
            self.flush()
        if event is None:
            return
        if event is ClientEvent.START_TLS:
            self._start_tls()
        else:
            self.listener.heard(event)

    def handshakeCompleted(self) -> None:
        """Go on inside TLS."""
        # Twisted also calls this after a certificate that did not prove the name; the connection is then going down.
        if self.transport.disconnecting:
            return
        self._handshaking = False
        if not self._implicit_tls:
            self.client.tls_started()
        self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the session for the reason that the transport gives."""
        if isinstance(reason.value, CertificateRejected):
            self.fault = reason.value.fault
        event = self.client.lose(_loss(reason, self.client.awaited, handshaking=self._handshaking))
        if event is not None:
            self.listener.heard(event)
        self._deadline.cancel()
        self.listener.gone()

    def flush(self) -> None:
        """Send what the machine says and wait for what it awaits."""
        pieces = self.client.to_send()
        if pieces:
            self._writer.write(b"".join(pieces))
        step = self.client.awaited
        if step is not None:
            self._deadline.set(self._timeouts.of(step))
        else:
            self._deadline.clear()

    def stream(self, body: Body, at_last: Callable[[], None]) -> None:
        """Send a body piece by piece, as fast as the remote takes it; to be called on SEND_BODY.

        Its last piece is held back: `at_last` is called once it is read, and `end_body` sends it.
        """
        self._unread, self._at_last = body.size, at_last
        self._deadline.set(self._timeouts.block)
        self._writer.give_way()
        self._stream = BodyStream(body, self._piece, self._streamed)
        self.transport.registerProducer(self._stream, False)

    def end_body(self) -> None:
        """Send the last piece of the body, and what ends it."""
        last, self._last = self._last, b""
        self.client.send_body(last)
        if (event := self.client.end_body()) is not None:
            self.abort()
            self.listener.heard(event)
        else:
            self.flush()

    def end(self, trouble: SessionFailure) -> None:
        """End the session from our side and the connection at once; what runs gets this trouble as its verdict."""
        event = self.client.lose(trouble)
        self.abort()
        if event is not None:
            self.listener.heard(event)

    def abort(self) -> None:
        """Drop the connection, and the body that is under way."""
        self._stop_stream()
        self.transport.abortConnection()

    def close(self) -> None:
        """Let what was written go out and close; by force when that takes too long."""
        self.flush()
        self._deadline.set(self._timeouts.close)
        self.transport.loseConnection()

    def _piece(self, chunk: bytes) -> None:
        self._unread -= len(chunk)
        if self._unread <= 0:
            self._last = chunk
            self._stop_stream()
            # It is not the remote that is waited for.
            self._deadline.clear()
            self._at_last()
            return
        self.client.send_body(chunk)
        self.transport.writeSequence(self.client.to_send())
        self._deadline.set(self._timeouts.block)

    def _streamed(self, unread: OSError | None) -> None:
        self._stop_stream()
        if unread is not None:
            self.end(
                SessionFailure(FailureKind.OURS, "4.3.0", f"cannot read the message body: {unread.strerror or unread}")
            )
        else:
            # Shorter than it was announced: there is no last piece.
            self.end_body()

    def _stop_stream(self) -> None:
        if self._stream is not None:
            self._stream.stopProducing()
            self._stream = None
            self.transport.unregisterProducer()

    def _start_tls(self) -> None:
        self._handshaking = True
        self._deadline.set(self._timeouts.tls)
        try:
            self._writer.start_tls(self._secure())
        except Exception as error:  # noqa: BLE001  a TLS library that cannot work here must not hold the mail
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
        if self._stream is not None or step is None:
            text = f"took no more of the body for {self._timeouts.block:g} seconds"
        else:
            text = f"no reply to {step.value} within {self._timeouts.of(step):g} seconds"
        return SessionFailure(FailureKind.TIMEOUT, "4.4.2", text)


def _loss(reason: Failure, step: Awaited | None, *, handshaking: bool) -> SessionFailure:
    """Say why a connection went down, from the transport's reason."""
    if reason.check(CertificateRejected):
        return SessionFailure(FailureKind.NOT_TRUSTED, "4.7.5", failure_words(reason))
    if handshaking or reason.check(SSL.Error):
        return SessionFailure(FailureKind.TLS_FAILED, "4.7.5", failure_words(reason))
    where = "" if step is None else f" before the reply to {step.value}"
    return SessionFailure(FailureKind.LOST, "4.4.2", f"{loss_words(reason.value)}{where}")
