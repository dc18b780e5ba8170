"""Requests over a Unix socket to a server that answers scripted octets."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mta.admin.client.unix_http import UnixHttp
from mta.admin.state import NotRunning, StateError, TooMany


@contextmanager
def serving(path: Path, answer: bytes, *, hang: bool = False) -> Iterator[list[bytes]]:
    """Answer one request at a path, and then close the connection, or, with `hang`, when the test ends."""
    asked: list[bytes] = []
    ended = threading.Event()
    folder = os.open(path.parent, os.O_PATH)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            asked.append(request(connection))
            connection.sendall(answer)
            if hang:
                ended.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        thread.join()
        listener.close()
        os.close(folder)


def request(connection: socket.socket) -> bytes:
    """Return a request, the body of which may come later than its header."""
    octets = connection.recv(1 << 16)
    while octets.startswith(b"POST") and not octets.endswith(b"}"):
        octets += connection.recv(1 << 16)
    return octets


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


def error(kind: str, text: str) -> bytes:
    return f'{{"error": {{"kind": "{kind}", "text": "{text}"}}}}'.encode()


def test_an_object_is_asked_with_its_parameters(tmp_path: Path) -> None:
    with serving(tmp_path / "s", answer(b'{"a": [1]}')) as asked:
        assert UnixHttp(tmp_path / "s").value("/api/v1/x", {"to": ["a b@c.test", "*"], "limit": ["5"]}) == {"a": [1]}
    assert asked[0].startswith(b"GET /api/v1/x?to=a+b%40c.test&to=%2A&limit=5 HTTP/1.1\r\n")


def test_a_value_is_sent_as_json(tmp_path: Path) -> None:
    with serving(tmp_path / "s", answer(b"null")) as asked:
        assert UnixHttp(tmp_path / "s").send("/orders", {"ids": ["\xe9"]}) is None
    assert b"Content-Type: application/json\r\n" in asked[0]


def test_octets_are_those_of_the_answer_or_none_if_there_are_none(tmp_path: Path) -> None:
    with serving(tmp_path / "s", answer(b"\x00\xff\r\n")):
        assert UnixHttp(tmp_path / "s").octets("/c") == b"\x00\xff\r\n"
    with serving(tmp_path / "t", answer(error("not_found", "none"), "404 Not Found")):
        assert UnixHttp(tmp_path / "t").octets("/c") is None


def test_lines_come_one_by_one_and_end_with_the_answer(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    first, last = tmp_path / "s", tmp_path / "t"
    part, whole = head + b"6\r\none\r\nt\r\n4\r\nwo\n\n\r\n", head + b"4\r\none\n\r\n0\r\n\r\n"
    with serving(first, part, hang=True), UnixHttp(first).lines("/events") as lines:
        assert [next(lines) for _ in range(3)] == [b"one", b"two", b""]
    with serving(last, whole), UnixHttp(last).lines("/events") as lines:
        assert list(lines) == [b"one"]


def test_an_error_of_the_program_that_takes_the_lines_is_its_own(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"

    def leave() -> None:
        with UnixHttp(tmp_path / "s").lines("/events") as lines:
            assert next(lines) == b"one"
            raise BrokenPipeError

    with serving(tmp_path / "s", head, hang=True), pytest.raises(BrokenPipeError):
        leave()


@pytest.mark.parametrize(
    ("octets", "kind", "text"),
    [
        (answer(error("failed", "wrong\\n word"), "500 Internal Server Error"), StateError, "wrong word"),
        (answer(error("too_many", "later"), "503 Service Unavailable"), TooMany, "later"),
        (answer(error("not_running", "starts"), "503 Service Unavailable"), NotRunning, "starts"),
        (answer(b"<html>", "500 Internal Server Error"), StateError, "the relay answered 500 Internal Server Error"),
        (answer(b"[1"), StateError, "the answer of the relay at {path} is not JSON"),
        (answer(b"[%b]" % (b"1," * 99)), StateError, "the answer of the relay at {path} has more than 99 octets"),
        (b"", StateError, "no answer of the relay at {path}: Remote end closed connection without response"),
        (b"error\n", StateError, "the relay at {path} is of an older version: restart the relay"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, octets: bytes, kind: type[Exception], text: str) -> None:
    path = tmp_path / "s"
    with serving(path, octets), pytest.raises(kind) as raised:
        UnixHttp(path, max_answer=99).value("/x")
    assert (type(raised.value), str(raised.value)) == (kind, text.format(path=path))


def test_a_server_that_is_silent_is_given_up(tmp_path: Path) -> None:
    with serving(tmp_path / "s", b"", hang=True), pytest.raises(StateError, match=r"did not answer for 0\.01 s"):
        UnixHttp(tmp_path / "s", answer_seconds=0.01).value("/x")


def test_without_a_listener_no_relay_runs(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(NotRunning, match=f"no relay is running at {path}"):
        UnixHttp(path).value("/x")
    with pytest.raises(NotRunning):
        UnixHttp(tmp_path / "none" / "s").value("/x")
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(path))
    with pytest.raises(NotRunning):
        UnixHttp(path).value("/x")


def test_a_socket_with_a_long_path_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with serving(folder / "s", answer(b"1")):
        assert UnixHttp(folder / "s").value("/x") == 1
