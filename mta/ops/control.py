"""The control socket in QUEUE_DIR: who changed the queue tells the running daemon at once.

A line names the change and the messages, `retry 0gqw5z6cn4j0y 0gqw5z6cn4j10`. Nothing is answered: the change is in
the queue file already, and a daemon that missed the line would find it there.
"""

import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from mta.queue.ids import to_number
from mta.queue.interface import Change, QueueId

SOCKET_NAME = "control"
# With a blank each they stay below the 16,384 octets that LineOnlyReceiver takes.
_IDS_A_LINE = 1000
_PATIENCE = 5.0

Told = Callable[[Change, list[QueueId]], object]


def tell(directory: Path, change: Change, ids: Sequence[QueueId]) -> bool:
    """Tell the daemon of a queue directory; False if none is running. Raises OSError if it cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(str(directory / SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        for line in to_lines(change, ids):
            connection.sendall(line)
    return True


def to_lines(change: Change, ids: Sequence[QueueId]) -> Iterator[bytes]:
    """Yield the lines that tell of a change, none for no messages."""
    for start in range(0, len(ids), _IDS_A_LINE):
        yield f"{change.value} {' '.join(ids[start : start + _IDS_A_LINE])}\n".encode("ascii")


def read_line(line: bytes) -> tuple[Change, list[QueueId]]:
    """Return what a line without its end tells. Raises ValueError."""
    verb, *ids = line.decode("ascii").split(" ")
    for id in ids:
        to_number(QueueId(id))
    return Change(verb), [QueueId(id) for id in ids]


class ControlProtocol(LineOnlyReceiver):
    """The daemon's end of one connection; a line that makes no sense ends it."""

    delimiter = b"\n"

    def __init__(self, told: Told) -> None:
        self._told = told

    def lineReceived(self, line: bytes) -> None:
        """Pass a change on."""
        assert self.transport is not None
        try:
            change, ids = read_line(line)
        except ValueError:
            self.transport.loseConnection()
            return
        self._told(change, ids)


class ControlFactory(Factory):
    """Makes a ControlProtocol for each command that connects."""

    noisy = False

    def __init__(self, told: Told) -> None:
        self._told = told

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol:  # noqa: ARG002
        """Return a protocol that calls `told` for each line."""
        return ControlProtocol(self._told)


class ControlService(Service):
    """Listens in a queue directory, which this daemon must have locked: a socket found there is a dead one's."""

    def __init__(self, reactor: IReactorUNIX, directory: Path, told: Told, trouble: Callable[[str], object]) -> None:
        """`told` is called with every change that was made to messages, and their ids; `trouble` with a line."""
        self._trouble = trouble
        self._reactor = reactor
        self._path = directory / SOCKET_NAME
        self._factory = ControlFactory(told)
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Open the socket, for our own user only. Mail flows without it, so that it cannot be opened stops nothing."""
        super().startService()
        try:
            if self._path.exists() and stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
            self._port = self._reactor.listenUNIX(str(self._path), self._factory, mode=0o600)
        except (OSError, CannotListenError) as error:
            self._trouble(f"cannot open {self._path}: {error}; changes by `smtprelay queue` are noticed late")

    def stopService(self) -> "Deferred[None]":
        """Close and remove the socket."""
        super().stopService()
        port, self._port = self._port, None
        return succeed(None) if port is None else (port.stopListening() or succeed(None))
