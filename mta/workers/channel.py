"""The channel between the parent and one worker: lines over a pair of Unix sockets.

A line is a JSON array of a verb and its arguments, `["grant","example.org",3]`. There are no replies other than lines.
When one side ends, the other side loses the connection.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from socket import AF_UNIX, socket
from typing import Any

from twisted.internet.interfaces import IPushProducer, IReactorSocket
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

#: A peer that leaves more octets than this unread, and has read nothing for so many seconds, counts as hung.
#: Octets alone do not tell, because one turn of the reactor, in which the peer cannot read, may send much more.
MAX_UNREAD = 4 * 1024 * 1024
PATIENCE = 10.0

Handler = Callable[..., object]


@implementer(IPushProducer)
class Channel(LineOnlyReceiver):
    """One end of the channel. `handlers` has a callable for each verb that may arrive, and may be extended.

    A malformed line, an unknown verb, a line that is too long or a peer that does not read ends the channel after one
    call of `trouble`. `ended` is called once, for whatever reason the channel ends; after that, lines are discarded.
    """

    delimiter = b"\n"
    MAX_LENGTH = 65536

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        ended: Callable[[], object],
        trouble: Callable[[str], object],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` is a monotonic clock."""
        self.handlers: dict[str, Handler] = dict(handlers)
        self._ended = ended
        self._trouble = trouble
        self._seconds = seconds
        self._open = False
        # The time since which the transport is full; None while it has room.
        self._full_since: float | None = None
        # The lines that wait for room in the transport, and their octets.
        self._waiting: deque[bytes] = deque()
        self._unread = 0

    def send(self, verb: str, *arguments: Any) -> None:
        """Send a line. `arguments` must be JSON values. A channel that has ended discards it."""
        if not self._open:
            return
        line = json.dumps((verb, *arguments), separators=(",", ":")).encode() + self.delimiter
        if self._full_since is None:
            _transport_of(self).write(line)
            return
        self._waiting.append(line)
        self._unread += len(line)
        if self._unread > MAX_UNREAD and self._seconds() - self._full_since > PATIENCE:
            self._abort("the peer does not read")

    def close(self) -> None:
        """Send all waiting lines and close the connection; later lines are discarded."""
        if self._open:
            self._open = False
            _transport_of(self).unregisterProducer()
            _transport_of(self).write(b"".join(self._waiting))
            _transport_of(self).loseConnection()

    def connectionMade(self) -> None:
        """Register for flow control, so that the transport reports a peer that does not read."""
        self._open = True
        _transport_of(self).registerProducer(self, True)

    def lineReceived(self, line: bytes) -> None:
        """Call the handler of a line."""
        try:
            verb, *arguments = json.loads(line)
            handler = self.handlers[verb]
        except (ValueError, TypeError, KeyError, RecursionError):
            self._abort(f"the peer sent {line[:80]!r}")
            return
        handler(*arguments)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802  Twisted names it
        """Abort the connection, because a line is too long."""
        self._abort(f"the peer sent a line of {len(line)} octets or more")

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Call `ended`."""
        self._open = False
        self._waiting.clear()
        self._ended()

    def pauseProducing(self) -> None:
        """Keep further lines, because the transport is full."""
        self._full_since = self._seconds()

    def resumeProducing(self) -> None:
        """Write the waiting lines until the transport is full again, because the peer has read the earlier ones."""
        self._full_since = None
        while self._waiting and self._full_since is None:
            line = self._waiting.popleft()
            self._unread -= len(line)
            _transport_of(self).write(line)

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    def _abort(self, why: str) -> None:
        self._open = False
        self._trouble(f"the channel between the parent and a worker is cut: {why}")
        _transport_of(self).abortConnection()


def open_channel(reactor: IReactorSocket, end: socket, channel: Channel) -> None:
    """Connect a channel to one end of a pair of Unix sockets. Closes `end`, because the reactor duplicates it."""
    end.setblocking(False)
    factory: Any = Factory.forProtocol(lambda: channel)
    factory.noisy = False
    reactor.adoptStreamConnection(end.fileno(), AF_UNIX, factory)
    end.close()


def _transport_of(channel: Channel) -> Any:
    assert channel.transport is not None
    return channel.transport
