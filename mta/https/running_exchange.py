"""One HTTPS request while it runs: its answer as it arrives, within bounds, and its end."""

from collections.abc import Callable, Mapping
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from mta.https.interface import HostNotProven, HostUnknown, HostUnreachable, HttpAnswer, HttpsError
from mta.tls.client import CertificateRejected, handshake_failure_text

#: Octets that an answer may have besides its body, for headers and the lengths of chunks.
OVERHEAD = 64 * 1024

_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599
_NOT_HTTP = "the answer is not HTTP"


class RunningExchange:
    """One request and its answer. Its result is set once, before the connection is aborted.

    An abort ends a body without a length like its normal end, so an answer that failed must not look complete.
    """

    def __init__(self, host: str, limit: int) -> None:
        self._host = host
        self._limit = limit
        self._result: Deferred[HttpAnswer] | None = Deferred(lambda _: self.abandon())
        self._requesting: Deferred[IResponse] | None = None
        self._octets = self._body_octets = 0
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []
        self._abort: Callable[[], object] = _do_nothing
        # The kind of a failure that ends the request now.
        self._failure: type[HttpsError] = HostUnknown
        #: Whether the host has closed the connection properly, so that a body without a length is whole.
        self.closed_properly = False
        #: Whether the connection ended before an octet of the answer.
        self.lost_unanswered = False
        # Tells whether the connection stays open after the answer.
        self._stays_open: Callable[[], bool] = _never

    def run(self, requesting: "Deferred[IResponse]") -> "Deferred[HttpAnswer]":
        """Return the result of a request that was begun."""
        assert self._result is not None
        result, self._requesting = self._result, requesting
        requesting.addCallbacks(self._answered, self._not_answered)
        return result

    def connecting(self) -> None:
        """Note that a connection is being opened."""
        self._failure = HostUnreachable

    def connected(self, abort: Callable[[], object], stays_open: "Callable[[], bool] | None" = None) -> None:
        """Keep the callable that aborts the connection; call it at once if the result is set already.

        `stays_open` tells, after the answer, whether the connection waits for the next request.
        """
        self._abort = abort
        self._failure = HttpsError
        self._stays_open = stays_open or _never
        if self._result is None:
            abort()

    def count(self, octets: int) -> bool:
        """Count octets of any kind that arrived; return whether they are within the bounds."""
        self._octets += octets
        if self._octets > self._limit + OVERHEAD:
            self.fail(f"the answer is longer than {self._limit} octets")
        return self._result is not None

    def fail(self, text: str) -> None:
        """End the request without an answer, unless it has ended."""
        result, self._result = self._result, None
        if result is not None:
            result.errback(self._failure(f"{self._host}: {text}"))
        self.abandon()

    def abandon(self) -> None:
        """Close the connection at once, or stop opening it."""
        self._result = None
        self._abort()
        if self._requesting is not None:
            self._requesting.cancel()

    def add(self, data: bytes) -> None:
        """Add a piece of the body."""
        self._pieces.append(data)
        self._body_octets += len(data)
        if self._body_octets > self._limit:
            self.fail(f"the answer is longer than {self._limit} octets")

    def finish(self) -> None:
        """End the request with its answer, unless it has ended."""
        result, self._result = self._result, None
        if result is not None:
            stays_open = self._stays_open()
            result.callback(HttpAnswer(self._status, self._headers, b"".join(self._pieces)))
            if stays_open:
                return
        self._abort()

    def _answered(self, response: IResponse) -> None:
        # The Agent takes any number.
        if not _LOWEST_STATUS <= response.code <= _HIGHEST_STATUS:
            self.fail(_NOT_HTTP)
            return
        self._status = response.code
        self._headers = {
            name.decode("latin-1").lower(): ", ".join(value.decode("latin-1") for value in values)
            for name, values in response.headers.getAllRawHeaders()
        }
        response.deliverBody(BodyReader(self))

    def _not_answered(self, failure: Failure) -> None:
        reasons = getattr(failure.value, "reasons", None) or [failure]
        self.lost_unanswered = not self._octets and reasons[0].check(ConnectionDone, ConnectionLost) is not None
        if isinstance(reasons[0].value, CertificateRejected):
            self._failure = HostNotProven
        self.fail(_failure_text(failure))


class BodyReader(Protocol):
    """Gives the body of an answer to its request."""

    def __init__(self, exchange: RunningExchange) -> None:
        self._exchange = exchange

    def dataReceived(self, data: bytes) -> None:
        """Add a piece of the body."""
        self._exchange.add(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the request: with its answer, or with a failure if the end of the body may be missing."""
        complete = reason.check(ResponseDone) or (reason.check(PotentialDataLoss) and self._exchange.closed_properly)
        if complete:
            self._exchange.finish()
        else:
            self._exchange.fail("connection lost before the end of the answer")


class CountedHttpConnection(ProtocolWrapper):
    """Counts the octets that arrive on a connection, because the Agent bounds neither headers nor their number."""

    exchange: RunningExchange

    def makeConnection(self, transport: Any) -> None:  # noqa: N802  Twisted's name
        """Give the request its connection."""
        super().makeConnection(transport)
        self.exchange.connected(transport.abortConnection, self.waits)

    def dataReceived(self, data: bytes) -> None:
        """Pass data on while they are within the bounds; end a connection on which something comes unasked."""
        if self.exchange.count(len(data)):
            super().dataReceived(data)
        else:
            transport: Any = self.transport
            transport.abortConnection()

    def waits(self) -> bool:
        """Whether the connection is open and waits for the next request."""
        protocol: Any = self.wrappedProtocol
        return protocol is not None and bool(protocol.state == "QUIESCENT")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note how the connection ended."""
        self.exchange.closed_properly = bool(reason.check(ConnectionDone))
        super().connectionLost(reason)


@implementer(IBodyProducer)
class RequestBody:
    """The body of a request, which is written at once."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length = len(octets)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":  # noqa: N802  Twisted's signature
        """Write the body."""
        consumer.write(self._octets)
        return succeed(None)

    def stopProducing(self) -> None:
        """Have no effect: the body is written already."""

    def pauseProducing(self) -> None:
        """Have no effect: the body is written already."""

    def resumeProducing(self) -> None:
        """Have no effect: the body is written already."""


def _failure_text(failure: Failure) -> str:
    """Return why there is no answer, on one line without a word of the host."""
    reasons = getattr(failure.value, "reasons", None) or [failure]
    error = reasons[0].value
    if isinstance(error, HttpsError):
        return str(error)
    if isinstance(error, CertificateRejected):
        return f"certificate not trusted: {error}"
    if isinstance(error, SSL.Error):
        return f"TLS failed: {handshake_failure_text(reasons[0])}"
    if isinstance(error, ConnectionDone | ConnectionLost):
        return "connection lost before the answer"
    return _NOT_HTTP


def _never() -> bool:
    return False


def _do_nothing() -> None:
    pass
