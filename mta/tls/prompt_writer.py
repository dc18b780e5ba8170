"""Writing at once what the kernel takes at once, and closing at once when nothing waits to be written.

Twisted's `write` only notes the bytes: the reactor is told to watch the socket, sends on its next turn, and is told to
stop watching. For a dialogue of short lines these two calls and the extra turn cost more than the line itself (a third
of a relayed message, measured), so we hand the bytes to the socket first, and to Twisted what is left of them.

Under TLS each write waits one turn more, to be joined with others. Ours are whole answers already, so they go past that
to the TLS layer, and what it writes goes to the socket first (a sixth of a message with TLS on both sides, measured).
"""

from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol

from mta.tls.layer import begin


class PromptWriter:
    """Writes to one transport, in order. Whoever writes to it by another way first calls `leave_to_reactor`."""

    __slots__ = ("_prompt", "_send", "_tls", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        # A transport in memory has no socket.
        self._prompt = isinstance(transport, Connection)
        # Not `writeSomeData`, whose three further calls are a hundredth of a relayed message (measured).
        self._send: Any = transport.getHandle().send if self._prompt else None
        self._tls: TLSMemoryBIOProtocol | None = None

    def leave_to_reactor(self) -> None:
        """Leave all further writing to the reactor, which keeps the order among what waits."""
        self._prompt = False

    def start_tls(self, options: Any) -> None:
        """Begin TLS, with what the transport's `startTLS` takes."""
        if isinstance(self._transport, Connection):
            layer = begin(self._transport, options, self._send if self._prompt else None)
            if self._prompt and self._transport.connected:
                self._tls = layer
        else:
            self._transport.startTLS(options)

    def write(self, data: bytes) -> None:
        """Send bytes; what the socket does not take now waits in the transport."""
        transport = self._transport
        if self._prompt:
            if self._tls is not None:
                if transport.connected:
                    TLSMemoryBIOProtocol.write(self._tls, data)
                return
            if transport.TLS or transport.disconnecting or not transport.connected:
                self._prompt = False
            else:
                try:
                    sent = self._send(data)
                except OSError:
                    # No room, or the connection is lost: the transport finds that out by itself.
                    sent = 0
                if sent == len(data):
                    return
                self._prompt = False
                data = data[sent:]
        transport.write(data)

    def close(self) -> None:
        """Close once all is written; at once when nothing waits, with `connectionLost` called from here.

        Twisted's `loseConnection` would close on the reactor's next turn even then: with a connection for each message
        that turn is 3 % of its cost (measured).
        """
        transport = self._transport
        if self._prompt and transport.connected and not (transport.TLS or transport.disconnecting):
            transport.connectionLost(connectionDone)
        else:
            transport.loseConnection()
