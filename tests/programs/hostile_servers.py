"""Servers of plain sockets and threads that do the same to every client."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from harness.waiting import PATIENCE

#: Handles a connection, which is closed when the handler returns.
Behaviour = Callable[[socket.socket], None]


class Hostile:
    """Listens on an address and treats each connection in its way. A context manager."""

    def __init__(self, address: str, port: int, behave: Behaviour) -> None:
        self._listener = socket.create_server((address, port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.behave = behave
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        #: How many connections came so far.
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.behave(connection)
        self._open.discard(connection)


def silent(connection: socket.socket) -> None:
    """Send no octet, and read until the other end closes the connection."""
    while connection.recv(65536):
        pass


def saying(*pieces: bytes, times: int = 1) -> Behaviour:
    """Return a handler that sends these pieces without waiting for commands, the last one repeatedly."""

    def behave(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
        for _ in range(times - 1):
            connection.sendall(pieces[-1])
        silent(connection)

    return behave


def answering(*replies: bytes) -> Behaviour:
    """Return a handler that answers each line with one of these replies, and then neither reads nor writes."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(replies[0])
        lines = connection.makefile("rb")
        for reply in replies[1:]:
            if not lines.readline():
                return
            connection.sendall(reply)
        threading.Event().wait(PATIENCE)

    return behave


def passing_on(port: int) -> Behaviour:
    """Return a handler that connects each client to a port of 127.0.0.1, as a NAT does."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def behave(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as inner:
            back = threading.Thread(target=copy, args=(inner, connection), daemon=True)
            back.start()
            copy(connection, inner)
            back.join()

    return behave
