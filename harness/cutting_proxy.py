"""A proxy before a PostgreSQL server that cuts connections at chosen statements, and holds back what is sent.

It reads the frames of the protocol, of which a statement is one or several. It refuses TLS, so that it can do so.
"""

import enum
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from harness.databases import OWNER, database_url
from harness.processes import free_port


class Moment(enum.Enum):
    """When a connection is cut, seen from one statement on it."""

    BEFORE = "none of its octets was forwarded"
    WITHIN = "half of its octets were forwarded"
    AFTER = "all of it was forwarded, and the answer is not waited for"
    LATE = "none was forwarded yet: the server gets it later, when its client has long gone; see deliver_late"
    ANSWERED = "the server has answered, and no octet of the answer was passed on"
    WITHIN_ANSWER = "half of the answer was passed on"


_BEFORE_ANSWER = {Moment.BEFORE: 0.0, Moment.WITHIN: 0.5, Moment.AFTER: 1.0}
# A fast server answers before the connection is cut AFTER a statement.
_OF_ANSWER = {Moment.AFTER: 0.0, Moment.ANSWERED: 0.0, Moment.WITHIN_ANSWER: 0.5}

#: Returns when the connection is cut, or None to pass this statement on. Called with the text of each statement that is
#: executed, by one thread at a time.
Decide = Callable[[str], Moment | None]

# Requests in place of a start: of TLS and of encryption by GSSAPI, which are refused, and to cancel a statement.
_TLS, _GSS, _CANCEL = 80877103, 80877104, 80877102
# Frames that are parts of a statement, and those with which it is complete.
_PARTS, _ENDS = b"PBDEC", b"QSH"


def _pass_all(_text: str) -> Moment | None:
    return None


class CuttingProxy:
    """The proxy, on a port of 127.0.0.1. A context manager; `upstream` and `decide` may be changed at any time."""

    def __init__(self, upstream: Path | tuple[str, int], decide: Decide = _pass_all) -> None:
        """`upstream` is the server: its Unix socket, or its address and port."""
        self.upstream = upstream
        self.decide = decide
        #: Seconds by which each statement and each part of an answer is late.
        self.delay = 0.0
        #: The moments of the cuts that were made, the connections so far, and the requests to cancel a statement.
        self.cuts: list[Moment] = []
        self.connections = 0
        self.cancels = 0
        self.lock = threading.Lock()
        #: What `deliver_late` will send.
        self.late: list[tuple[socket.socket, bytes]] = []
        self._open: set[_Connection] = set()
        self._going_on = threading.Event()
        self._going_on.set()
        self._never = threading.Event()

    def __enter__(self) -> Self:
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._going_on.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        self.deliver_late()

    def url(self, database: str, *, user: str = OWNER, **options: str) -> str:
        """Return the URL of a database through this proxy."""
        return database_url("127.0.0.1", str(self.port), database, user=user, **options)

    def cut_all(self) -> None:
        """Cut all connections that are open."""
        with self.lock:
            connections = list(self._open)
        for connection in connections:
            connection.cut()

    def deliver_late(self) -> None:
        """Forward the statements that were cut LATE, each on its old connection, which then ends."""
        with self.lock:
            late, self.late = self.late, []
        for server, statement in late:
            with suppress(OSError), server:
                server.sendall(statement)
                server.shutdown(socket.SHUT_WR)
                # Until the server has answered and closed.
                while server.recv(1 << 16):
                    pass

    def hold(self) -> None:
        """Pass nothing on from now on, in either direction, as a network does that drops all packets."""
        self._going_on.clear()

    def let_go(self) -> None:
        """Pass on what was held back, as a network does that carries the packets at last."""
        self._going_on.set()

    def wait(self) -> None:
        """Wait as long as octets are held back, and for the delay."""
        if self.delay:
            self._never.wait(self.delay)
        self._going_on.wait()

    def moment_for(self, text: str) -> Moment | None:
        """Return the moment of the cut that is decided for a statement."""
        with self.lock:
            moment = self.decide(text)
            if moment is not None:
                self.cuts.append(moment)
        return moment

    def forget(self, connection: "_Connection") -> None:
        """Forget a connection that has ended."""
        with self.lock:
            self._open.discard(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            connection = _Connection(self, client)
            with self.lock:
                self.connections += 1
                self._open.add(connection)
            threading.Thread(target=connection.run, daemon=True).start()


class _Connection:
    """One connection of a client, and that to the server."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._texts: dict[bytes, str] = {}
        # The part of the next answer that is passed on before the cut.
        self._answer_part: float | None = None

    def run(self) -> None:
        """Carry the connection until either side closes it, or it is cut."""
        try:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._begin():
                assert self._server is not None
                threading.Thread(target=self._carry_answers, args=(self._server,), daemon=True).start()
                self._carry_statements(self._server)
        except (OSError, EOFError):
            pass
        finally:
            self.cut()
            self._proxy.forget(self)

    def cut(self) -> None:
        """Close both connections at once."""
        for one in (self._client, self._server):
            if one is not None:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _begin(self) -> bool:
        """Pass the client's first frame on, and return whether a session begins with it."""
        while True:
            head = _exactly(self._client, 8)
            length, code = (int(number) for number in struct.unpack("!II", head))
            frame = head + _exactly(self._client, length - 8)
            self._proxy.wait()
            if code not in {_TLS, _GSS}:
                break
            self._client.sendall(b"N")
        self._server = _connect(self._proxy.upstream)
        self._server.sendall(frame)
        if code == _CANCEL:
            self._proxy.cancels += 1
        return code != _CANCEL

    def _carry_statements(self, server: socket.socket) -> None:
        parts: list[bytes] = []
        for kind, frame in _frames(self._client):
            parts.append(frame)
            if kind in _PARTS:
                continue
            statement = b"".join(parts)
            moment = self._moment(parts) if kind in _ENDS else None
            parts.clear()
            self._proxy.wait()
            if moment is Moment.LATE:
                # This connection ends without it.
                self._server = None
                with self._proxy.lock:
                    self._proxy.late.append((server, statement))
                return
            self._answer_part = None if moment is None else _OF_ANSWER.get(moment)
            share = 1.0 if moment is None else _BEFORE_ANSWER.get(moment, 1.0)
            server.sendall(statement[: int(len(statement) * share)])
            if moment in _BEFORE_ANSWER:
                return

    def _moment(self, frames: list[bytes]) -> Moment | None:
        """Return when to cut a statement, after noting the texts of those that are prepared."""
        texts = []
        for frame in frames:
            fields = frame[5:].split(b"\0", 2)
            if frame[:1] == b"P":
                self._texts[fields[0]] = fields[1].decode(errors="replace")
            elif frame[:1] == b"B":
                texts.append(self._texts.get(fields[1], ""))
            elif frame[:1] == b"Q":
                texts.append(fields[0].decode(errors="replace"))
        return self._proxy.moment_for("\n".join(texts)) if texts else None

    def _carry_answers(self, server: socket.socket) -> None:
        held = b""
        try:
            for kind, frame in _frames(server):
                part = self._answer_part
                if part is None:
                    self._proxy.wait()
                    self._client.sendall(frame)
                    continue
                held += frame
                # "Ready for query" ends the answer to a statement.
                if kind in b"Z":
                    self._client.sendall(held[: int(len(held) * part)])
                    break
        except (OSError, EOFError):
            pass
        finally:
            self.cut()


def _connect(upstream: Path | tuple[str, int]) -> socket.socket:
    if isinstance(upstream, tuple):
        return socket.create_connection(upstream)
    server = socket.socket(socket.AF_UNIX)
    server.connect(str(upstream))
    return server


def _frames(source: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the octets of each frame. Raises EOFError at the end."""
    while True:
        head = _exactly(source, 5)
        (length,) = struct.unpack("!I", head[1:])
        yield head[:1], head + _exactly(source, length - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    """Return this number of octets. Raises EOFError if the other side closes before."""
    data = bytearray()
    while len(data) < size:
        more = source.recv(min(size - len(data), 1 << 16))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
