"""The server's end of an SMTP session, without I/O: bytes and answers in, events and bytes out.

RFC 5321, 2920, 3030 and 3207. An event that asks is followed by no other event until it is answered: pipelined input
waits in the buffer, so that no reply can overtake another. The state of the session is in `state`, the commands are in
`verbs`, the effects of the driver's answers in `answers`.
"""

from collections.abc import Callable

from mta.smtp.errors import ProtocolRefusal
from mta.smtp.framing import BareControl, LineTooLong
from mta.smtp.limits import STRICT, Leniency, SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.answers import answer
from mta.smtp.server.auth import NO_LOGINS, LoginTerms, parse_response
from mta.smtp.server.commands import split_command
from mta.smtp.server.events import NEED_DATA, WAITING, AuthResponse, Event, NoEvent
from mta.smtp.server.phases import COMMAND_PHASES, PendingQuestion, Phase
from mta.smtp.server.state import ServerState
from mta.smtp.server.verbs import OUT_OF_PLACE, VERBS, unknown_verb

_LOST = "connection lost"
# RFC 8446 section 5.1: a handshake record, of any version since SSL 3.
_TLS_RECORD = b"\x16\x03"
# PROXY protocol, section 2.2: the signature of version 2. Version 1 begins with a line whose first word is in VERBS.
_PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# `state` says why the members are not read off the Enum each time.
_HELLO, _RCPT, _TLS, _CLOSED = Phase.HELLO, Phase.RCPT, Phase.TLS, Phase.CLOSED


class ServerMachine:
    """One session, from the greeting to the end.

    `name` is the server's own name; `starttls` and `dsn` offer those extensions; `leniency` has the deviations from
    RFC 5321 that the client is allowed; `logins` tells how it may log in. `tls` means that the session is inside TLS
    from the start. With a `wall_clock`, which returns seconds since 1970, clients that are offered DSN may have
    messages wait before their delivery.

    The driver first answers with the greeting. Then it repeats: `receive` input; take `next_event` until it is
    NEED_DATA or WAITING, and `answer` the events that ask; write `to_send`; close when `closing`.
    """

    __slots__ = ("_state",)

    def __init__(
        self,
        limits: SmtpLimits,
        name: str,
        *,
        starttls: bool = False,
        tls: bool = False,
        dsn: bool = True,
        leniency: Leniency = STRICT,
        logins: LoginTerms = NO_LOGINS,
        wall_clock: Callable[[], float] | None = None,
    ) -> None:
        self._state = ServerState(
            limits,
            name,
            starttls=starttls,
            dsn=dsn,
            leniency=leniency,
            logins=logins,
            tls=tls,
            wall_clock=wall_clock,
        )

    @property
    def closing(self) -> bool:
        """Whether the connection is to be closed once `to_send` is written."""
        return self._state.phase is _CLOSED

    @property
    def buffered(self) -> int:
        """Octets of input that wait; while there are many, the driver must stop reading the socket."""
        return self._state.input.size

    def receive(self, data: bytes) -> None:
        """Read input of the client. After the end of the session it is dropped."""
        state = self._state
        if state.phase is _TLS:
            # The driver's transport speaks TLS from here on, so that a reply in clear would not reach the client.
            state.close(None, "input before the TLS handshake")
        if state.phase is not _CLOSED:
            state.input.feed(data)

    def next_event(self) -> Event | NoEvent:
        """Return the next event, NEED_DATA, or WAITING while an event is unanswered."""
        state = self._state
        while True:
            if state.pending_events:
                return state.pending_events.popleft()
            if state.question is not None:
                return WAITING
            event = _READERS[state.phase](state)
            if event is NEED_DATA and state.input_ended and state.phase is not _CLOSED:
                state.close(None, _LOST)
            elif event is not None:
                return event

    def answer(self, reply: Reply) -> None:
        """Answer the greeting or the last event that asks. 421 also ends the session.

        An answer that comes after the end of the session is dropped. Raises LocalProtocolError if no question is
        pending.
        """
        answer(self._state, reply)

    def to_send(self) -> bytes:
        """Return the octets for the client: all replies since the last call, in one piece."""
        outgoing = self._state.outgoing
        if not outgoing:
            return b""
        data = b"".join(outgoing)
        outgoing.clear()
        return data

    def tls_started(self) -> None:
        """Begin anew inside TLS (RFC 3207 section 4.2). Raises LocalProtocolError unless STARTTLS was accepted."""
        self._state.tls_started()

    def offer_logins(self, mechanisms: tuple[str, ...]) -> None:
        """Offer these mechanisms in place of those of `logins`, because they depend on the handshake of TLS."""
        self._state.offer_logins(mechanisms)

    def eof(self) -> None:
        """Note that the client sends no more. Everything it sent is still answered, then the session ends."""
        self._state.end_input()

    def lost(self) -> None:
        """End the session because the connection is lost, so that no reply can reach the client."""
        if not self.closing:
            self._state.close(None, _LOST)

    def close(self, reply: Reply, reason: str) -> None:
        """End the session for a reason of the server's, such as a timeout, with 421 (RFC 5321 section 3.8)."""
        if not self.closing:
            self._state.close(reply, reason)


def _read_command(state: ServerState) -> Event | NoEvent | None:
    if state.phase is _HELLO and state.input.begun(_PROXY_SIGNATURE):
        # Blank lines are answered only after further input shows that they do not begin the signature.
        if state.input.begins(_PROXY_SIGNATURE):
            state.close(canned_replies.NO_PROXY, "spoke the PROXY protocol")
            return None
        return NEED_DATA
    line: bytes | None = b""
    try:
        line = state.input.line()
        return NEED_DATA if line is None else _perform(state, line)
    except LineTooLong:
        state.count_error(b"", canned_replies.line_too_long(state.limits))
    except BareControl as control:
        _close_on_control(state, str(control))
    except ProtocolRefusal as refusal:
        _refuse_command(state, line or b"", refusal)
    return None


def _read_response(state: ServerState) -> Event | NoEvent | None:
    """Read a line of a login. It is never logged, because it may be a password."""
    try:
        line = state.input.line()
        if line is None:
            return NEED_DATA
        return state.ask(PendingQuestion.AUTH, AuthResponse(parse_response(line)))
    except LineTooLong:
        state.end_login(canned_replies.RESPONSE_TOO_LONG)
    except BareControl as control:
        _close_on_control(state, str(control))
    except ProtocolRefusal as refusal:
        state.end_login(refusal.reply)
    return None


def _close_on_control(state: ServerState, control: str) -> None:
    if state.input.begins(_TLS_RECORD):
        state.close(canned_replies.NOT_TLS, "began TLS without STARTTLS")
    else:
        state.close(canned_replies.bare_in_command(control), f"{control} in a command")


def _perform(state: ServerState, line: bytes) -> Event | None:
    word, argument = split_command(line.lstrip(b" \t") if state.leniency.names else line)
    verb = VERBS.get(word) or unknown_verb(word, argument)
    if verb.last and state.input.size and not (state.leniency.haste and state.phase is _RCPT):
        state.close(canned_replies.INPUT_BEHIND_DATA, "input behind DATA")
    elif state.phase not in verb.phases:
        if verb.last:
            state.note_data_refused()
        raise ProtocolRefusal(OUT_OF_PLACE[state.phase])
    elif not (verb.idle and state.count_idle()):
        return verb.perform(state, argument)
    return None


def _refuse_command(state: ServerState, line: bytes, refusal: ProtocolRefusal) -> None:
    if refusal.fatal:
        state.close(refusal.reply, refusal.reply.text)
    elif refusal.counted:
        state.count_error(line, refusal.reply)
    else:
        state.refuse(line, refusal.reply)


def _read_nothing(_state: ServerState) -> NoEvent:
    return NEED_DATA


_READERS: dict[Phase, Callable[[ServerState], Event | NoEvent | None]] = {
    **dict.fromkeys(COMMAND_PHASES, _read_command),
    Phase.GREETING: _read_nothing,
    Phase.DATA: ServerState.read_data,
    Phase.CHUNK: ServerState.read_chunk,
    Phase.SKIP: ServerState.read_skipped,
    Phase.DONE: ServerState.read_done,
    Phase.SASL: _read_response,
    Phase.TLS: _read_nothing,
    Phase.CLOSED: _read_nothing,
}
