"""The control socket in QUEUE_DIR: a command that changed the queue tells the running daemon at once.

A line names the change, the operator's user if known, and the messages: `retry by=alice 0gqw5z6cn4j0y 0gqw5z6cn4j10`.
Nothing is answered: the change is in the queue file already, and a daemon that missed the line would find it there.
Only root and the relay's own user can open the socket, so the daemon believes the name.
"""

import os
import pwd
import re
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime, IReactorUNIX
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from mta.queue.ids import to_number
from mta.queue.interface import Action, QueueId

SOCKET_NAME = "control"
# With a blank each they stay below the 16,384 octets that LineOnlyReceiver takes.
_IDS_A_LINE = 1000
_PATIENCE = 5.0
#: Connections at a time, and seconds for the next line of one: a command has one connection, and says all at once.
MOST_CONNECTIONS = 100
SILENCE = 10.0

Later = Callable[..., IDelayedCall]
Told = Callable[[Action, list[QueueId], str], object]

_BY = "by="
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


class IListeningReactor(IReactorUNIX, IReactorTime):
    """What listens here and knows the time."""


def operator(environ: Mapping[str, str]) -> str:
    """Return the user who runs this command: behind sudo or doas the one who called that."""
    user = os.geteuid()
    names = [environ.get("SUDO_USER", ""), environ.get("DOAS_USER", "")] if user == 0 else []
    try:
        names.append(pwd.getpwuid(user).pw_name)
    except KeyError:
        names.append(str(user))
    return next(name for name in (*names, str(user)) if _USER.fullmatch(name))


def tell(directory: Path, change: Action, ids: Sequence[QueueId], by: str = "") -> bool:
    """Tell the daemon of a queue directory; False if none is running. Raises OSError if it cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(str(directory / SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        for line in to_lines(change, ids, by):
            connection.sendall(line)
    return True


def to_lines(change: Action, ids: Sequence[QueueId], by: str = "") -> Iterator[bytes]:
    """Yield the lines that tell of a change by a user, none for no messages."""
    words = f"{change.value} {_BY}{by}" if by else change.value
    for start in range(0, len(ids), _IDS_A_LINE):
        yield f"{words} {' '.join(ids[start : start + _IDS_A_LINE])}\n".encode("ascii")


def read_line(line: bytes) -> tuple[Action, list[QueueId], str]:
    """Return the change, the messages and the user, "" if unknown, of a line without its end. Raises ValueError."""
    verb, *ids = line.decode("ascii").split(" ")
    by = ids.pop(0).removeprefix(_BY) if ids and ids[0].startswith(_BY) else ""
    if by and not _USER.fullmatch(by):
        raise ValueError("no user can have this name")
    for id in ids:
        to_number(QueueId(id))
    return Action(verb), [QueueId(id) for id in ids], by


class ControlProtocol(LineOnlyReceiver, TimeoutMixin):
    """The daemon's end of one connection; a line that makes no sense ends it, and so does silence."""

    delimiter = b"\n"

    def __init__(self, told: Told, later: Later, ended: Callable[[], object]) -> None:
        """`ended` is called when the connection is over."""
        self._told = told
        self._ended = ended
        self._later = later

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:  # noqa: N802
        """Have the daemon's own clock measure silence; called by Twisted."""
        return self._later(period, func)

    def connectionMade(self) -> None:
        """Wait for a line, but not for ever."""
        self.setTimeout(SILENCE)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Make room for another."""
        self.setTimeout(None)
        self._ended()

    def lineReceived(self, line: bytes) -> None:
        """Pass a change on."""
        assert self.transport is not None
        try:
            change, ids, by = read_line(line)
        except ValueError:
            self.transport.loseConnection()
            return
        self.resetTimeout()
        self._told(change, ids, by)


class ControlFactory(Factory):
    """Makes a ControlProtocol for each command that connects, as long as there are not too many."""

    noisy = False

    def __init__(self, told: Told, later: Later) -> None:
        self._told = told
        self._later = later
        self._connections = 0

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol | None:  # noqa: ARG002
        """Return a protocol that calls `told` for each line; None hangs up."""
        if self._connections >= MOST_CONNECTIONS:
            return None
        self._connections += 1
        return ControlProtocol(self._told, self._later, self._leave)

    def _leave(self) -> None:
        self._connections -= 1


class ControlService(Service):
    """Listens in a queue directory, which this daemon must have locked: a socket found there is a dead one's."""

    def __init__(
        self, reactor: IListeningReactor, directory: Path, told: Told, trouble: Callable[[str], object]
    ) -> None:
        """`told` is called with each change of messages, their ids and the user; `trouble` with a line."""
        self._trouble = trouble
        self._reactor = reactor
        self._path = directory / SOCKET_NAME
        self._factory = ControlFactory(told, reactor.callLater)
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
