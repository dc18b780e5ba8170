"""Writing at once what the kernel takes at once.

Twisted's `write` only notes the bytes: the reactor is told to watch the socket, sends on its next turn, and is told to
stop watching. For a dialogue of short lines these two calls and the extra turn cost more than the line itself (a third
of a relayed message, measured), so we hand the bytes to the socket first, and to Twisted what is left of them.
"""

from typing import Any

from twisted.internet.tcp import Connection


class PromptWriter:
    """Writes to one transport, in order. Whoever writes to it by another way first calls `give_way`."""

    __slots__ = ("_prompt", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        # A transport in memory has no socket.
        self._prompt = isinstance(transport, Connection)

    def give_way(self) -> None:
        """Leave all further writing to the reactor, which keeps the order among what waits."""
        self._prompt = False

    def write(self, data: bytes) -> None:
        """Send bytes; what the socket does not take now waits in the transport."""
        transport = self._transport
        if self._prompt:
            if transport.TLS or transport.disconnecting or not transport.connected:
                self._prompt = False
            else:
                sent = transport.writeSomeData(data)
                if sent == len(data):
                    return
                self._prompt = False
                # An exception means the connection is lost: the transport finds that out by itself.
                if isinstance(sent, int):
                    data = data[sent:]
        transport.write(data)
