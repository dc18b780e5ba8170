"""The API as a resource of a site: it asks who sends a request, and answers errors as JSON."""

from collections.abc import Callable
from typing import Any

from klein.resource import KleinResource
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from mta.admin.api.answers import NO_ROUTE, error_answer, told_error
from mta.admin.api.app import Api, Authorize
from mta.admin.api.errors import BAD_REQUEST, ApiError
from mta.admin.state import RelayState


def api_resource(
    state: RelayState, authorize: Authorize, clock: IReactorTime, wall_clock: Callable[[], float]
) -> Resource:
    """Return the resource of `/api`, for a site: the child `api` of its root.

    `authorize` is asked about each request. Errors of the API are its answers, as JSON.
    """
    versions = NoRoute()
    versions.putChild(b"v1", ApiResource(Api(state, authorize, clock, wall_clock), authorize))
    return versions


class NoRoute(Resource):
    """Answers that there is no such route, for every path without a child of its own."""

    def getChild(self, path: bytes, request: Request) -> Resource:  # noqa: N802, ARG002  Twisted names it
        """Return this, for every path."""
        return self

    def render(self, request: Request) -> bytes:
        """Answer."""
        request.responseHeaders.removeHeader(b"server")
        return error_answer(request, NO_ROUTE)


class ApiResource(Resource):
    """Gives each request to the routes, once it is known that its sender may ask."""

    isLeaf = True  # noqa: N815

    def __init__(self, api: Api, authorize: Authorize) -> None:
        super().__init__()
        self._routes: KleinResource = api.app.resource()
        self._authorize = authorize

    def render(self, request: Request) -> int:
        """Answer, now or later."""
        request.responseHeaders.removeHeader(b"server")
        gone = request.notifyFinish()
        gone.addErrback(lambda _: None)
        begun = Deferred.fromCoroutine(self._begin(request, gone))
        begun.addErrback(_refuse, request, gone)
        return NOT_DONE_YET

    async def _begin(self, request: Any, gone: "Deferred[None]") -> None:
        await self._authorize(request, "")
        if gone.called:
            return
        try:
            b"/".join(request.postpath).decode()
        except UnicodeDecodeError:
            raise ApiError(BAD_REQUEST, "the path is not UTF-8") from None
        # Klein makes a URL of it, which fails for some names; no route depends on it.
        request.requestHeaders.setRawHeaders(b"host", [b"localhost"])
        self._routes.render(request)


def _refuse(failure: Failure, request: Request, gone: "Deferred[None]") -> None:
    if not gone.called:
        request.write(error_answer(request, told_error(failure)))
        request.finish()
