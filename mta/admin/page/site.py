"""The web server of the page within bounds: connections, octets of a request, headers of every answer.

Imported for the first browser, because Twisted's web server is large.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from mta.admin.api.answers import error_answer
from mta.admin.api.errors import TOO_LARGE, WRONG_TYPE, ApiError
from mta.quiet_site import QuietSite

#: Connections at the same time; further ones are closed at once.
MAX_CONNECTIONS = 200
#: Octets of the body of a request by a program, and of a form.
MAX_BODY, MAX_FORM = 1 << 20, 1 << 16
# The only types of bodies. Twisted would parse a body of several parts before it is known who sends it, for seconds.
_LIMITS = {b"application/json": MAX_BODY, b"application/x-www-form-urlencoded": MAX_FORM}
#: Seconds for which a connection may be silent.
IDLE_SECONDS = 60.0

# Styles and scripts are files of the page, so a text of a stranger that reaches a page does nothing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
#: The headers of every answer, which tell a browser how little it needs to permit.
SECURITY_HEADERS: tuple[tuple[str, str], ...] = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Server", "smtprelay"),
)


class PageRequest(Request):
    """A request whose body is bounded."""

    #: The error for a body that is not kept, because of its size or its type.
    refused: ApiError | None = None
    _octets = _limit = 0

    def gotLength(self, length: int | None) -> None:  # noqa: N802  Twisted names it
        """Take the announced length of the body; one that is too long is not kept."""
        type = (self.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
        self._limit = _LIMITS.get(type, 0)
        if length is not None and length > self._limit:
            self._refuse()
        super().gotLength(0 if self.refused is not None else length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """Take a part of the body."""
        self._octets += len(data)
        if self._octets > self._limit:
            self._refuse()
        if self.refused is None:
            super().handleContentChunk(data)
        elif self._octets > 8 * MAX_BODY:
            self.loseConnection()

    def _refuse(self) -> None:
        if not self._limit:
            self.refused = ApiError(WRONG_TYPE, "a body is a form or JSON: tell which by Content-Type")
        else:
            self.refused = ApiError(TOO_LARGE, f"the body has more than {self._limit} octets")


class Programs(Protocol):
    """The part of the site that programs use."""

    def serves(self, path: bytes) -> bool:
        """Return whether a path is one of programs."""

    def render(self, request: Any) -> Any:
        """Answer a request for such a path, now or later."""


class Guarded(Resource):
    """Gives requests to the page unless their Host, or their size, is refused, and those of programs to their part."""

    isLeaf = True  # noqa: N815

    def __init__(self, page: IResource, host_problem: Callable[[str], str], programs: Programs | None = None) -> None:
        """`host_problem` returns why a request with this header Host is refused, or ""."""
        super().__init__()
        self._page = page
        self._host_problem = host_problem
        self._programs = programs

    def render(self, request: Any) -> Any:
        """Answer, now or later."""
        for name, value in SECURITY_HEADERS:
            request.setHeader(name, value)
        refused: ApiError | None = request.refused
        if self._programs is not None and self._programs.serves(request.path):
            return self._programs.render(request) if refused is None else error_answer(request, refused)
        if refused is not None:
            return _refuse(request, refused.status, f"{refused}\n")
        problem = self._host_problem(text_of(request.getHeader(b"host")))
        if problem:
            return _refuse(request, 421, problem, b"Misdirected Request")
        if not _is_text(request.method, *request.postpath):
            # Klein would log it as a bug.
            return _refuse(request, 400, "the path is not UTF-8\n")
        # Klein makes a URL of it, which fails for some names; no route depends on it.
        request.requestHeaders.setRawHeaders(b"host", [b"localhost"])
        return self._page.render(request)


def _is_text(*parts: bytes) -> bool:
    try:
        for part in parts:
            part.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_of(header: bytes | str | None) -> str:
    """Return a header as text, "" without one."""
    if isinstance(header, bytes):
        return header.decode("utf-8", "surrogateescape")
    return header or ""


def _refuse(request: Any, status: int, text: str, phrase: bytes | None = None) -> int:
    """Answer with a text. `phrase` goes with a status for which Twisted has none."""
    request.setResponseCode(status, phrase)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    request.setHeader("Connection", "close")
    request.write(text.encode())
    request.finish()
    return NOT_DONE_YET


class PageSite(QuietSite):
    """The site of the page, which bounds its connections."""

    requestFactory = PageRequest  # noqa: N815

    def __init__(self, resource: IResource, clock: IReactorTime) -> None:
        super().__init__(resource, timeout=IDLE_SECONDS, reactor=clock)
        self._open: set[HTTPChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the protocol of a connection, or None if there are too many."""
        if len(self._open) >= MAX_CONNECTIONS:
            return None
        channel: Any = super().buildProtocol(addr)
        self._open.add(channel)
        lost = channel.connectionLost

        def connection_lost(reason: Any) -> None:
            self._open.discard(channel)
            lost(reason)

        channel.connectionLost = connection_lost
        return channel

    def close_all(self) -> None:
        """Close all connections; streams would otherwise keep the relay from stopping."""
        for channel in list(self._open):
            transport: Any = channel.transport
            if transport is not None:
                transport.loseConnection()
