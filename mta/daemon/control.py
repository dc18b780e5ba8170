"""The control socket in QUEUE_DIR, by which a command that changed the queue notifies the running daemon.

A line names the action, the operator's user if known, and the messages: `retry by=alice 0gqw5z6cn4j0y 0gqw5z6cn4j10`.
The daemon does not reply, because the action is in the queue file already, where a daemon that misses the line finds
it. The line `waits 0gqw5z6cn4j0y` asks for the reason for which a message waits, which only the daemon knows. The reply
is a line. Only root and the relay's own user can open the socket, so the daemon trusts the name.
"""

import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime, IReactorUNIX
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from mta.admin.operators import is_user, operator_name
from mta.admin.socket_path import SOCKET_NAME, short_path
from mta.queue.ids import to_number
from mta.queue.interface import Action, QueueId

# With a blank each they stay below LineOnlyReceiver's limit of 16,384 octets.
_IDS_A_LINE = 1000
_PATIENCE = 5.0
#: Connections at a time, and seconds to wait for the next line of one. A command has one connection and sends all its
#: lines at once.
MAX_CONNECTIONS = 100
IDLE_TIMEOUT = 10.0

T = TypeVar("T")
__all__ = ["SOCKET_NAME", "operator_name"]
Later = Callable[..., IDelayedCall]
OnAction = Callable[..., object]
#: Returns the reason for which a message waits, in words; "" if no reason is known.
WaitsFor = Callable[[QueueId], str]

_WAITS = b"waits "
# Octets of a reply that a command reads.
_MAX_REPLY = 10_000
_BY = "by="


class IListeningReactor(IReactorUNIX, IReactorTime):
    """A reactor with Unix sockets and timers."""


def notify_daemon(directory: Path, action: Action, ids: Sequence[QueueId], by: str = "") -> bool:
    """Notify the daemon of a queue directory; return False if it is not running. Raises OSError if that fails."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        try:
            with short_path(directory / SOCKET_NAME) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        for line in to_lines(action, ids, by):
            connection.sendall(line)
    return True


def ask_wait(directory: Path, id: QueueId) -> str:
    """Return the reason for which a message waits by the daemon of a directory; "" if it knows none or does not run."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        reply = b""
        try:
            with short_path(directory / SOCKET_NAME) as address:
                connection.connect(address)
            connection.sendall(_WAITS + id.encode("ascii") + b"\n")
            while not reply.endswith(b"\n") and len(reply) < _MAX_REPLY and (octets := connection.recv(_MAX_REPLY)):
                reply += octets
        except OSError:
            return ""
    return reply.decode("utf-8", "replace").strip()


def is_running(directory: Path) -> bool:
    """Return whether the daemon of a queue directory, which may be one of several workers, listens to commands."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        try:
            with short_path(directory / SOCKET_NAME) as address:
                connection.connect(address)
        except OSError:
            return False
    return True


def to_lines(action: Action, ids: Sequence[QueueId], by: str = "") -> Iterator[bytes]:
    """Yield the lines that notify the daemon of an action of a user on these messages."""
    words = f"{action.value} {_BY}{by}" if by else action.value
    for start in range(0, len(ids), _IDS_A_LINE):
        yield f"{words} {' '.join(ids[start : start + _IDS_A_LINE])}\n".encode("ascii")


def read_line(line: bytes) -> tuple[Action, list[QueueId], str]:
    """Parse a line without its end: the action, the messages, and the user, "" if unknown. Raises ValueError."""
    verb, *ids = line.decode("ascii").split(" ")
    by = ids.pop(0).removeprefix(_BY) if ids and ids[0].startswith(_BY) else ""
    if by and not is_user(by):
        raise ValueError("no user can have this name")
    for id in ids:
        to_number(QueueId(id))
    return Action(verb), [QueueId(id) for id in ids], by


class ControlProtocol(LineOnlyReceiver, TimeoutMixin):
    """The daemon's end of one connection. A malformed line or an idle timeout closes it."""

    delimiter = b"\n"

    def __init__(
        self, on_action: OnAction, later: Later, ended: Callable[[], object], waits_for: WaitsFor | None = None
    ) -> None:
        """`ended` is called when the connection is over."""
        self._on_action = on_action
        self._waits_for = waits_for
        self._ended = ended
        self._later = later

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:  # noqa: N802
        """Take the idle timeout from the daemon's clock; called by Twisted."""
        return self._later(period, func)

    def connectionMade(self) -> None:
        """Start the idle timeout."""
        self.setTimeout(IDLE_TIMEOUT)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Stop the idle timeout and free the connection's place."""
        self.setTimeout(None)
        self._ended()

    def lineReceived(self, line: bytes) -> None:
        """Pass an action on."""
        assert self.transport is not None
        self.resetTimeout()
        try:
            if line.startswith(_WAITS):
                self._reply(line.removeprefix(_WAITS).decode("ascii"))
                return
            action, ids, by = read_line(line)
        except ValueError:
            self.transport.loseConnection()
            return
        self._on_action(action, ids, by)

    def _reply(self, id: str) -> None:
        """Reply with the reason for which a message waits. Raises ValueError if this is no id."""
        to_number(QueueId(id))
        words = "" if self._waits_for is None else self._waits_for(QueueId(id))
        self.sendLine(words.encode())


class ControlFactory(Factory):
    """Makes a ControlProtocol for each command that connects, up to MAX_CONNECTIONS."""

    noisy = False

    def __init__(self, on_action: OnAction, later: Later, waits_for: WaitsFor | None = None) -> None:
        self._on_action = on_action
        self._waits_for = waits_for
        self._later = later
        self._connections = 0

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol | None:  # noqa: ARG002
        """Return a protocol that calls `on_action` for each line, or None to close the connection."""
        if self._connections >= MAX_CONNECTIONS:
            return None
        self._connections += 1
        return ControlProtocol(self._on_action, self._later, self._leave, self._waits_for)

    def _leave(self) -> None:
        self._connections -= 1


class ControlService(Service):
    """Listens in a queue directory that this daemon has locked, so a socket found there belongs to a dead daemon."""

    def __init__(
        self,
        reactor: IListeningReactor,
        directory: Path,
        on_action: OnAction,
        trouble: Callable[[str], object],
        waits_for: WaitsFor | None = None,
    ) -> None:
        """`on_action` is called with each action, its messages and its user; `trouble` with a line for the operator."""
        self._trouble = trouble
        self._reactor = reactor
        self._path = directory / SOCKET_NAME
        self._factory = ControlFactory(on_action, reactor.callLater, waits_for)
        self._port: IListeningPort | None = None
        # Keeps the directory of a socket with a long path open until the socket is removed.
        self._folder = ExitStack()

    def startService(self) -> None:
        """Open the socket for the relay's user only. A failure is logged and does not stop the relay."""
        super().startService()
        try:
            if self._path.exists() and stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
            address = self._folder.enter_context(short_path(self._path))
            self._port = self._reactor.listenUNIX(address, self._factory, mode=0o600)
        except (OSError, CannotListenError) as error:
            self._trouble(f"cannot open {self._path}: {error}; changes by `smtprelay queue` are noticed late")

    def stopService(self) -> "Deferred[None]":
        """Close and remove the socket."""
        super().stopService()
        port, self._port = self._port, None
        closed = succeed(None) if port is None else (port.stopListening() or succeed(None))
        return closed.addBoth(self._close_folder)

    def _close_folder(self, result: T) -> T:
        self._folder.close()
        return result
