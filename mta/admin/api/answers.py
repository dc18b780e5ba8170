"""Writes answers as JSON, long ones in parts: the reactor goes on between them, and a slow reader is waited for."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from zope.interface import implementer

from mta.admin.api.errors import (
    BAD_METHOD,
    FAULT,
    NOT_FOUND,
    RETRY_SECONDS,
    STATUSES,
    ApiError,
    api_error,
    error_object,
)

_log = Logger()
NO_ROUTE = ApiError(NOT_FOUND, "there is no such route: see /api/v1/openapi.json")
_FAULT = ApiError(FAULT, "the relay has a bug, which its log tells: please report it")
JSON_TYPE = b"application/json"
#: Octets that are written before the reactor goes on with other work, and seconds to wait for a reader.
MAX_PART = 64 * 1024
READER_PATIENCE = 60.0


def json_answer(request: Request, value: object, status: int = 200) -> bytes:
    """Set the head of an answer, and return its body."""
    body = json.dumps(value).encode() + b"\n"
    request.setResponseCode(status)
    set_head(request, JSON_TYPE)
    request.setHeader(b"Content-Length", str(len(body)).encode())
    return body


def error_answer(request: Request, error: ApiError) -> bytes:
    """Set the head of an answer that tells an error, and return its body."""
    if error.status == STATUSES["too_many"]:
        request.setHeader(b"Retry-After", str(RETRY_SECONDS).encode())
    return json_answer(request, error_object(error), error.status)


def told_error(failure: Failure) -> ApiError:
    """Return the error to tell for a failure; one that a bug has caused is logged with its traceback."""
    error = failure.value
    if isinstance(error, MethodNotAllowed):
        return ApiError(BAD_METHOD, f"the route has only {', '.join(sorted(error.valid_methods or ()))}")
    if isinstance(error, HTTPException):
        return NO_ROUTE
    told = None if error is None else api_error(error)
    if told is None:
        _log.failure("a request to the API failed", failure)
    return told or _FAULT


def set_head(request: Request, content_type: bytes) -> None:
    """Set the fields that every answer has."""
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Content-Type-Options", b"nosniff")


@implementer(IPushProducer)
class PartsWriter:
    """Writes the JSON of one answer in parts."""

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._pending: list[bytes] = []
        self._octets = 0
        self._resumed: Deferred[None] | None = None
        self._begun = self._paused = self._gone = False
        request.notifyFinish().addErrback(self._left)

    async def write(self, text: str) -> None:
        """Write text, sooner or later; return when more may be written."""
        data = text.encode()
        self._pending.append(data)
        self._octets += len(data)
        if self._octets >= MAX_PART:
            await self._flush()

    def end(self) -> bytes:
        """Return the octets that are not written yet, as the last ones."""
        rest = b"".join(self._pending)
        if not self._begun:
            self._set_head()
            self._request.setHeader(b"Content-Length", str(len(rest)).encode())
        elif not self._gone:
            self._request.unregisterProducer()
        return rest

    @property
    def begun(self) -> bool:
        """Whether a part is written, so that the status of the answer cannot change."""
        return self._begun

    async def break_off(self) -> None:
        """End the connection in the middle of the answer; the request is cancelled then."""
        if not self._gone:
            self._clock.callLater(0, self._abort)
            await Deferred(_nothing)

    async def _flush(self) -> None:
        """Write all text so far; return when the reader has room, and after other work of the reactor."""
        if not self._begun:
            self._begun = True
            self._set_head()
            self._request.registerProducer(self, True)
        self._request.write(b"".join(self._pending))
        self._pending.clear()
        self._octets = 0
        if not self._paused:
            await turn(self._clock)
            return
        self._resumed = Deferred()
        late = self._clock.callLater(READER_PATIENCE, self._abort)
        try:
            await self._resumed
        finally:
            if late.active():
                late.cancel()

    def pauseProducing(self) -> None:
        """Wait, because the reader has no room."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """Do nothing, because the end of the request follows."""

    def _set_head(self) -> None:
        set_head(self._request, JSON_TYPE)

    def _left(self, _: Any) -> None:
        self._gone = True

    def _abort(self) -> None:
        abort(self._request)


def _nothing(_: object) -> None:
    """Let a Deferred be cancelled."""


def abort(request: Request) -> None:
    """End the connection of a request in the middle of its answer."""
    channel: Any = request.channel
    if channel is not None:
        channel.forceAbortClient()


def turn(clock: IReactorTime) -> "Deferred[None]":
    """Return a Deferred that fires after other work of the reactor."""
    waiting: Deferred[None] = Deferred(lambda _: later.cancel())
    later = clock.callLater(0, waiting.callback, None)
    return waiting
