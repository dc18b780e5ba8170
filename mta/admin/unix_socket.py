"""The Unix socket in QUEUE_DIR, by which commands ask and order the running relay over HTTP.

Only root and the relay's own user can open it, and access to it is full access. The modules of the API are imported
when the first request comes, because Twisted's web server is large.
"""

import socket
import stat
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime, IReactorUNIX
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from mta.admin.operators import is_user, user_name
from mta.admin.socket_path import SOCKET_NAME, short_path
from mta.admin.state import RelayState
from mta.blocking import RunBlocking

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.web.http import Request
    from twisted.web.server import Site

#: Connections at a time, and seconds that a connection may be idle.
MAX_CONNECTIONS = 100
IDLE_TIMEOUT = 10.0
_CREDENTIALS = struct.Struct("3i")

T = TypeVar("T")
_log = Logger()


class ISocketReactor(IReactorUNIX, IReactorTime):
    """A reactor with Unix sockets and timers."""


class SocketProtocol(Protocol, TimeoutMixin):
    """One connection, which becomes one of the site with its first octets. Without any, it is closed in time."""

    def __init__(self, factory: "SocketFactory") -> None:
        self._factory = factory
        self._inner: Any = None
        self._early = b""
        self._lost = False

    def callLater(self, period: float, func: Callable[[], object]) -> "IDelayedCall":  # noqa: N802
        """Take the idle timeout from the relay's clock; called by Twisted."""
        return self._factory.clock.callLater(period, func)

    def connectionMade(self) -> None:
        """Start the idle timeout."""
        self.setTimeout(IDLE_TIMEOUT)

    def dataReceived(self, data: bytes) -> None:
        """Give octets to the site, once it is imported."""
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self.setTimeout(None)
        self._early += data
        cast("Any", self.transport).pauseProducing()
        self._factory.prepared().addCallbacks(self._go_on, lambda _: self._abort())

    def _go_on(self, site: "Site") -> None:
        if not self._lost:
            cast("Any", self.transport).resumeProducing()
            self._inner = site.buildProtocol(None)
            self._inner.makeConnection(self.transport)
            self._inner.dataReceived(self._early)

    def _abort(self) -> None:
        if not self._lost:
            cast("Any", self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free the connection's place."""
        self._lost = True
        self.setTimeout(None)
        self._factory.leave(self)
        if self._inner is not None:
            self._inner.connectionLost(reason)


class SocketFactory(Factory):
    """Makes the protocol of each connection, up to MAX_CONNECTIONS."""

    noisy = False

    def __init__(
        self,
        state: RelayState,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        run: RunBlocking,
    ) -> None:
        """`run` imports modules, and looks up names of users."""
        self.clock = clock
        self._state = state
        self._wall_clock = wall_clock
        self._run = run
        self._site: Site | None = None
        # Fired when the site is there.
        self._waiting: list[Deferred[Site]] = []
        self._connections: set[SocketProtocol] = set()

    def prepared(self) -> "Deferred[Site]":
        """Return the site of the API, once its modules are imported in a thread, so that mail goes on."""
        if self._site is not None:
            return succeed(self._site)
        ready: Deferred[Site] = Deferred()
        self._waiting.append(ready)
        if len(self._waiting) == 1:
            self._run(self._new_site).addBoth(self._site_made)
        return ready

    def _new_site(self) -> "Site":
        from mta.admin.api.resource import NoRoute, api_resource  # noqa: PLC0415
        from mta.admin.api.site import OperatorSite  # noqa: PLC0415

        root = NoRoute()
        root.putChild(b"api", api_resource(self._state, self._operator, self.clock, self._wall_clock))
        return OperatorSite(root, self.clock, idle_timeout=IDLE_TIMEOUT)

    def _site_made(self, made: "Site | Failure") -> None:
        if isinstance(made, Failure):
            _log.failure("the API cannot be imported", made)
        else:
            self._site = made
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.callback(made)

    async def _operator(self, request: "Request", given: str) -> str:
        """Return the user at the other end; for root, the user that the command names, who called sudo."""
        channel: Any = request.channel
        uid = peer_uid(channel.transport.socket)
        if uid == 0 and is_user(given):
            return given
        return await self._run(lambda: user_name(uid))

    def buildProtocol(self, addr: IAddress | None) -> SocketProtocol | None:  # noqa: ARG002
        """Return the protocol of a connection, or None to close it."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return None
        connection = SocketProtocol(self)
        self._connections.add(connection)
        return connection

    def leave(self, connection: SocketProtocol) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def abort(self) -> None:
        """End all connections."""
        for connection in list(self._connections):
            transport: Any = connection.transport
            if transport is not None:
                transport.abortConnection()


def peer_uid(connection: socket.socket) -> int:
    """Return the user id of the process at the other end of a Unix socket."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid


class AdminSocket(Service):
    """Listens in a queue directory that this relay has locked, so that a socket found there belongs to a dead one."""

    def __init__(
        self,
        reactor: ISocketReactor,
        directory: Path,
        factory: SocketFactory,
        trouble: Callable[[str], object],
    ) -> None:
        """`trouble` is called with a line for the operator."""
        self._trouble = trouble
        self._reactor = reactor
        self._path = directory / SOCKET_NAME
        self._factory = factory
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
        """Close and remove the socket, and end its connections."""
        super().stopService()
        port, self._port = self._port, None
        self._factory.abort()
        closed = succeed(None) if port is None else (port.stopListening() or succeed(None))
        return closed.addBoth(self._close_folder)

    def _close_folder(self, result: T) -> T:
        self._folder.close()
        return result
