"""Serves the answers by HTTP, within bounds. Imported for the first client, because Twisted's web server is large."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from mta.metrics.health import Answer, Answers
from mta.quiet_site import QuietSite

_log = Logger()

#: Connections at the same time; further ones are closed at once.
MAX_CONNECTIONS = 20
#: Octets that a connection may send, and seconds that it may last. Each connection has one request.
MAX_REQUEST = 8192
MAX_SECONDS = 15.0
_METHODS = (b"GET", b"HEAD")
_BAD_METHOD = Answer(405, b"only GET and HEAD\n")
_FAULT = Answer(500, b"the figures cannot be read; see the log of the relay\n")


class AnswersResource(Resource):
    """Gives each request to the answers."""

    isLeaf = True  # noqa: N815  Twisted names it

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._answers = answers

    def render(self, request: Request) -> int:
        """Answer now or later."""
        if request.method not in _METHODS:
            request.setHeader(b"Allow", b"GET, HEAD")
            _write(_BAD_METHOD, request)
            return NOT_DONE_YET
        path = request.path.decode("ascii", "replace")
        accept = (request.getHeader(b"accept") or b"").decode("ascii", "replace")
        gone = request.notifyFinish()
        working = Deferred.fromCoroutine(self._answers.answer(path, accept))
        working.addErrback(_failed)
        working.addCallback(_write_unless_gone, request, gone)
        # A client that is gone needs no answer.
        gone.addErrback(lambda _: None)
        return NOT_DONE_YET


class BoundedFactory(WrappingFactory):
    """Bounds the connections of a factory: their number, their time, and the octets that each may send."""

    noisy = False

    def __init__(self, wrapped: Any, clock: IReactorTime) -> None:
        super().__init__(wrapped)
        self.protocol = BoundedConnection
        self.clock = clock

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the protocol of a connection, or None if there are too many."""
        return None if len(self.protocols) >= MAX_CONNECTIONS else super().buildProtocol(addr)


class BoundedConnection(ProtocolWrapper):
    """One connection of a BoundedFactory."""

    _timer: IDelayedCall | None = None
    _received = 0

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        """Start the time of the connection."""
        clock: IReactorTime = self.factory.clock
        self._timer = clock.callLater(MAX_SECONDS, transport.abortConnection)
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """Pass on the octets of a request, or end the connection if they are too many."""
        self._received += len(data)
        if self._received > MAX_REQUEST:
            transport: Any = self.transport
            transport.abortConnection()
        else:
            super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the time of the connection."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        super().connectionLost(reason)


def metrics_factory(answers: Answers, clock: IReactorTime) -> BoundedFactory:
    """Return the factory of the port of METRICS_LISTEN."""
    site = QuietSite(AnswersResource(answers), timeout=MAX_SECONDS, reactor=clock)
    return BoundedFactory(site, clock)


def _failed(failure: Failure) -> Answer:
    """Return the answer after a bug, which the log has with its traceback."""
    _log.failure("metrics cannot be answered", failure)
    return _FAULT


def _write_unless_gone(answer: Answer, request: Request, gone: "Deferred[None]") -> None:
    if not gone.called:
        _write(answer, request)


def _write(answer: Answer, request: Request) -> None:
    request.setResponseCode(answer.status)
    request.setHeader(b"Content-Type", answer.content_type.encode())
    request.setHeader(b"Content-Length", str(len(answer.body)).encode())
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"Connection", b"close")
    request.write(answer.body)
    request.finish()
