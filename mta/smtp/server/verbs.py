"""The table of commands: what each does, the phases in which it is allowed (RFC 5321 section 4.1.4), and its limits.

A command that the driver has to judge asks a question; `state` has the phase that follows the answer.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from mta.smtp.errors import ProtocolRefusal
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.auth import parse_auth
from mta.smtp.server.commands import parse_bdat, parse_hello, parse_mail, parse_nothing, parse_rcpt
from mta.smtp.server.events import AuthBegin, DataBegin, Event, Hello, MailFrom, StartTls
from mta.smtp.server.phases import COMMAND_PHASES, IDLE_PHASES, PendingQuestion, Phase
from mta.smtp.server.state import ServerState

_BY_DATA = DataBegin(chunking=False)
_BY_BDAT = DataBegin(chunking=True)
# Each message needs these; `state` says why they are not read off the Enum each time.
_HELLO, _RCPT = Phase.HELLO, Phase.RCPT
_ASK_RECIPIENT, _ASK_DATA = PendingQuestion.RECIPIENT, PendingQuestion.DATA


def _ehlo(state: ServerState, argument: bytes) -> Event | None:
    return state.ask_hello(Hello(parse_hello(argument, state.leniency), extended=True))


def _helo(state: ServerState, argument: bytes) -> Event | None:
    return state.ask_hello(Hello(parse_hello(argument, state.leniency), extended=False))


def _mail(state: ServerState, argument: bytes) -> Event:
    if state.phase is _HELLO and (state.logins.required or not state.leniency.names):
        raise ProtocolRefusal(canned_replies.HELLO_FIRST)
    command = parse_mail(argument, state.leniency)
    if not state.dsn and (command.ret is not None or command.envid is not None):
        raise ProtocolRefusal(canned_replies.NO_DSN)
    if command.tls_demand is not None and not (state.tls and state.extended):
        raise ProtocolRefusal(canned_replies.NO_REQUIRETLS)
    if command.hold_for is not None or command.hold_until is not None:
        command = _released(state, command)
    if 0 < state.limits.message_size < command.size:
        raise ProtocolRefusal(canned_replies.message_too_large(state.limits), counted=False)
    return state.ask_sender(command)


def _released(state: ServerState, command: MailFrom) -> MailFrom:
    """Return a MAIL that is to be held with the time of its release. Raises ProtocolRefusal."""
    if not state.dsn or state.wall_clock is None:
        raise ProtocolRefusal(canned_replies.NO_FUTURE_RELEASE)
    if command.hold_for is not None and command.hold_until is not None:
        raise ProtocolRefusal(canned_replies.TWO_HOLDS)
    now = state.wall_clock()
    until = command.hold_until if command.hold_for is None else now + command.hold_for
    assert until is not None, "there is one of them"
    if until > now + state.limits.longest_hold:
        raise ProtocolRefusal(canned_replies.held_too_long(state.limits))
    return replace(command, hold_for=None, hold_until=float(math.ceil(until)))


def _rcpt(state: ServerState, argument: bytes) -> Event:
    transaction, limits = state.transaction, state.limits
    command = parse_rcpt(argument, state.leniency, smtputf8=transaction.smtputf8)
    recipient = command.recipient
    if not state.dsn and (recipient.notify is not None or recipient.original is not None):
        raise ProtocolRefusal(canned_replies.NO_DSN)
    if transaction.accepted >= limits.recipients:
        raise ProtocolRefusal(canned_replies.TOO_MANY_RECIPIENTS, counted=False)
    if transaction.accepted < transaction.refused >= limits.bad_recipients:
        raise ProtocolRefusal(canned_replies.TOO_MANY_BAD_RECIPIENTS, counted=False)
    return state.ask(_ASK_RECIPIENT, command)


def _data(state: ServerState, argument: bytes) -> Event | None:
    parse_nothing(argument)
    if state.phase is _RCPT:
        return state.ask(_ASK_DATA, _BY_DATA)
    state.note_data_refused()
    # Not counted as an error, because a client that pipelines sends DATA before it learns that all its recipients were
    # refused.
    if not state.count_idle():
        state.say(canned_replies.NO_RECIPIENTS)
    return None


def _bdat(state: ServerState, argument: bytes) -> Event | None:
    size, last = parse_bdat(argument)
    phase = state.phase
    if phase is Phase.CHUNKS:
        state.expect_chunk(size, last=last)
        return None
    if phase is _RCPT:
        return state.ask_chunk(size, _BY_BDAT, last=last)
    # A pipelined chunk follows its command even if the command is refused, so its octets must be skipped.
    if not state.count_idle():
        state.skip_chunk(size, canned_replies.NO_RECIPIENTS if phase is Phase.MAIL else OUT_OF_PLACE[phase])
    return None


def _rset(state: ServerState, argument: bytes) -> Event | None:
    parse_nothing(argument)
    state.say(canned_replies.RESET)
    return state.reset()


def _quit(state: ServerState, argument: bytes) -> Event | None:
    parse_nothing(argument)
    state.close(canned_replies.GOODBYE, "QUIT")
    return None


def _auth(state: ServerState, argument: bytes) -> Event:
    offered = state.mechanisms
    if state.logged_in:
        raise ProtocolRefusal(canned_replies.LOGGED_IN_ALREADY)
    if not offered:
        in_tls = state.starttls and not state.tls and state.logins.in_tls
        raise ProtocolRefusal(canned_replies.TLS_FIRST if in_tls else canned_replies.NO_AUTH)
    return state.ask(PendingQuestion.AUTH, AuthBegin(*parse_auth(argument, offered)))


def _starttls(state: ServerState, argument: bytes) -> Event:
    parse_nothing(argument)
    if state.tls or not state.starttls:
        raise ProtocolRefusal(canned_replies.TLS_ALREADY if state.tls else canned_replies.NO_TLS)
    return state.ask(PendingQuestion.TLS, StartTls())


def _vrfy(state: ServerState, argument: bytes) -> None:
    if not argument:
        raise ProtocolRefusal(canned_replies.NO_VRFY_ARGUMENT)
    state.say(canned_replies.UNVERIFIED)


def _http(state: ServerState, _argument: bytes) -> None:
    state.close(canned_replies.NOT_HTTP, "spoke HTTP")


def _proxy(state: ServerState, _argument: bytes) -> None:
    state.close(canned_replies.NO_PROXY, "spoke the PROXY protocol")


def _not_smtp(state: ServerState, _argument: bytes) -> None:
    state.close(canned_replies.NOT_SMTP, "spoke something else than SMTP")


def _unknown(state: ServerState, _argument: bytes) -> None:
    if not state.data_refused:
        raise ProtocolRefusal(canned_replies.UNKNOWN_COMMAND)
    # A client that did not wait for the reply to DATA sends the message now: its lines are not commands.
    state.close(canned_replies.INPUT_BEHIND_DATA, "input behind DATA")


def _always_reply(reply: Reply) -> "Perform":
    def perform(state: ServerState, _argument: bytes) -> None:
        state.say(reply)

    return perform


def _always_refuse(reply: Reply) -> "Perform":
    def perform(_state: ServerState, _argument: bytes) -> None:
        raise ProtocolRefusal(reply)

    return perform


Perform = Callable[[ServerState, bytes], Event | None]


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: the function that performs it, and the phases in which it is allowed.

    `idle` commands are limited for as long as no message is accepted. After a `last` command the client must wait for
    the reply.
    """

    perform: Perform
    phases: frozenset[Phase] = COMMAND_PHASES
    idle: bool = False
    last: bool = False


VERBS = {
    b"EHLO": Verb(_ehlo, idle=True),
    b"HELO": Verb(_helo, idle=True),
    b"MAIL": Verb(_mail, frozenset((Phase.HELLO, Phase.READY)), idle=True),
    b"RCPT": Verb(_rcpt, frozenset((Phase.MAIL, Phase.RCPT))),
    b"DATA": Verb(_data, frozenset((Phase.MAIL, Phase.RCPT)), last=True),
    b"BDAT": Verb(_bdat),
    b"RSET": Verb(_rset, idle=True),
    b"NOOP": Verb(_always_reply(canned_replies.NOTHING_DONE), idle=True),
    b"QUIT": Verb(_quit),
    b"VRFY": Verb(_vrfy, COMMAND_PHASES - {Phase.LOGIN}, idle=True),
    b"HELP": Verb(_always_reply(canned_replies.HELP), idle=True),
    b"EXPN": Verb(_always_reply(canned_replies.NO_EXPN), idle=True),
    b"ETRN": Verb(_always_reply(canned_replies.NO_ETRN), idle=True),
    b"TURN": Verb(_always_refuse(canned_replies.NO_TURN)),
    b"AUTH": Verb(_auth, IDLE_PHASES, idle=True),
    b"PROXY": Verb(_proxy),
    # Some clients begin with it, and inside TLS all of them greet again.
    b"STARTTLS": Verb(_starttls, IDLE_PHASES | {Phase.HELLO}, idle=True),
    # An attacker can make a browser or a proxy send commands in the body of a request.
    **dict.fromkeys((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH"), Verb(_http)),
}
_UNKNOWN = Verb(_unknown)
_HTTP = Verb(_http)
_NOT_SMTP = Verb(_not_smtp)
# RFC 9112 section 3: a request line ends so with any method.
_REQUEST = re.compile(rb"(?:.* )?HTTP/[0-9.]+", re.IGNORECASE)


def unknown_verb(word: bytes, argument: bytes) -> Verb:
    """Return the command for a line that begins with none of VERBS. A line that is not SMTP ends the session."""
    if _REQUEST.fullmatch(argument):
        return _HTTP
    # RFC 5321 section 4.1.1: every command begins with a letter. A blank line may be a slip.
    return _UNKNOWN if not word or word[:1].isalpha() else _NOT_SMTP


#: The reply to a command that is not allowed in a phase.
OUT_OF_PLACE = {
    Phase.HELLO: canned_replies.HELLO_FIRST,
    Phase.LOGIN: canned_replies.LOGIN_FIRST,
    Phase.READY: canned_replies.SENDER_FIRST,
    Phase.MAIL: canned_replies.SENDER_GIVEN,
    Phase.RCPT: canned_replies.SENDER_GIVEN,
    Phase.CHUNKS: canned_replies.CHUNKS_BEGUN,
}
