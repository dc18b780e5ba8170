"""The clients of a soak: one process, a number of sessions that send at a steady pace, faulty where the plan says so.

`python -m tests.survival.soak_client FOLDER CAPACITY SEED ONE_IN PORT SESSIONS`; pace and end are in the books.
"""

import socket
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from tests.survival.soak_books import Books, Count
from tests.survival.soak_loop import Loop
from tests.survival.soak_plan import Plan
from tests.survival.soak_talks import GoneError, Messages, Talk

#: Sessions beside the steady ones, because some faults take long.
_MOST_ASIDE = 40
#: Messages that may be made up for after a pause.
_MAKE_UP = 0.2


class Session:
    """One connection at a time, and the talk over it."""

    def __init__(self, crowd: "Crowd", *, source: str = "127.0.0.1") -> None:
        self._crowd = crowd
        self._source = source
        self.socket: socket.socket = None  # type: ignore[assignment]
        self._buffer = b""
        self._replies: list[bytes] = []
        self._wanted = 0
        self._talk: Talk
        self._reads = True

    def run(self, talk: Talk) -> None:
        """Begin a talk; at its end the crowd is told."""
        self._talk = talk
        self._step(None)

    def connect(self) -> Talk:
        """Connect and greet, if there is no connection. Raises GoneError."""
        if self.socket is not None:
            return
        while True:
            yield from self._dial()
            try:
                (greeting,) = yield b"", 1
            except GoneError:
                greeting = b""
            if greeting.startswith(b"220"):
                break
            # It is about to stop.
            self.close()
            yield 0.2
        yield b"EHLO client.test\r\n", 1

    def _dial(self) -> Talk:
        # The port is closed while the daemon starts.
        while self.socket is None and not self._crowd.books.counts[Count.OVER]:
            with suppress(OSError):
                address = ("127.0.0.1", self._crowd.port)
                self.socket = socket.create_connection(address, 5, source_address=(self._source, 0))
            if self.socket is None:
                yield 0.1
        if self.socket is None:
            raise GoneError
        self._buffer = b""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._crowd.loop.watch(self)

    def close(self) -> None:
        """Break the connection off."""
        if self.socket is not None:
            self._crowd.loop.forget(self)
            self.socket = None  # type: ignore[assignment]

    def stop_reading(self) -> None:
        """Let replies lie."""
        self._reads = False

    def readable(self) -> None:
        """Take replies."""
        if not self._reads:
            # Watching a socket that is not read would spin.
            self._crowd.loop.unwatch(self)
            return
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            if self._wanted:
                self._wanted = 0
                self._throw()
            return
        self._buffer += data
        self._take_replies()

    def _take_replies(self) -> None:
        while self._wanted:
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            self._buffer = rest
            if line[3:4] != b"-":
                self._replies.append(line)
                self._wanted -= 1
        if self._replies:
            replies, self._replies = self._replies, []
            self._step(replies)

    def _throw(self) -> None:
        self._replies = []
        try:
            wish = self._talk.throw(GoneError())
        except (StopIteration, GoneError):
            self._crowd.done(self)
        else:
            self._wish(wish)

    def _step(self, replies: list[bytes] | None) -> None:
        try:
            wish = self._talk.send(replies) if replies is not None else next(self._talk)
        except (StopIteration, GoneError):
            self._crowd.done(self)
        else:
            self._wish(wish)

    def _wish(self, wish: tuple[bytes, int] | float) -> None:
        if isinstance(wish, float):
            self._crowd.loop.later(wish, lambda: self._step([]))
            return
        octets, self._wanted = wish
        try:
            if self.socket is None:
                raise BrokenPipeError
            if octets:
                self.socket.sendall(octets)
        except OSError:
            self.close()
            self._wanted = 0
            self._crowd.loop.later(0.0, self._throw)
            return
        if not self._wanted:
            self._crowd.loop.later(0.0, lambda: self._step([]))
        elif self._buffer:
            self._crowd.loop.later(0.0, self._take_replies)


#: Faults that have a connection of their own.
_ASIDE = {"slow", "never reads", "stranger"}


class Crowd:
    """All sessions, and the pace."""

    def __init__(self, books: Books, plan: Plan, port: int, sessions: int) -> None:
        self.books = books
        self.port = port
        self.loop = Loop()
        self._plan = plan
        self._messages = Messages(books)
        self._idle = deque(Session(self) for _ in range(sessions))
        self._all = sessions
        self._aside: set[Session] = set()
        self._next = 0
        self._due = 0.0

    def done(self, session: Session) -> None:
        """A talk is over."""
        if session in self._aside:
            session.close()
            self._aside.discard(session)
        else:
            self._idle.append(session)

    def run(self) -> None:
        """Send until told to stop, and finish the running sessions."""
        counts = self.books.counts
        while not counts[Count.OVER] and self._next < self.books.capacity - 8:
            self._begin_what_is_due(counts[Count.RATE])
            self.loop.turn(self._wait(counts[Count.RATE]))
        self.loop.run(lambda: len(self._idle) == self._all and not self._aside)

    def _wait(self, rate: int) -> float:
        if not self._idle or not rate:
            return 0.1
        return max(0.0, min(0.1, self._due - self.loop.now))

    def _begin_what_is_due(self, rate: int) -> None:
        now = self.loop.now
        if rate and now - self._due > _MAKE_UP:
            if self._next:
                self.books.counts[Count.BEHIND] += int((now - self._due - _MAKE_UP) * rate)
            self._due = now - _MAKE_UP
        while self._idle and (not rate or self._due <= now):
            self._due = self._due + 1 / rate if rate else now
            self._begin()

    def _begin(self) -> None:
        first, fate = self._next, self._plan.fate(self._next)
        self._next += fate.recipients
        if fate.client in _ASIDE and len(self._aside) < _MOST_ASIDE:
            session = Session(self, source="127.0.0.2" if fate.client == "stranger" else "127.0.0.1")
            self._aside.add(session)
        elif fate.client in _ASIDE:
            return
        else:
            session = self._idle.popleft()
        session.run(self._messages.send(session, first, fate))


def main() -> None:
    """Send until the books say that it is over."""
    folder, capacity, seed, one_in, port, sessions = sys.argv[1:]
    books = Books(Path(folder), int(capacity))
    with suppress(KeyboardInterrupt):
        Crowd(books, Plan(int(seed), int(one_in)), int(port), int(sessions)).run()


if __name__ == "__main__":
    main()
