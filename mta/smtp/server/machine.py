"""The server's half of an SMTP session: bytes and answers in, events and bytes out (RFC 5321, 2920, 3030, 3207).

Two tables say what a session may do: VERBS, which command is allowed in which phase, and AFTER, which phase follows
the driver's answer to a question. Only this file and `session` change a session's phase.

An event that asks is followed by no other until it is answered: what the client pipelined waits in the buffer, so no
reply can overtake another.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mta.smtp.errors import LocalProtocolError, ProtocolRefusal
from mta.smtp.framing import BareControl, LineTooLong
from mta.smtp.limits import STRICT, Leniency, SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.commands import split_command
from mta.smtp.server.events import NEED_DATA, WAITING, BodyEnd, BodyPart, BodyRefused, Event, NoEvent
from mta.smtp.server.state import COMMAND_PHASES, PendingQuestion, Phase, ServerState
from mta.smtp.server.verbs import OUT_OF_PLACE, VERBS, unknown

_BODY_END = BodyEnd()
_LOST = "connection lost"
# RFC 8446 section 5.1: a handshake record, of any version since SSL 3.
_TLS_RECORD = b"\x16\x03"
# PROXY protocol, section 2.2: the signature of version 2. Version 1 begins with a line whose first word is in VERBS.
_PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Reading a member off its Enum costs as much as a call in Python 3.11. All of them were 3 % of a relayed message.
_HELLO, _READY, _RCPT, _CHUNKS, _DONE, _TLS, _CLOSED = (
    Phase.HELLO,
    Phase.READY,
    Phase.RCPT,
    Phase.CHUNKS,
    Phase.DONE,
    Phase.TLS,
    Phase.CLOSED,
)
_MESSAGE = PendingQuestion.MESSAGE


class ServerMachine:
    """One session, from the greeting to the end. `name` is how we call ourselves; `starttls` and `dsn` offer those.

    `leniency` says which deviations from RFC 5321 the client is allowed.

    The driver's loop: `receive` what came in; take `next_event` until it is NEED_DATA or WAITING; write `to_send`;
    close when `closing`. The first thing it does is to `answer` with the greeting.
    """

    __slots__ = ("_session",)

    def __init__(
        self, limits: SmtpLimits, name: str, *, starttls: bool = False, dsn: bool = True, leniency: Leniency = STRICT
    ) -> None:
        self._session = ServerState(limits, name, starttls=starttls, dsn=dsn, leniency=leniency)

    @property
    def closing(self) -> bool:
        """Whether the connection is to be closed once `to_send` is out."""
        return self._session.phase is _CLOSED

    @property
    def buffered(self) -> int:
        """Octets that wait for an answer; the driver stops reading the socket while there are many."""
        return self._session.input.size

    def receive(self, data: bytes) -> None:
        """Take what the client sent. After the end of the session it is thrown away."""
        session = self._session
        if session.phase is _TLS:
            # The driver's transport speaks TLS from here on: words in clear would not reach anyone.
            session.shut(None, "input before the TLS handshake")
        if session.phase is not _CLOSED:
            session.input.feed(data)

    def next_event(self) -> Event | NoEvent:
        """Return what happened next, NEED_DATA, or WAITING while an event is unanswered."""
        session = self._session
        while True:
            if session.told:
                return session.told.popleft()
            if session.question is not None:
                return WAITING
            event = _READ[session.phase](session)
            if event is NEED_DATA and session.input_ended and session.phase is not _CLOSED:
                session.shut(None, _LOST)
            elif event is not None:
                return event

    def answer(self, reply: Reply) -> None:
        """Answer the greeting or the last event that asks. 421 also ends the session.

        An answer that comes after the session ended is dropped. Raises LocalProtocolError if nothing was asked.
        """
        session = self._session
        question, session.question = session.question, None
        if question is None:
            raise LocalProtocolError(f"nothing was asked that {reply} could answer")
        if session.phase is _CLOSED:
            return
        if reply.code == 421:
            session.shut(reply, reply.text)
            return
        after = AFTER[question]
        phase = after.yes if reply.positive else after.no
        if phase is not None:
            session.phase = phase
        after.effect(session, reply)

    def to_send(self) -> bytes:
        """Return what has to go to the client: all replies since the last call, in one piece."""
        outgoing = self._session.outgoing
        if not outgoing:
            return b""
        data = b"".join(outgoing)
        outgoing.clear()
        return data

    def tls_started(self) -> None:
        """Begin anew inside TLS (RFC 3207 section 4.2). Raises LocalProtocolError unless STARTTLS was accepted."""
        session = self._session
        if session.phase is not _TLS:
            raise LocalProtocolError("TLS began unasked")
        session.tls = True
        session.phase = _HELLO

    def eof(self) -> None:
        """Note that the client sends no more. Everything it sent is still answered, then the session ends."""
        self._session.input_ended = True

    def lost(self) -> None:
        """Note that the client is gone, so that no answer can reach it."""
        if not self.closing:
            self._session.shut(None, _LOST)

    def close(self, reply: Reply, reason: str) -> None:
        """End the session for a reason of ours (time is up, we stop), with 421 as last words (RFC 5321 3.8)."""
        if not self.closing:
            self._session.shut(reply, reason)


# Commands


def _read_command(session: ServerState) -> Event | NoEvent | None:
    if session.phase is _HELLO and session.input.begun(_PROXY_SIGNATURE):
        # Blank lines are answered only after further input shows that they do not begin the signature.
        if session.input.begins(_PROXY_SIGNATURE):
            session.shut(canned_replies.NO_PROXY, "spoke the PROXY protocol")
            return None
        return NEED_DATA
    try:
        line = session.input.line()
        if line is None:
            return NEED_DATA
        session.line = line
        return _perform(session, line)
    except LineTooLong:
        session.line = b""
        session.mistake(canned_replies.line_too_long(session.limits))
    except BareControl as control:
        if session.input.begins(_TLS_RECORD):
            session.shut(canned_replies.NOT_TLS, "began TLS without STARTTLS")
        else:
            session.shut(canned_replies.bare_in_command(str(control)), f"{control} in a command")
    except ProtocolRefusal as refusal:
        if refusal.fatal:
            session.shut(refusal.reply, refusal.reply.text)
        else:
            session.mistake(refusal.reply)
    return None


def _perform(session: ServerState, line: bytes) -> Event | None:
    word, argument = split_command(line.lstrip(b" \t") if session.leniency.names else line)
    verb = VERBS.get(word) or unknown(word, argument)
    if verb.last and session.input.size and not (session.leniency.haste and session.phase is _RCPT):
        session.shut(canned_replies.INPUT_BEHIND_DATA, "input behind DATA")
    elif session.phase not in verb.phases:
        session.data_refused |= verb.last
        session.mistake(OUT_OF_PLACE[session.phase])
    elif not (verb.idle and session.idled()):
        return verb.perform(session, argument)
    return None


# Bodies


def _read_data(session: ServerState) -> Event | NoEvent | None:
    data = session.input.take()
    if not data:
        return NEED_DATA
    text, rest = session.dots.feed(data)
    if rest is not None:
        session.input.feed(rest)
        session.phase = _DONE
    return _pass_on(session, text)


def _read_chunk(session: ServerState) -> Event | NoEvent | None:
    chunk = session.chunk
    if not chunk.left:
        return _end_chunk(session)
    data = session.input.take(chunk.left)
    if not data:
        return NEED_DATA
    chunk.left -= len(data)
    return _pass_on(session, session.chunks.feed(data))


def _end_chunk(session: ServerState) -> Event | None:
    if session.chunk.last:
        session.phase = _DONE
        return _pass_on(session, session.chunks.finish())
    if session.check.failed:
        return _refuse_body(session)
    session.phase = _CHUNKS
    session.say(canned_replies.chunk_taken(session.chunk.size))
    return None


def _read_skipped(session: ServerState) -> NoEvent | None:
    chunk = session.chunk
    chunk.left -= len(session.input.take(chunk.left))
    if chunk.left:
        return NEED_DATA
    session.phase = chunk.resume
    session.say(chunk.refusal)
    return None


def _pass_on(session: ServerState, text: bytes) -> Event | None:
    """Give the driver a piece of the body, unless something is wrong with it."""
    try:
        text = session.check.inspect(text)
    except BareControl as control:
        session.shut(canned_replies.bare_in_message(str(control)), f"{control} in the message")
        return None
    return BodyPart(text) if text and not session.check.failed else None


def _read_done(session: ServerState) -> Event:
    return _refuse_body(session) if session.check.failed else session.ask(_MESSAGE, _BODY_END)


def _refuse_body(session: ServerState) -> Event:
    """Refuse a body that has been read to its end, or to that of a chunk."""
    check, limits = session.check, session.limits
    if check.oversize:
        refusal = canned_replies.message_too_large(limits)
    else:
        refusal = canned_replies.text_line_too_long(limits, check.long_line, check.long_octets)
    session.phase = _READY
    session.say(refusal)
    return BodyRefused(refusal)


def _read_nothing(_session: ServerState) -> NoEvent:
    return NEED_DATA


_READ: dict[Phase, Callable[[ServerState], Event | NoEvent | None]] = {
    **dict.fromkeys(COMMAND_PHASES, _read_command),
    Phase.GREETING: _read_nothing,
    Phase.DATA: _read_data,
    Phase.CHUNK: _read_chunk,
    Phase.SKIP: _read_skipped,
    Phase.DONE: _read_done,
    Phase.TLS: _read_nothing,
    Phase.CLOSED: _read_nothing,
}

# Answers


def _greeted(session: ServerState, reply: Reply) -> None:
    if not reply.positive:
        session.shut(reply, reply.text)
    elif session.input.size and not session.leniency.haste:
        session.shut(canned_replies.SPOKE_TOO_SOON, "input before the greeting")
    else:
        session.say(reply)


def _hello_answered(session: ServerState, reply: Reply) -> None:
    if not reply.positive:
        session.say(reply)
    elif session.extended:
        offer_tls = session.starttls and not session.tls
        size = session.limits.message_size
        session.say(canned_replies.extended_hello(session.name, size, starttls=offer_tls, dsn=session.dsn))
    else:
        session.say(canned_replies.hello(session.name))


def _recipient_answered(session: ServerState, reply: Reply) -> None:
    session.say(reply)
    if reply.positive:
        session.transaction.accepted += 1
    else:
        session.transaction.refused += 1


def _data_answered(session: ServerState, reply: Reply) -> None:
    if session.input.size and not (session.leniency.haste and reply.positive):
        session.shut(canned_replies.INPUT_BEHIND_DATA, "input behind DATA")
        return
    session.data_refused = not reply.positive
    session.begin_data()
    session.say(reply)


def _chunk_answered(session: ServerState, reply: Reply) -> None:
    session.begin_chunks()
    if not reply.positive:
        session.chunk.refusal = reply


def _message_answered(session: ServerState, reply: Reply) -> None:
    session.say(reply)
    if reply.positive:
        session.idle = 0


def _tls_answered(session: ServerState, reply: Reply) -> None:
    if reply.positive and session.input.size:
        session.shut(canned_replies.INPUT_BEHIND_STARTTLS, "input behind STARTTLS")
    else:
        session.say(reply)


@dataclass(frozen=True, slots=True)
class After:
    """The phase after a positive and after a negative answer (None: as it was), and what else comes of it."""

    yes: Phase
    no: Phase | None
    effect: Callable[[ServerState, Reply], None] = ServerState.say


AFTER = {
    PendingQuestion.GREETING: After(Phase.HELLO, Phase.CLOSED, _greeted),
    PendingQuestion.HELLO: After(Phase.READY, None, _hello_answered),
    PendingQuestion.SENDER: After(Phase.MAIL, Phase.READY),
    PendingQuestion.RECIPIENT: After(Phase.RCPT, None, _recipient_answered),
    PendingQuestion.DATA: After(Phase.DATA, Phase.READY, _data_answered),
    PendingQuestion.CHUNK: After(Phase.CHUNK, Phase.SKIP, _chunk_answered),
    PendingQuestion.MESSAGE: After(Phase.READY, Phase.READY, _message_answered),
    PendingQuestion.TLS: After(Phase.TLS, None, _tls_answered),
}
