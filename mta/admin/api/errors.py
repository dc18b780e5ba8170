"""The errors that the API tells: a status of HTTP, a kind for programs, and a text for people."""

from mta.admin.state import NotRunning, StateError, TooMany, WrongOrder
from mta.admin.wire.fields import JsonObject, WireError

BAD_REQUEST, NOT_FOUND, NOT_RUNNING, TOO_MANY, TOO_SLOW = (
    "bad_request",
    "not_found",
    "not_running",
    "too_many",
    "too_slow",
)
FAILED, FAULT, UNAUTHORIZED, TOO_LARGE, WRONG_TYPE = "failed", "fault", "unauthorized", "too_large", "wrong_type"
BAD_METHOD = "bad_method"
#: All kinds, with the statuses that they have.
STATUSES = {
    BAD_REQUEST: 400,
    UNAUTHORIZED: 401,
    NOT_FOUND: 404,
    BAD_METHOD: 405,
    TOO_LARGE: 413,
    WRONG_TYPE: 415,
    FAILED: 500,
    FAULT: 500,
    NOT_RUNNING: 503,
    TOO_MANY: 503,
    TOO_SLOW: 504,
}
#: Seconds after which a request that met a bound may be repeated.
RETRY_SECONDS = 2


class ApiError(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, kind: str, text: str) -> None:
        """`kind` is one of STATUSES."""
        super().__init__(text)
        self.kind = kind

    @property
    def status(self) -> int:
        """The status of the answer."""
        return STATUSES[self.kind]


def api_error(error: BaseException) -> ApiError | None:
    """Return the error that is told for an exception, or None for one that a bug has caused."""
    match error:
        case ApiError():
            return error
        case WireError() | WrongOrder():
            return ApiError(BAD_REQUEST, str(error))
        case NotRunning():
            return ApiError(NOT_RUNNING, str(error))
        case TooMany():
            return ApiError(TOO_MANY, str(error))
        case StateError():
            return ApiError(FAILED, str(error))
    return None


def error_object(error: ApiError) -> JsonObject:
    """Return the JSON object of an error."""
    return {"error": {"kind": error.kind, "text": str(error)}}
