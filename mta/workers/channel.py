"""What the parent and one worker say to each other, over a pair of Unix sockets.

A line is a JSON array: a verb and its arguments, `["grant","example.org",3]`. Nothing is answered but by another line.
That the channel ends is how each side learns that the other is gone.
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

#: A side that leaves more octets than this unread, and has read nothing for so many seconds, counts as hung. Within one
#: turn of the reactor, in which nobody can read, there may be much more to say.
MAX_UNREAD = 4 * 1024 * 1024
PATIENCE = 10.0

Handler = Callable[..., object]


@implementer(IPushProducer)
class Channel(LineOnlyReceiver):
    """One end. `handlers` has a callable for each verb that may come, called with the arguments; it may be added to.

    A line that is no such array, has an unknown verb or is too long ends the channel after one call of `trouble`; so
    does a peer that does not read. `ended` is called once, however it ends; nothing can be sent from then on.
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
        # Since when the other side has read nothing; None while the transport has room.
        self._full_since: float | None = None
        # What waits for room, and its octets.
        self._waiting: deque[bytes] = deque()
        self._unread = 0

    def send(self, verb: str, *arguments: Any) -> None:
        """Say something: `arguments` are what JSON can write. Said into a channel that has ended, it is lost."""
        if not self._open:
            return
        line = json.dumps((verb, *arguments), separators=(",", ":")).encode() + self.delimiter
        if self._full_since is None:
            _of(self).write(line)
            return
        self._waiting.append(line)
        self._unread += len(line)
        if self._unread > MAX_UNREAD and self._seconds() - self._full_since > PATIENCE:
            self._give_up("it does not read what it is told")

    def close(self) -> None:
        """End the channel once all is sent; nothing can be said any more."""
        if self._open:
            self._open = False
            _of(self).unregisterProducer()
            _of(self).write(b"".join(self._waiting))
            _of(self).loseConnection()

    def connectionMade(self) -> None:
        """Have the transport tell us when the other side does not read."""
        self._open = True
        _of(self).registerProducer(self, True)

    def lineReceived(self, line: bytes) -> None:
        """Act on one line."""
        try:
            verb, *arguments = json.loads(line)
            handler = self.handlers[verb]
        except (ValueError, TypeError, KeyError, RecursionError):
            self._give_up(f"it said {line[:80]!r}")
            return
        handler(*arguments)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802  Twisted names it
        """Give up."""
        self._give_up(f"it said a line of {len(line)} octets or more")

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Tell our own side, once."""
        self._open = False
        self._waiting.clear()
        self._ended()

    def pauseProducing(self) -> None:
        """The transport is full: keep what it has no room for."""
        self._full_since = self._seconds()

    def resumeProducing(self) -> None:
        """The other side has read all that the transport had: give it more, which may fill it again."""
        self._full_since = None
        while self._waiting and self._full_since is None:
            line = self._waiting.popleft()
            self._unread -= len(line)
            _of(self).write(line)

    def stopProducing(self) -> None:
        """Nothing is owed to a channel that ends; `connectionLost` follows."""

    def _give_up(self, why: str) -> None:
        self._open = False
        self._trouble(f"the channel between the parent and a worker is cut: {why}")
        _of(self).abortConnection()


def open_channel(reactor: IReactorSocket, end: socket, channel: Channel) -> None:
    """Connect a channel to one end of a pair of Unix sockets, which is closed: the channel has its own copy."""
    end.setblocking(False)
    factory: Any = Factory.forProtocol(lambda: channel)
    factory.noisy = False
    reactor.adoptStreamConnection(end.fileno(), AF_UNIX, factory)
    end.close()


def _of(channel: Channel) -> Any:
    assert channel.transport is not None
    return channel.transport
