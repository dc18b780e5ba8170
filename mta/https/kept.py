"""The connection that a client keeps open from one request to the next."""

from typing import Any, Protocol

from twisted.web.client import HTTPConnectionPool

from mta.https.interface import HttpsUrl

#: Seconds for which a connection waits for the next request, and for which it is used at most, so that a host that has
#: moved to another address is found there.
IDLE_SECONDS, MOST_SECONDS = 30, 300.0


class HttpExchange(Protocol):
    """A request and its answer."""

    def connected(self, abort: Any, stays_open: Any, /) -> None:
        """Take the connection on which the request is sent."""


class HttpConnection(Protocol):
    """A connection, and the exchange on it."""

    exchange: Any
    transport: Any

    def waits(self) -> bool:
        """Whether the connection is open and waits for the next request."""


class KeptConnection:
    """One connection at most, for one request at a time. `pool` is for Twisted's Agent."""

    def __init__(self, reactor: Any) -> None:
        """`reactor` provides IReactorTime."""
        self._reactor = reactor
        self.pool = HTTPConnectionPool(reactor, persistent=True)
        self.pool.maxPersistentPerHost = 1
        self.pool.cachedConnectionTimeout = IDLE_SECONDS
        # The caller decides by its own rule.
        self.pool.retryAutomatically = False
        self._place: tuple[str, int, bool] | None = None
        self._connection: HttpConnection | None = None
        self._opened = 0.0
        #: Whether a request is under way.
        self.busy = False

    def reuse(self, url: HttpsUrl, exchange: HttpExchange) -> bool:
        """Begin a request; return whether it goes over the connection that is open already."""
        self.busy = True
        connection = self._connection
        if connection is None or not connection.waits():
            return False
        late = self._reactor.seconds() - self._opened > MOST_SECONDS
        if late or self._place != _place(url):
            self.close()
            return False
        connection.exchange = exchange
        exchange.connected(connection.transport.abortConnection, connection.waits)
        return True

    def opened(self, url: HttpsUrl, connection: HttpConnection) -> None:
        """Take a connection that was opened for the present request."""
        self._place, self._connection, self._opened = _place(url), connection, self._reactor.seconds()

    def end(self) -> None:
        """End the present request."""
        self.busy = False

    def close(self) -> None:
        """Close the connection if it waits."""
        self._connection = None
        self.pool.closeCachedConnections()


def _place(url: HttpsUrl) -> tuple[str, int, bool]:
    return url.host, url.port, url.tls
