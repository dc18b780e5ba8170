"""The state of a server's session: its phase, its counts, and the few ways to change them."""

import enum
from collections import deque
from dataclasses import dataclass

from mta.smtp.framing import ChunkReader, DotReader, InputBuffer, TextCheck
from mta.smtp.limits import Leniency, SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.commands import shown
from mta.smtp.server.events import Closed, CommandRefused, Event, Reset


class Phase(enum.IntEnum):
    """Where a session stands."""

    #: Our greeting is due.
    GREETING = enum.auto()
    #: HELO or EHLO is due.
    HELLO = enum.auto()
    #: Between messages.
    READY = enum.auto()
    #: A sender was accepted, and no recipient yet.
    MAIL = enum.auto()
    #: At least one recipient was accepted.
    RCPT = enum.auto()
    #: In the body that follows DATA.
    DATA = enum.auto()
    #: In a chunk of BDAT.
    CHUNK = enum.auto()
    #: Between two chunks of a message.
    CHUNKS = enum.auto()
    #: In a chunk that was refused before it came; its octets are passed over.
    SKIP = enum.auto()
    #: The body has ended.
    DONE = enum.auto()
    #: STARTTLS was accepted, the handshake is due.
    TLS = enum.auto()
    CLOSED = enum.auto()


class PendingQuestion(enum.IntEnum):
    """What the driver was asked."""

    GREETING = enum.auto()
    HELLO = enum.auto()
    SENDER = enum.auto()
    RECIPIENT = enum.auto()
    DATA = enum.auto()
    CHUNK = enum.auto()
    MESSAGE = enum.auto()
    TLS = enum.auto()


#: The phases in which commands are read, and those of them with a transaction to lose.
COMMAND_PHASES = frozenset((Phase.HELLO, Phase.READY, Phase.MAIL, Phase.RCPT, Phase.CHUNKS))
TRANSACTION_PHASES = frozenset((Phase.MAIL, Phase.RCPT, Phase.CHUNKS))
_RESET = Reset()


@dataclass(slots=True)
class ServerTransaction:
    """What counts between MAIL and the end of the message."""

    smtputf8: bool
    accepted: int = 0
    refused: int = 0


@dataclass(slots=True)
class Chunk:
    """One BDAT: octets announced and still to come; for one to be passed over, what is said and done after it."""

    size: int
    last: bool
    left: int
    refusal: Reply = canned_replies.SENDER_FIRST
    resume: Phase = Phase.READY


class ServerState:
    """What is known of a session, and the few ways to change it."""

    __slots__ = (
        "check",
        "chunk",
        "chunks",
        "data_refused",
        "dots",
        "dsn",
        "errors",
        "extended",
        "idle",
        "input",
        "input_ended",
        "leniency",
        "limits",
        "line",
        "name",
        "outgoing",
        "phase",
        "question",
        "starttls",
        "tls",
        "told",
        "transaction",
    )

    def __init__(self, limits: SmtpLimits, name: str, *, starttls: bool, dsn: bool, leniency: Leniency) -> None:
        self.limits = limits
        self.leniency = leniency
        self.name = name
        self.starttls = starttls
        self.dsn = dsn
        self.tls = False
        self.extended = False
        #: Whether the last DATA was refused, so that what comes may be a message that was sent all the same.
        self.data_refused = False
        self.phase = Phase.GREETING
        self.question: PendingQuestion | None = PendingQuestion.GREETING
        self.input = InputBuffer(limits.command_line, line_feeds=leniency.line_feeds)
        #: Whether the client has closed its sending side: no more input will come.
        self.input_ended = False
        #: The command that was read last.
        self.line = b""
        self.outgoing: list[bytes] = []
        # Events that come before whatever is read next.
        self.told: deque[Event] = deque()
        # Mistakes so far, and commands without mail since the last accepted message.
        self.errors = 0
        self.idle = 0
        # Made when first needed: MAIL makes the transaction, BDAT the chunk, and a body what reads it.
        self.transaction: ServerTransaction
        self.chunk: Chunk
        self.check: TextCheck
        self.dots: DotReader
        self.chunks: ChunkReader

    def begin_data(self) -> None:
        """Make ready for the body behind DATA."""
        self.check = self._text_check()
        self.dots = DotReader()

    def begin_chunks(self) -> None:
        """Make ready for a body in chunks."""
        self.check = self._text_check()
        self.chunks = ChunkReader()

    def _text_check(self) -> TextCheck:
        limits = self.limits
        return TextCheck(limits.message_size, limits.text_line, line_feeds=self.leniency.line_feeds)

    def say(self, reply: Reply) -> None:
        """Queue a reply."""
        self.outgoing.append(reply.wire)

    def ask(self, question: PendingQuestion, event: Event) -> Event:
        """Let nothing happen until the driver has answered; returns the event for it."""
        self.question = question
        return event

    def mistake(self, reply: Reply) -> None:
        """Count a syntax or sequence error and say what it was, or end the session."""
        self.errors += 1
        if self.errors > self.limits.errors:
            self.shut(canned_replies.TOO_MANY_ERRORS, "too many errors")
        else:
            self.refuse(reply)

    def refuse(self, reply: Reply) -> None:
        """Say no to the command that was read last."""
        self.say(reply)
        self.told.append(CommandRefused(shown(self.line), reply))

    def idled(self) -> bool:
        """Count a command that carries no mail; True means that it was one too many."""
        self.idle += 1
        if self.idle > self.limits.idle_commands:
            self.shut(canned_replies.TOO_MUCH_IDLING, "too many commands without mail")
            return True
        return False

    def reset(self) -> Event | None:
        """Forget the transaction; returns the event for the driver if there was one."""
        if self.phase not in TRANSACTION_PHASES:
            return None
        self.phase = Phase.READY
        return _RESET

    def read_chunk(self) -> None:
        """Read the announced chunk next."""
        self.phase = Phase.CHUNK

    def skip_chunk(self, refusal: Reply) -> None:
        """Pass over the announced chunk, then refuse it and be where we were."""
        self.chunk.refusal = refusal
        self.chunk.resume = self.phase
        self.phase = Phase.SKIP

    def shut(self, reply: Reply | None, reason: str) -> None:
        """End the session."""
        if reply is not None:
            self.say(reply)
        self.phase = Phase.CLOSED
        self.input.clear()
        self.told.append(Closed(reason, reply))
