"""The state of a server's session, and its changes by commands and input.

Only the methods in this module and the functions of `answers` change the phase, the counts and the other fields;
`verbs` and `machine` read them and call the methods. The three queues (input, events, output) are filled and emptied by
`machine` too. VERBS, in `verbs`, has the phases in which each command is allowed.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from mta.smtp.errors import LocalProtocolError
from mta.smtp.framing import BareControl, ChunkReader, DotReader, InputBuffer, TextCheck
from mta.smtp.limits import Leniency, SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.auth import MAX_RESPONSE, LoginTerms
from mta.smtp.server.commands import shown
from mta.smtp.server.events import (
    NEED_DATA,
    BodyEnd,
    BodyPart,
    BodyRefused,
    Closed,
    CommandRefused,
    Event,
    Hello,
    MailFrom,
    NoEvent,
    Reset,
)
from mta.smtp.server.phases import TRANSACTION_PHASES, Chunk, PendingQuestion, Phase, ServerTransaction

_BODY_END = BodyEnd()
_RESET = Reset()
# In Python 3.11, reading a member off its Enum costs as much as a call. All of them were 3 % of a relayed message.
_HELLO, _LOGIN, _READY, _CHUNK, _CHUNKS, _SKIP, _DONE, _SASL, _TLS, _CLOSED = (
    Phase.HELLO,
    Phase.LOGIN,
    Phase.READY,
    Phase.CHUNK,
    Phase.CHUNKS,
    Phase.SKIP,
    Phase.DONE,
    Phase.SASL,
    Phase.TLS,
    Phase.CLOSED,
)
_ASK_HELLO, _ASK_SENDER, _ASK_CHUNK, _ASK_MESSAGE = (
    PendingQuestion.HELLO,
    PendingQuestion.SENDER,
    PendingQuestion.CHUNK,
    PendingQuestion.MESSAGE,
)
# The arithmetic of `datetime` does not need the C library's time, which ends in 2038 on some systems.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ServerState:
    """The state of one session."""

    __slots__ = (
        "before_login",
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
        "logged_in",
        "logins",
        "mechanisms",
        "name",
        "outgoing",
        "pending_events",
        "phase",
        "question",
        "starttls",
        "tls",
        "transaction",
        "wall_clock",
    )

    def __init__(
        self,
        limits: SmtpLimits,
        name: str,
        *,
        starttls: bool,
        tls: bool,
        dsn: bool,
        leniency: Leniency,
        logins: LoginTerms,
        wall_clock: Callable[[], float] | None,
    ) -> None:
        self.limits = limits
        self.leniency = leniency
        self.name = name
        self.starttls = starttls
        self.dsn = dsn
        self.wall_clock = wall_clock
        self.tls = tls
        self.logins = logins
        #: The mechanisms that are offered now.
        self.mechanisms = logins.in_tls if tls else logins.in_clear
        self.logged_in = False
        #: `dsn` and `leniency` as they were before the login.
        self.before_login = (dsn, leniency)
        #: Whether the client sent EHLO.
        self.extended = False
        #: Whether the last DATA was refused, so that the next lines may be a message that was sent all the same.
        self.data_refused = False
        self.phase = Phase.GREETING
        self.question: PendingQuestion | None = PendingQuestion.GREETING
        self.input = InputBuffer(limits.command_line, line_feeds=leniency.line_feeds)
        #: Whether the client has closed its sending side, so that no more input will come.
        self.input_ended = False
        #: Replies that are not yet sent.
        self.outgoing: list[bytes] = []
        #: Events that precede those of further input.
        self.pending_events: deque[Event] = deque()
        #: Syntax and sequence errors.
        self.errors = 0
        #: Commands without mail since the last accepted message.
        self.idle = 0
        # Set when first needed: the transaction by MAIL, the chunk by BDAT, and the readers by each body.
        self.transaction: ServerTransaction
        self.chunk: Chunk
        self.check: TextCheck
        self.dots: DotReader
        self.chunks: ChunkReader

    # The session as a whole

    def close(self, reply: Reply | None, reason: str) -> None:
        """End the session, with a last reply if one is given."""
        if reply is not None:
            self.outgoing.append(reply.wire)
        self.phase = _CLOSED
        self.input.clear()
        self.pending_events.append(Closed(reason, reply))

    def end_input(self) -> None:
        """Note that the client has closed its sending side."""
        self.input_ended = True

    def latest_release(self) -> str:
        """Return the last time at which a message may be released, to the minute; "" if that is not offered.

        It is offered to the clients that are offered DSN (RFC 4865).
        """
        if not self.dsn or self.wall_clock is None:
            return ""
        return _minute_text(int(self.wall_clock() + self.limits.longest_hold) // 60)

    def tls_started(self) -> None:
        """Begin anew inside TLS. Raises LocalProtocolError unless STARTTLS was accepted."""
        if self.phase is not _TLS:
            raise LocalProtocolError("TLS began unasked")
        self.tls = True
        self.phase = _HELLO
        self.logged_in = False
        self.dsn, self.leniency = self.before_login
        self.mechanisms = self.logins.in_tls

    # Commands

    def say(self, reply: Reply) -> None:
        """Add a reply to the output."""
        self.outgoing.append(reply.wire)

    def refuse(self, line: bytes, reply: Reply) -> None:
        """Refuse a command line."""
        self.outgoing.append(reply.wire)
        self.pending_events.append(CommandRefused(shown(line), reply))

    def count_error(self, line: bytes, reply: Reply) -> None:
        """Count a syntax or sequence error and refuse the command line, or end the session after too many errors."""
        self.errors += 1
        if self.errors > self.limits.errors:
            self.close(canned_replies.TOO_MANY_ERRORS, "too many errors")
        else:
            self.refuse(line, reply)

    def count_idle(self) -> bool:
        """Count a command that carries no mail. Return True if the session ends because there were too many."""
        self.idle += 1
        if self.idle > self.limits.idle_commands:
            self.close(canned_replies.TOO_MUCH_IDLING, "too many commands without mail")
            return True
        return False

    def ask(self, question: PendingQuestion, event: Event) -> Event:
        """Wait for the driver's answer to a question; return the event that asks it."""
        self.question = question
        return event

    def ask_hello(self, hello: Hello) -> Event | None:
        """Ask about a HELO or EHLO, which also ends a transaction."""
        self.extended = hello.extended
        self.question = _ASK_HELLO
        reset = self.reset()
        if reset is None:
            return hello
        self.pending_events.extend((reset, hello))
        return None

    def ask_sender(self, command: MailFrom) -> Event:
        """Begin a transaction and ask about its sender."""
        self.transaction = ServerTransaction(command.smtputf8)
        self.data_refused = False
        self.question = _ASK_SENDER
        return command

    def reset(self) -> Event | None:
        """End the transaction; return the event for the driver if there was one."""
        if self.phase not in TRANSACTION_PHASES:
            return None
        self.phase = _READY
        return _RESET

    def offer_logins(self, mechanisms: tuple[str, ...]) -> None:
        """Offer these mechanisms until the client has logged in."""
        if not self.logged_in:
            self.mechanisms = mechanisms

    def end_login(self, reply: Reply) -> None:
        """End a login that the client began, and refuse its response."""
        self.leave_login()
        self.count_error(b"AUTH", reply)

    def expect_response(self) -> None:
        """Read a response to a challenge next."""
        self.phase = _SASL
        self.input.limit = MAX_RESPONSE

    def log_in(self) -> None:
        """Note that the client has logged in."""
        self.logged_in = True
        self.mechanisms = ()
        self.dsn, self.leniency = True, self.logins.leniency
        self.leave_login()

    def leave_login(self) -> None:
        """Read commands again, because the login succeeded or failed."""
        self.input.limit = self.limits.command_line
        self.phase = _LOGIN if self.logins.required and not self.logged_in else _READY

    def note_data_refused(self) -> None:
        """Note that DATA was refused."""
        self.data_refused = True

    # Bodies

    def ask_chunk(self, size: int, event: Event, *, last: bool) -> Event:
        """Ask about the first chunk of a message."""
        self.chunk = Chunk(size, last, size)
        self.question = _ASK_CHUNK
        return event

    def expect_chunk(self, size: int, *, last: bool) -> None:
        """Read a further chunk of a message next."""
        self.chunk = Chunk(size, last, size)
        self.phase = _CHUNK

    def skip_chunk(self, size: int, refusal: Reply) -> None:
        """Skip a chunk, then refuse it; the phase after it is the present one."""
        self.chunk = Chunk(size, last=False, left=size, refusal=refusal, resume=self.phase)
        self.phase = _SKIP

    def read_data(self) -> Event | NoEvent | None:
        """Read input that follows DATA."""
        data = self.input.take()
        if not data:
            return NEED_DATA
        text, rest = self.dots.feed(data)
        if rest is not None:
            self.input.feed(rest)
            self.phase = _DONE
        return self._check_body(text)

    def read_chunk(self) -> Event | NoEvent | None:
        """Read input of a chunk."""
        chunk = self.chunk
        if not chunk.left:
            return self._end_chunk()
        data = self.input.take(chunk.left)
        if not data:
            return NEED_DATA
        chunk.left -= len(data)
        return self._check_body(self.chunks.feed(data))

    def read_skipped(self) -> NoEvent | None:
        """Skip input of a chunk that was refused."""
        chunk = self.chunk
        chunk.left -= len(self.input.take(chunk.left))
        if chunk.left:
            return NEED_DATA
        self.phase = chunk.resume
        self.outgoing.append(chunk.refusal.wire)
        return None

    def read_done(self) -> Event:
        """Ask about a body that has ended, or refuse it."""
        if self.check.failed:
            return self._refuse_body()
        self.question = _ASK_MESSAGE
        return _BODY_END

    def _end_chunk(self) -> Event | None:
        if self.chunk.last:
            self.phase = _DONE
            return self._check_body(self.chunks.finish())
        if self.check.failed:
            return self._refuse_body()
        self.phase = _CHUNKS
        self.outgoing.append(canned_replies.chunk_taken(self.chunk.size).wire)
        return None

    def _check_body(self, text: bytes) -> Event | None:
        """Return the event for a piece of the body unless the body is refused. A bare control ends the session."""
        try:
            text = self.check.inspect(text)
        except BareControl as control:
            self.close(canned_replies.bare_in_message(str(control)), f"{control} in the message")
            return None
        return BodyPart(text) if text and not self.check.failed else None

    def _refuse_body(self) -> Event:
        """Refuse a body that has been read to its end, or to the end of a chunk."""
        check, limits = self.check, self.limits
        if check.oversize:
            refusal = canned_replies.message_too_large(limits)
        else:
            refusal = canned_replies.text_line_too_long(limits, check.long_line, check.long_octets)
        self.phase = _READY
        self.outgoing.append(refusal.wire)
        return BodyRefused(refusal)

    def begin_body(self) -> None:
        """Prepare the checks of the next body."""
        limits = self.limits
        self.check = TextCheck(limits.message_size, limits.text_line, line_feeds=self.leniency.line_feeds)


@lru_cache(maxsize=2)
def _minute_text(minute: int) -> str:
    # Cached, because the text of a date costs 2.6 us, and each EHLO needs it (measured).
    return f"{_EPOCH + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"
