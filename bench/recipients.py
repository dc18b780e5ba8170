"""A sink that counts recipients, however many transactions a server makes of them, and throws large mail away fast.

smtp-sink looks at each octet by itself, which ends at some 110 MB/s; this one searches.
"""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

_GREETING = b"250-sink.example.test\r\n250-PIPELINING\r\n%b250 8BITMIME\r\n"
_BYE = b"221 bye\r\n"
_GO_ON = b"354 go on\r\n"
_OK = b"250 ok\r\n"
_LINE_END = b"\r\n"
_DATA_END = b"\r\n.\r\n"
_CHUNK = 1 << 18


class RecipientSink:
    """Takes all mail on a port of 127.0.0.1. All that is public may be read at any time.

    With `chunking` it offers CHUNKING (RFC 3030). `delivered` counts recipients, and `latest` is when the last ones
    were, by time.perf_counter().
    """

    def __init__(self, *, chunking: bool = False) -> None:
        self.chunking = chunking
        self.delivered = 0
        self.transactions = 0
        self.latest = 0.0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def count(self) -> int:
        """Return how many messages it has taken."""
        return self.transactions

    def took(self, recipients: int) -> None:
        """Note a transaction that ended well."""
        with self._lock:
            self.latest = time.perf_counter()
            self.delivered += recipients
            self.transactions += 1

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        dialogue = Dialogue(self)
        with suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"220 sink.example.test ESMTP\r\n")
            while data := connection.recv(_CHUNK):
                connection.sendall(dialogue.replies(data))
        self._open.discard(connection)


class Dialogue:
    """The state of one connection: incomplete octets, the recipients so far, and whether it is in data or a chunk."""

    def __init__(self, sink: RecipientSink) -> None:
        self._sink = sink
        self._rest = b""
        self._recipients = 0
        self._in_data = False
        #: The octets that are still to come of a chunk, and whether it is the last one.
        self._chunk, self._last_chunk = 0, False

    def replies(self, data: bytes) -> bytes:
        """Return the replies to all that these octets complete."""
        text, at, replies = self._rest + data, 0, []
        while at < len(text):
            if self._chunk:
                taken = min(self._chunk, len(text) - at)
                at += taken
                self._chunk -= taken
                if not self._chunk:
                    replies.append(self._taken() if self._last_chunk else _OK)
                continue
            end = text.find(_DATA_END if self._in_data else _LINE_END, at)
            if end < 0:
                break
            if self._in_data:
                at = end + len(_DATA_END)
                replies.append(self._taken())
            else:
                replies.append(self._reply(text[at:end]))
                # The end of the line that says DATA may be the beginning of the end of the data.
                at = end if self._in_data else end + len(_LINE_END)
        self._rest = text[max(at, len(text) - len(_DATA_END) + 1) :] if self._in_data else text[at:]
        return b"".join(replies)

    def _reply(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"DATA":
            self._in_data = True
            return _GO_ON
        if verb == b"BDAT":
            return self._begin_chunk(line.split())
        if verb == b"EHLO":
            return _GREETING % (b"250-CHUNKING\r\n" if self._sink.chunking else b"")
        self._recipients += verb == b"RCPT"
        return _BYE if verb == b"QUIT" else _OK

    def _begin_chunk(self, words: list[bytes]) -> bytes:
        """Expect a chunk's octets; only an empty one is answered here."""
        self._chunk, self._last_chunk = int(words[1]), len(words) > 2
        if self._chunk:
            return b""
        return self._taken() if self._last_chunk else _OK

    def _taken(self) -> bytes:
        self._sink.took(self._recipients)
        self._recipients, self._in_data = 0, False
        return _OK
