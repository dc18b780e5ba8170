"""A site for operators: bounded requests, no sessions, no log of accesses, no traceback to a client."""

from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request

from mta.admin.api.errors import STATUSES, TOO_LARGE
from mta.quiet_site import QuietSite

#: Octets of the body of a request: an order with the most ids that it may have.
MAX_BODY = 4 * 1024 * 1024
#: Seconds that a connection may be idle between requests, or for which the rest of a request may take to arrive.
IDLE_TIMEOUT = 10.0
_TOO_LARGE = (
    f"HTTP/1.1 {STATUSES[TOO_LARGE]} Content Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    f'{{"error": {{"kind": "{TOO_LARGE}", "text": "the body has more than {MAX_BODY} octets"}}}}\n'
).encode()


class BoundedRequest(Request):
    """A request whose body is in memory, and refused beyond a size."""

    _received = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802  Twisted names it
        """Take the announced size of the body."""
        # Not that of Twisted, which writes a larger body into a file.
        self.content = BytesIO()
        if length is not None and length > MAX_BODY:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """Take a part of the body."""
        self._received += len(data)
        if self._received > MAX_BODY:
            self._refuse()
        elif not self._refused:
            super().handleContentChunk(data)

    def process(self) -> None:
        """Answer the request, unless it was refused."""
        if not self._refused:
            super().process()

    def _refuse(self) -> None:
        if not self._refused:
            self._refused = True
            channel: Any = self.channel
            channel.transport.write(_TOO_LARGE)
            channel.loseConnection()


class OperatorSite(QuietSite):
    """The site of a face of the API or of the page."""

    def __init__(self, root: IResource, clock: IReactorTime, *, idle_timeout: float = IDLE_TIMEOUT) -> None:
        super().__init__(root, BoundedRequest, timeout=idle_timeout, reactor=clock)
