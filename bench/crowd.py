"""A crowd that behaves badly towards a port of 127.0.0.1, in a process of its own, until it is ended.

Usage: python -m bench.crowd KIND PORT [--count N] [--rate N]

Prints "ready" when all clients are connected. From then on each kind acts `rate` times a second.
"""

import argparse
import base64
import itertools
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from harness.crowd import STRANGER, Deaf, Silent, connect, descriptors

#: The password of the users that log in: user0, user1 and so on.
LOGIN_PASSWORD = "correct horse"

# Descriptors that a crowd needs beyond those of its connections.
_OTHERS = 100
# Connections of one stranger that the relay takes.
_TAKEN = 50
_START = b"EHLO client.example.test\r\nMAIL FROM:<crowd@example.test>\r\n"


@contextmanager
def crowd(kind: str, port: int, *, count: int = 0, rate: int = 0) -> Iterator[None]:
    """Have a crowd for as long as the block lasts. Raises RuntimeError if it does not come together."""
    command = [sys.executable, "-m", "bench.crowd", kind, str(port), "--count", str(count), "--rate", str(rate)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"no crowd of the kind {kind!r}")
            yield
        finally:
            process.terminate()


def _silent(port: int, count: int, rate: int) -> None:  # noqa: ARG001  silent clients do not act
    """Connect and send no command."""
    with Silent(port, count) as clients:
        let_in = sum(number for said, number in clients.said.items() if said.startswith(b"220"))
        if let_in < count:
            raise RuntimeError(f"only {let_in} of {count} were let in")
        _ready()
        signal.pause()


def _slow(port: int, count: int, rate: int) -> None:
    """Begin a message each, and send an octet of one of them at a time."""
    clients = [connect(port) for _ in range(count)]
    for client in clients:
        _say(client, b"", b"220")
        _say(client, _START + b"RCPT TO:<someone@example.test>\r\nDATA\r\n", b"354")
        client.sendall(b"Subject: slow\r\n\r\n")
    _ready()
    turns = itertools.cycle(clients)
    _steadily(rate, lambda: next(turns).send(b"x"))


def _flood(port: int, count: int, rate: int) -> None:  # noqa: ARG001  one at a time
    """Be a stranger who has all connections that it may have, and connects all the same."""
    with Silent(port, _TAKEN, STRANGER):
        _ready()
        _steadily(rate, lambda: _knock(port, STRANGER))


def _knock_on(port: int, count: int, rate: int) -> None:  # noqa: ARG001
    """Connect and hang up, without waiting for the greeting."""
    _ready()
    _steadily(rate, lambda: _knock(port, "127.0.0.1"))


def _deaf(port: int, count: int, rate: int) -> None:  # noqa: ARG001
    """Send commands until the relay reads no more of them, and never read a reply."""
    clients = [connect(port) for _ in range(count)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        _say(client, b"", b"220")
        _say(client, _START, b"250 2.1.0")
    with Deaf(clients, b"RCPT TO:<nobody@localhost>\r\n") as deaf:
        while deaf.ask():
            pass
        _ready()
        signal.pause()


def _login(port: int, count: int, rate: int) -> None:
    """Log in inside TLS as one of `count` users after the other, each in a session of its own.

    Few users have all logged in once before the crowd is ready, so that the relay remembers their passwords.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    names = itertools.cycle([f"user{number}" for number in range(count)])
    if count <= _TAKEN:
        for _ in range(count):
            _log_in(port, context, next(names))
    _ready()
    _steadily(rate, lambda: _log_in(port, context, next(names)))


def _greet(port: int, count: int, rate: int) -> None:  # noqa: ARG001
    """Have the sessions of the kind "login" without the login."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _ready()
    _steadily(rate, lambda: _visit(port, context))


def _visit(port: int, context: ssl.SSLContext, command: bytes = b"NOOP\r\n", expected: bytes = b"250 ") -> None:
    """Have a session with one command behind EHLO, inside TLS."""
    with connect(port) as plain, context.wrap_socket(plain) as client:
        _say(client, b"", b"220")
        _say(client, b"EHLO client.example.test\r\n", b"250 ")
        _say(client, command, expected)
        client.sendall(b"QUIT\r\n")


def _log_in(port: int, context: ssl.SSLContext, name: str) -> None:
    response = base64.b64encode(f"\0{name}\0{LOGIN_PASSWORD}".encode())
    _visit(port, context, b"AUTH PLAIN " + response + b"\r\n", b"235")


_KINDS: dict[str, Callable[[int, int, int], None]] = {
    "silent": _silent,
    "slow": _slow,
    "flood": _flood,
    "knock": _knock_on,
    "deaf": _deaf,
    "login": _login,
    "greet": _greet,
}


def _say(client: socket.socket, words: bytes, expected: bytes) -> None:
    """Send words and read until the reply is there that all end with."""
    client.sendall(words)
    heard = b""
    while not (heard.endswith(b"\r\n") and heard.splitlines()[-1].startswith(expected)):
        more = client.recv(4096)
        if not more:
            raise RuntimeError(f"the server hung up after {heard!r}")
        heard += more


def _knock(port: int, source: str) -> None:
    with suppress(OSError), connect(port, source) as client:
        client.recv(512)


def _steadily(rate: int, act: Callable[[], object]) -> None:
    """Call a function at a rate a second without end. A missed moment is not made up for."""
    while True:
        began = time.perf_counter()
        act()
        time.sleep(max(0.0, began + 1 / rate - time.perf_counter()))


def _ready() -> None:
    print("ready", flush=True)


def main() -> None:
    """Be a crowd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--rate", type=int, default=1)
    options = parser.parse_args()
    with descriptors(options.count + _OTHERS):
        _KINDS[options.kind](options.port, options.count, options.rate)


if __name__ == "__main__":
    main()
