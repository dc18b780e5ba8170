"""The clients of a soak: one process, a number of sessions that send at a steady pace, faulty where the plan says so.

`python -m tests.survival.soak_client FOLDER CAPACITY SEED ONE_IN PORT SESSIONS`; pace and end are in the books.
"""

import socket
import sys
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

from tests.survival.soak_books import Books, Count, Sent
from tests.survival.soak_loop import Loop
from tests.survival.soak_plan import LARGE, NOBODYS, SMALL, Fate, Plan, recipient, sender

#: A session yields octets to send with the number of replies to wait for, or seconds to wait; it gets the replies.
Talk = Generator[tuple[bytes, int] | float, list[bytes], None]

_DOT = b".\r\n"
_OK = (b"2", b"3")
#: Sessions beside the steady ones, for faults that take their time.
_MOST_ASIDE = 40
#: Messages that may be made up for after a pause.
_MAKE_UP = 0.2


class GoneError(Exception):
    """The connection ended."""


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
        # Nobody listens while the daemon starts.
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


class Messages:
    """The talks: one message each, well-behaved or not."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def send(self, session: Session, first: int, fate: Fate) -> Talk:
        """Send one message as its fate has it, with whatever goes wrong noted."""
        faulty = None if fate.client is None else getattr(self, fate.client.replace(" ", "_"))
        try:
            yield from session.connect()
            if faulty is None:
                yield from self._whole(session, first, fate)
            else:
                self._books.counts[Count.CLIENT_FAULTS] += 1
                yield from faulty(session, first, fate)
        except GoneError:
            session.close()
            self._books.counts[Count.LOST] += 1
            yield 0.05

    def _group(self, first: int, fate: Fate, *, data: bool) -> list[str]:
        commands = [f"MAIL FROM:<{sender(first)}>"]
        commands += [f"RCPT TO:<{recipient(first + one, first)}>" for one in range(fate.recipients)]
        return commands + ["DATA"] * data

    def _whole(self, session: Session, first: int, fate: Fate) -> Talk:
        """The way every message should go."""
        body = LARGE if fate.large else SMALL
        commands = _wire(self._group(first, fate, data=not fate.bdat))
        count = fate.recipients
        if fate.bdat:
            self._note(first, count, Sent.DOUBT)
            replies = yield commands + b"BDAT %d LAST\r\n" % len(body) + body, count + 2
        else:
            replies = yield commands, count + 2
            if replies[-1][:1] != b"3":
                self._refused(replies[-1])
                yield b"RSET\r\n", 1
                return
            self._note(first, count, Sent.DOUBT)
            final = yield body + _DOT, 1
            replies[-1] = final[0]
        self._verdict(first, replies)

    def _verdict(self, first: int, replies: list[bytes]) -> None:
        recipients, final = replies[1:-1], replies[-1]
        taken = final[:1] == b"2"
        for offset, answer in enumerate(recipients):
            accepted = taken and answer[:1] == b"2"
            self._books.sent[first + offset] = Sent.ACCEPTED if accepted else Sent.NEVER
            self._books.counts[Count.ACCEPTED] += accepted
        if taken:
            self._books.counts[Count.SENT] += 1
        else:
            self._refused(final)

    def _refused(self, reply: bytes) -> None:
        """A message that is well may be refused for now, and not for good."""
        self._books.counts[Count.REFUSED] += 1
        if reply[:1] != b"4":
            self._wrong("4", reply)

    def _wrong(self, classes: str, reply: bytes) -> None:
        print(f"expected {classes}xx, and the relay says {reply!r}", flush=True)
        self._books.counts[Count.WRONG] += 1

    def _note(self, first: int, count: int, sent: Sent) -> None:
        for number in range(first, first + count):
            self._books.sent[number] = sent

    def _opened(self, first: int, fate: Fate) -> Talk:
        """Go as far as the answer to DATA. Raises GoneError if that is a refusal."""
        replies = yield _wire(self._group(first, fate, data=True)), fate.recipients + 2
        if replies[-1][:1] != b"3":
            self._refused(replies[-1])
            raise GoneError

    def _expect(self, classes: bytes, reply: bytes) -> None:
        """A reply must be of one of these classes; a relay that stops may always say so. Raises GoneError then."""
        if reply.startswith(b"421"):
            raise GoneError
        if reply[:1] not in [bytes([each]) for each in classes]:
            self._wrong(classes.decode(), reply)

    # Faults, by their names in the plan

    def drops_in_the_data(self, session: Session, first: int, fate: Fate) -> Talk:
        """Half of a body, and the end of the connection."""
        yield from self._opened(first, fate)
        yield SMALL[:2000], 0
        session.close()

    def drops_after_the_end_of_data(self, session: Session, first: int, fate: Fate) -> Talk:
        """The whole, and no wait for the answer."""
        yield from self._opened(first, fate)
        self._note(first, fate.recipients, Sent.DOUBT)
        yield SMALL + _DOT, 0
        session.close()

    def smuggled_ending(self, session: Session, first: int, fate: Fate) -> Talk:
        """An end of data that is none, and a second message behind it. Neither may arrive anywhere."""
        endings = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n\n.\r\n", b"\r\n\0.\r\n")
        yield from self._opened(first, fate)
        second = _wire(self._group(first, fate, data=True)) + SMALL + _DOT
        yield SMALL[:-2] + endings[first % len(endings)] + second, 0
        try:
            (reply,) = yield b"", 1
        except GoneError:
            reply = b"421"
        self._expect(b"45", reply)
        session.close()

    def wrong_command(self, session: Session, first: int, fate: Fate) -> Talk:
        """Nonsense, then the message."""
        (reply,) = yield b"XYZZY now\r\n", 1
        self._expect(b"5", reply)
        (reply,) = yield b"DATA\r\n", 1
        self._expect(b"5", reply)
        yield from self._whole(session, first, fate)
        session.close()

    def slow(self, session: Session, first: int, fate: Fate) -> Talk:
        """The data in pieces, with pauses."""
        yield from self._opened(first, fate)
        for at in range(0, len(SMALL), 800):
            yield 0.3
            yield SMALL[at : at + 800], 0
        self._note(first, fate.recipients, Sent.DOUBT)
        (final,) = yield _DOT, 1
        self._verdict(first, [b"250", *[b"250"] * fate.recipients, final])
        session.close()

    def never_reads(self, session: Session, first: int, fate: Fate) -> Talk:
        """Commands and a message at once, replies left where they are, and gone after a while."""
        session.stop_reading()
        group = b"NOOP\r\n" * 20 + _wire(self._group(first, fate, data=False))
        self._note(first, fate.recipients, Sent.DOUBT)
        yield group + b"BDAT %d LAST\r\n" % len(SMALL) + SMALL + b"NOOP\r\n" * 20, 0
        for _ in range(30):
            if not self._books.counts[Count.OVER]:
                yield 0.5
        session.close()

    def reset(self, session: Session, first: int, fate: Fate) -> Talk:
        """Everything said, taken back, and said again."""
        yield _wire([*self._group(first, fate, data=False), "RSET"]), fate.recipients + 2
        yield from self._whole(session, first, fate)

    def unknown_recipient(self, session: Session, first: int, fate: Fate) -> Talk:
        """A recipient that is refused, then the message without it."""
        lines = [f"MAIL FROM:<{sender(first)}>", f"RCPT TO:<nobody@{NOBODYS}>", "RSET"]
        replies = yield _wire(lines), 3
        self._expect(b"5", replies[1])
        yield from self._whole(session, first, fate)

    def too_large(self, session: Session, first: int, fate: Fate) -> Talk:
        """A size that nobody takes, then the message."""
        (reply,) = yield _wire([f"MAIL FROM:<{sender(first)}> SIZE=99999999999"]), 1
        self._expect(b"5", reply)
        yield from self._whole(session, first, fate)

    def stranger(self, session: Session, first: int, fate: Fate) -> Talk:
        """Mail for others from whom we do not know."""
        replies = yield _wire(self._group(first, fate, data=False)), fate.recipients + 1
        for reply in replies[1:]:
            self._expect(b"5", reply)
        session.close()


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
        """Send until told to stop, and end what is under way."""
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


def _wire(commands: list[str]) -> bytes:
    return "".join(f"{command}\r\n" for command in commands).encode()


def main() -> None:
    """Send until the books say that it is over."""
    folder, capacity, seed, one_in, port, sessions = sys.argv[1:]
    books = Books(Path(folder), int(capacity))
    with suppress(KeyboardInterrupt):
        Crowd(books, Plan(int(seed), int(one_in)), int(port), int(sessions)).run()


if __name__ == "__main__":
    main()
