"""Connects standard input and output with the relay: SMTP as `sendmail -bs` speaks it."""

import os
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress

from mta.cli.environment import introduce
from mta.cli.exim.sendmail_options import SendmailError
from mta.cli.exim.submission import RelayPort, unreachable

_PIECE = 1 << 16
_CONNECT_SECONDS = 60.0


def converse(place: RelayPort, given: int, shown: int) -> None:
    """Pass SMTP on between two descriptors and the relay, until the relay closes. Raises SendmailError.

    If the relay cannot be reached, a reply 421 tells so too.
    """
    try:
        connection = socket.create_connection((place.host, place.port), _CONNECT_SECONDS)
    except OSError as error:
        failure = unreachable(place, error)
        with suppress(OSError):
            _write(shown, f"421 4.3.0 {' '.join(failure.lines)}\r\n".encode())
        raise failure from None
    with connection:
        connection.settimeout(None)
        try:
            introduce(connection, place.balancers)
            _pass_on(connection, given, shown)
        except OSError as error:
            raise SendmailError(os.EX_TEMPFAIL, f"the SMTP session has broken off: {error.strerror}") from None


def _pass_on(connection: socket.socket, given: int, shown: int) -> None:
    """Pass on all octets in both directions. The end of the input becomes a half-closed connection. Raises OSError."""
    change: Callable[[bytes], bytes] | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        try:
            selector.register(given, selectors.EVENT_READ)
            is_file = False
        except PermissionError:
            # A regular file is always ready, so epoll does not take it.
            is_file = True
        while True:
            ready = {key.fd for key, _ in selector.select(0 if is_file else None)}
            if connection.fileno() in ready:
                piece = connection.recv(_PIECE)
                if not piece:
                    return
                _write(shown, piece)
            if given not in ready and not is_file:
                continue
            piece = os.read(given, _PIECE)
            if piece:
                change = change or _line_ends(piece)
                connection.sendall(change(piece))
                continue
            connection.shutdown(socket.SHUT_WR)
            if not is_file:
                selector.unregister(given)
            is_file = False


def _line_ends(first: bytes) -> Callable[[bytes], bytes]:
    """Return the change of line ends that the first line of a client shows: those of scripts end in LF only."""
    line, end, _ = first.partition(b"\n")
    return _with_crlf if end and not line.endswith(b"\r") else bytes


def _with_crlf(piece: bytes) -> bytes:
    return piece.replace(b"\n", b"\r\n")


def _write(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]
