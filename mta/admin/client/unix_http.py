"""Requests of HTTP over a Unix socket, for programs without a reactor, bounded in time and octets."""

import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

from mta.admin.socket_path import short_path
from mta.admin.state import NotRunning, StateError, TooMany

#: Seconds for a connection, and for each part of an answer. A search of a large history takes a second or two.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 120.0
#: Octets of an answer, and of the text of an error and of an event.
MAX_ANSWER, MAX_ERROR, MAX_EVENT = 1 << 30, 1 << 16, 1 << 20
JSON_TYPE, LINES_TYPE = "application/json", "application/x-ndjson"
_OK, _NOT_FOUND = range(200, 300), 404
# The errors of the API that have exceptions of their own.
_ERRORS = {"not_running": NotRunning, "too_many": TooMany}

#: Parameters of a URL.
Words = Mapping[str, Sequence[str]]


def connect_unix(path: Path) -> socket.socket:
    """Return a connection to a Unix socket. Raises NotRunning if there is no socket or no listener, and OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_SECONDS)
        with short_path(path) as address:
            connection.connect(address)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        connection.close()
        raise NotRunning(f"no relay is running at {path}") from error
    except OSError:
        connection.close()
        raise
    return connection


class UnixHttp:
    """Sends requests to the server of a socket, each over a connection of its own."""

    def __init__(
        self,
        path: Path,
        *,
        connect: Callable[[Path], socket.socket] = connect_unix,
        answer_seconds: float = ANSWER_SECONDS,
        max_answer: int = MAX_ANSWER,
    ) -> None:
        """`connect` returns a connection to the path. Raises NotRunning and OSError."""
        self._path = path
        self._connect = connect
        self._answer_seconds = answer_seconds
        self._max_answer = max_answer

    def value(self, target: str, words: Words | None = None) -> object:
        """Return the JSON value that the server answers. Raises NotRunning, TooMany and StateError."""
        with self._answer("GET", _with_words(target, words)) as answer:
            return self._json(answer)

    def octets(self, target: str) -> bytes | None:
        """Return the octets that the server answers, or None if it has none there. Raises as `value`."""
        with self._answer("GET", target, may_miss=True) as answer:
            return None if answer.status == _NOT_FOUND else self._read(answer)

    def send(self, target: str, value: object) -> object:
        """Send a JSON value, and return the JSON value of the answer. Raises as `value`."""
        with self._answer("POST", target, json.dumps(value).encode()) as answer:
            return self._json(answer)

    @contextmanager
    def lines(self, target: str, words: Words | None = None) -> Iterator[Iterator[bytes]]:
        """Yield the lines of an answer of LINES_TYPE, which come without a bound on time. The answer has begun then.

        Raises as `value`, and StateError while the lines are read.
        """
        with self._opened("GET", _with_words(target, words), endless=True) as answer:
            yield (line.rstrip(b"\r\n") for line in iter(lambda: self._line(answer), b""))

    def _line(self, answer: HTTPResponse) -> bytes:
        with self._told_errors():
            return answer.readline(MAX_EVENT)

    @contextmanager
    def _answer(
        self, method: str, target: str, body: bytes | None = None, *, may_miss: bool = False
    ) -> Iterator[HTTPResponse]:
        """Yield an answer, whose errors while it is read are raised as `value` does."""
        with self._opened(method, target, body, may_miss=may_miss) as answer, self._told_errors():
            yield answer

    @contextmanager
    def _opened(
        self, method: str, target: str, body: bytes | None = None, *, may_miss: bool = False, endless: bool = False
    ) -> Iterator[HTTPResponse]:
        """Yield the answer to a request. An answer with an error is raised, but not 404 if it `may_miss`."""
        connection = _UnixConnection(lambda: self._connect(self._path), self._answer_seconds)
        headers = {"Connection": "close"} | ({"Accept": LINES_TYPE} if endless else {})
        if body is not None:
            headers["Content-Type"] = JSON_TYPE
        try:
            with self._told_errors():
                connection.request(method, target, body, headers)
                answer = connection.getresponse()
                if answer.status not in _OK and not (may_miss and answer.status == _NOT_FOUND):
                    raise _refusal(answer)
                if endless:
                    connection.wait_forever()
            with answer:
                yield answer
        finally:
            connection.close()

    @contextmanager
    def _told_errors(self) -> Iterator[None]:
        """Turn an error of the connection into one that tells the operator of it."""
        try:
            yield
        except TimeoutError as error:
            raise StateError(f"the relay at {self._path} did not answer for {self._answer_seconds:g} s") from error
        except (OSError, HTTPException) as error:
            if type(error) is BadStatusLine:
                # Version 0.2.0 had another protocol at this socket.
                raise StateError(f"the relay at {self._path} is of an older version: restart the relay") from error
            raise StateError(f"no answer of the relay at {self._path}: {_words(error)}") from error

    def _json(self, answer: HTTPResponse) -> object:
        try:
            value: object = json.loads(self._read(answer))
        except (ValueError, RecursionError) as error:
            raise StateError(f"the answer of the relay at {self._path} is not JSON") from error
        return value

    def _read(self, answer: HTTPResponse) -> bytes:
        octets = answer.read(self._max_answer + 1)
        if len(octets) > self._max_answer:
            raise StateError(f"the answer of the relay at {self._path} has more than {self._max_answer} octets")
        return octets


class _UnixConnection(HTTPConnection):
    """A connection of http.client that `connect` opens."""

    def __init__(self, open_socket: Callable[[], socket.socket], patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._open = open_socket
        self._patience = patience

    def connect(self) -> None:
        """Connect; called by http.client."""
        # http.client forgets its own when the answer begins, because the server will close the connection.
        self.sock = self._socket = self._open()
        self.sock.settimeout(self._patience)

    def wait_forever(self) -> None:
        """Wait for the rest of the answer without a bound on time."""
        self._socket.settimeout(None)


def _with_words(target: str, words: Words | None) -> str:
    return f"{target}?{urlencode(words, doseq=True)}" if words else target


def _refusal(answer: HTTPResponse) -> StateError:
    """Return the error that an answer tells, as `{"error": {"kind": KIND, "text": TEXT}}`."""
    try:
        error = json.loads(answer.read(MAX_ERROR))["error"]
        kind, text = error["kind"], str(error["text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        kind, text = "", f"the relay answered {answer.status} {answer.reason}"
    return _ERRORS.get(str(kind), StateError)(" ".join(text.split()))


def _words(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return " ".join(text.split())
