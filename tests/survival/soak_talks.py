"""The sessions of the clients of a soak: one message each, without a fault or with the fault of its fate."""

from collections.abc import Generator
from typing import Protocol

from tests.survival.soak_books import Books, Count, Sent
from tests.survival.soak_plan import LARGE, NOBODYS, SMALL, Fate, recipient, sender

#: A session yields octets to send with the number of replies to wait for, or seconds to wait; it gets the replies.
Talk = Generator[tuple[bytes, int] | float, list[bytes], None]

_DOT = b".\r\n"


class GoneError(Exception):
    """The connection ended."""


class Session(Protocol):
    """A connection that talks go over, one after the other."""

    def connect(self) -> Talk:
        """Connect and greet, if there is no connection. Raises GoneError."""

    def close(self) -> None:
        """Break the connection off."""

    def stop_reading(self) -> None:
        """Let replies lie."""


class Messages:
    """The talks: one message each, well-behaved or not."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def send(self, session: Session, first: int, fate: Fate) -> Talk:
        """Send one message with the fault of its fate, and note every failure."""
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
        """A false end of data, and a second message behind it. Neither may arrive anywhere."""
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
        """A size beyond every limit, then the message."""
        (reply,) = yield _wire([f"MAIL FROM:<{sender(first)}> SIZE=99999999999"]), 1
        self._expect(b"5", reply)
        yield from self._whole(session, first, fate)

    def stranger(self, session: Session, first: int, fate: Fate) -> Talk:
        """Mail for foreign domains from an untrusted client."""
        replies = yield _wire(self._group(first, fate, data=False)), fate.recipients + 1
        for reply in replies[1:]:
            self._expect(b"5", reply)
        session.close()


def _wire(commands: list[str]) -> bytes:
    return "".join(f"{command}\r\n" for command in commands).encode()
