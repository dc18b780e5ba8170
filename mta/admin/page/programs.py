"""The paths of programs at ADMIN_LISTEN: the API by its bearer token, and those of the metrics."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET

from mta.admin.api.errors import TOO_MANY, UNAUTHORIZED, ApiError
from mta.admin.operators import is_user
from mta.admin.page.access import Access
from mta.admin.page.passwords import TooManyPasswords
from mta.admin.page.site import text_of
from mta.admin.state import RelayState
from mta.metrics.health import Answers
from mta.metrics.server import AnswersResource

#: Told without a password, as they have no fact about mail.
_HEALTH = (b"/healthz", b"/readyz")
_METRICS = b"/metrics"
_API = b"/api"


class ProgramPaths:
    """Answers programs."""

    def __init__(
        self,
        access: Access,
        state: RelayState,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        answers: Answers | None = None,
    ) -> None:
        """`answers` are those of the metrics, if they are on."""
        self._access = access
        self._clock = clock
        self._answers = None if answers is None else AnswersResource(answers)
        self._state = state
        self._wall_clock = wall_clock
        self._api: Resource | None = None

    def serves(self, path: bytes) -> bool:
        """Return whether a path is one of programs."""
        return path in (*_HEALTH, _METRICS, _API) or path.startswith(_API + b"/")

    def render(self, request: Any) -> Any:
        """Answer a request, now or later."""
        if request.path.startswith(_API):
            return getChildForRequest(self._api or self._new_api(), request).render(request)
        if self._answers is None:
            return _refuse(request, 404, "metrics are off: set METRICS_LISTEN\n")
        if request.path == _METRICS:
            try:
                if not self.may_ask(request):
                    request.setHeader("WWW-Authenticate", "Bearer")
                    return _refuse(request, 401, "the bearer token of ADMIN_PASSWORD is missing or wrong\n")
            except TooManyPasswords as error:
                request.setHeader("Retry-After", str(error.seconds))
                return _refuse(request, 429, f"{error}\n")
        return self._answers.render(request)

    def _new_api(self) -> Resource:
        # Imported with the first request of a program, because most pages have none.
        from mta.admin.api.resource import api_resource  # noqa: PLC0415

        self._api = Resource()
        self._api.putChild(_API[1:], api_resource(self._state, self.authorize, self._clock, self._wall_clock))
        return self._api

    async def authorize(self, request: Any, given: str) -> str:
        """Return the operator that sends a request to the API, whom it may call `given`. Raises ApiError."""
        try:
            if not self.may_ask(request):
                raise ApiError(UNAUTHORIZED, "the bearer token of ADMIN_PASSWORD is missing or wrong")
        except TooManyPasswords as error:
            raise ApiError(TOO_MANY, f"{error}") from None
        address = request.getClientAddress().host
        return f"{given}@{address}" if is_user(given) else f"api:{address}"

    def may_ask(self, request: Any) -> bool:
        """Return whether a program may ask and order the relay. Raises TooManyPasswords."""
        return self._access.may_use_api(
            text_of(request.getHeader(b"authorization")),
            text_of(request.getHeader(b"host")),
            text_of(request.getHeader(b"sec-fetch-site")),
            request.getClientAddress().host,
            self._clock.seconds(),
        )


def _refuse(request: Any, status: int, text: str) -> int:
    request.setResponseCode(status)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    request.write(text.encode())
    request.finish()
    return NOT_DONE_YET
