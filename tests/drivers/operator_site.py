"""A site of the API in memory, with a clock that the test drives."""

import io
import json
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any, NamedTuple

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.http import Request

from mta.admin.api.errors import UNAUTHORIZED, ApiError
from mta.admin.api.resource import NoRoute, api_resource
from mta.admin.api.site import OperatorSite
from mta.admin.state import RelayState

#: The wall-clock time of the site.
NOW = 1_795_348_800.0
#: A header with which a request is refused.
STRANGER = "X-Stranger: yes\r\n"


class Answer(NamedTuple):
    """An answer as a client sees it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Transport(StringTransport):
    """A transport that a test or the site may abort."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class SiteConnection:
    """One connection to the site."""

    def __init__(self, site: OperatorSite) -> None:
        self.transport = Transport()
        self._channel: Any = site.buildProtocol(None)
        self._channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self._channel.dataReceived(data)

    def lose(self) -> None:
        self._channel.connectionLost(Failure(ConnectionLost()))

    def answer(self, method: str = "GET") -> Answer:
        """Return the answer that was received."""
        received = HTTPResponse(_Received(self.transport.value()), method=method)  # type: ignore[arg-type]
        received.begin()
        return Answer(received.status, dict(received.getheaders()), received.read())


class _Received:
    """The octets that a client has received, as http.client reads them of a socket."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._octets)


class OperatorSiteDriver:
    """A site of a relay's API, and its clients."""

    def __init__(self, state: RelayState) -> None:
        self.clock = Clock()
        self.site = OperatorSite(self._root(state), self.clock)

    def _root(self, state: RelayState) -> NoRoute:
        root = NoRoute()
        root.putChild(b"api", api_resource(state, authorize, self.clock, lambda: NOW))
        return root

    def connect(self) -> SiteConnection:
        return SiteConnection(self.site)

    def request(self, method: str, target: str, body: bytes = b"", headers: str = "") -> SiteConnection:
        """Send a request, and let the site work for a moment."""
        connection = self.connect()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        connection.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{length}{headers}\r\n".encode() + body)
        self.clock.advance(0)
        return connection

    def get(self, target: str, headers: str = "") -> Answer:
        return self.request("GET", f"/api/v1/{target}", headers=headers).answer()

    def order(self, value: object, content_type: str = "application/json") -> Answer:
        body = json.dumps(value).encode()
        return self.request("POST", "/api/v1/orders", body, f"Content-Type: {content_type}\r\n").answer()


async def authorize(request: Request, given: str) -> str:
    """Let all but strangers in."""
    if request.getHeader(b"x-stranger"):
        raise ApiError(UNAUTHORIZED, "who are you?")
    return given or "operator"


class DrivenSocket:
    """A connection to a driven site, as http.client uses a socket."""

    def __init__(self, driver: OperatorSiteDriver) -> None:
        self._driver = driver
        self._connection = driver.connect()

    def sendall(self, data: bytes) -> None:
        self._connection.send(data)

    def makefile(self, _mode: str) -> io.BytesIO:
        # Long answers are written in several turns.
        for _ in range(50):
            self._driver.clock.advance(0)
        return io.BytesIO(self._connection.transport.value())

    def settimeout(self, _seconds: float | None) -> None:
        """Do nothing, because the site answers at once."""

    def close(self) -> None:
        """Do nothing, because the site has closed the connection."""
