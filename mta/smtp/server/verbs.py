"""The table of verbs: what each command does, in which phases (RFC 5321 section 4.1.4), and what it counts as.

What a command asks of the driver becomes a question; the phase that follows its answer is the server's business.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mta.smtp.errors import ProtocolRefusal
from mta.smtp.replies import Reply
from mta.smtp.server import canned_replies
from mta.smtp.server.commands import parse_bdat, parse_hello, parse_mail, parse_nothing, parse_rcpt
from mta.smtp.server.events import DataBegin, Event, Hello, StartTls
from mta.smtp.server.state import COMMAND_PHASES, Chunk, PendingQuestion, Phase, ServerState, ServerTransaction

_BY_DATA = DataBegin(chunking=False)
_BY_BDAT = DataBegin(chunking=True)
# What each message needs; `server` says why it is not read off the Enum each time.
_RCPT = Phase.RCPT
_ASK_HELLO, _ASK_SENDER, _ASK_RECIPIENT, _ASK_DATA = (
    PendingQuestion.HELLO,
    PendingQuestion.SENDER,
    PendingQuestion.RECIPIENT,
    PendingQuestion.DATA,
)


def _ehlo(session: ServerState, argument: bytes) -> Event | None:
    return _hello(session, Hello(parse_hello(argument, session.leniency), extended=True))


def _helo(session: ServerState, argument: bytes) -> Event | None:
    return _hello(session, Hello(parse_hello(argument, session.leniency), extended=False))


def _hello(session: ServerState, hello: Hello) -> Event | None:
    session.extended = hello.extended
    session.ask(_ASK_HELLO, hello)
    forgotten = session.reset()
    if forgotten is None:
        return hello
    session.told.extend((forgotten, hello))
    return None


def _mail(session: ServerState, argument: bytes) -> Event | None:
    if session.phase is Phase.HELLO and not session.leniency.names:
        raise ProtocolRefusal(canned_replies.HELLO_FIRST)
    command = parse_mail(argument, session.leniency)
    if not session.dsn and (command.ret is not None or command.envid is not None):
        raise ProtocolRefusal(canned_replies.NO_DSN)
    if 0 < session.limits.message_size < command.size:
        session.refuse(canned_replies.message_too_large(session.limits))
        return None
    session.transaction = ServerTransaction(command.smtputf8)
    session.data_refused = False
    return session.ask(_ASK_SENDER, command)


def _rcpt(session: ServerState, argument: bytes) -> Event | None:
    transaction, limits = session.transaction, session.limits
    command = parse_rcpt(argument, session.leniency, smtputf8=transaction.smtputf8)
    recipient = command.recipient
    if not session.dsn and (recipient.notify is not None or recipient.original is not None):
        raise ProtocolRefusal(canned_replies.NO_DSN)
    if transaction.accepted >= limits.recipients:
        session.refuse(canned_replies.TOO_MANY_RECIPIENTS)
        return None
    if transaction.accepted < transaction.refused >= limits.bad_recipients:
        session.refuse(canned_replies.TOO_MANY_BAD_RECIPIENTS)
        return None
    return session.ask(_ASK_RECIPIENT, command)


def _data(session: ServerState, argument: bytes) -> Event | None:
    parse_nothing(argument)
    if session.phase is _RCPT:
        return session.ask(_ASK_DATA, _BY_DATA)
    session.data_refused = True
    # What a client that pipelines runs into when all its recipients were refused: no mistake of its own.
    if not session.idled():
        session.say(canned_replies.NO_RECIPIENTS)
    return None


def _bdat(session: ServerState, argument: bytes) -> Event | None:
    size, last = parse_bdat(argument)
    session.chunk = Chunk(size, last, size)
    phase = session.phase
    if phase is Phase.CHUNKS:
        session.read_chunk()
        return None
    if phase is _RCPT:
        return session.ask(PendingQuestion.CHUNK, _BY_BDAT)
    # Chunks are pipelined too, and come whether or not we like them.
    if not session.idled():
        session.skip_chunk(canned_replies.NO_RECIPIENTS if phase is Phase.MAIL else OUT_OF_PLACE[phase])
    return None


def _rset(session: ServerState, argument: bytes) -> Event | None:
    parse_nothing(argument)
    session.say(canned_replies.RESET)
    return session.reset()


def _quit(session: ServerState, argument: bytes) -> Event | None:
    parse_nothing(argument)
    session.shut(canned_replies.GOODBYE, "QUIT")
    return None


def _starttls(session: ServerState, argument: bytes) -> Event | None:
    parse_nothing(argument)
    if session.tls or not session.starttls:
        session.mistake(canned_replies.TLS_ALREADY if session.tls else canned_replies.NO_TLS)
        return None
    return session.ask(PendingQuestion.TLS, StartTls())


def _vrfy(session: ServerState, argument: bytes) -> None:
    if not argument:
        raise ProtocolRefusal(canned_replies.NO_VRFY_ARGUMENT)
    session.say(canned_replies.UNVERIFIED)


def _http(session: ServerState, _argument: bytes) -> None:
    session.shut(canned_replies.NOT_HTTP, "spoke HTTP")


def _proxy(session: ServerState, _argument: bytes) -> None:
    session.shut(canned_replies.NO_PROXY, "spoke the PROXY protocol")


def _foreign(session: ServerState, _argument: bytes) -> None:
    session.shut(canned_replies.NOT_SMTP, "spoke something else than SMTP")


def _unknown(session: ServerState, _argument: bytes) -> None:
    if session.data_refused:
        # A client that did not wait for the answer to DATA sends the message now: its lines are no commands.
        session.shut(canned_replies.INPUT_BEHIND_DATA, "input behind DATA")
    else:
        session.mistake(canned_replies.UNKNOWN_COMMAND)


def _always(reply: Reply) -> "Perform":
    def perform(session: ServerState, _argument: bytes) -> None:
        session.say(reply)

    return perform


def _wrong(reply: Reply) -> "Perform":
    def perform(session: ServerState, _argument: bytes) -> None:
        session.mistake(reply)

    return perform


Perform = Callable[[ServerState, bytes], Event | None]


@dataclass(frozen=True, slots=True)
class Verb:
    """What a command does and in which phases; `last`: nothing may be sent behind it.

    `idle`: it counts for as long as no message is taken, however often a client begins one.
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
    b"NOOP": Verb(_always(canned_replies.NOTHING_DONE), idle=True),
    b"QUIT": Verb(_quit),
    b"VRFY": Verb(_vrfy, idle=True),
    b"HELP": Verb(_always(canned_replies.HELP), idle=True),
    b"EXPN": Verb(_always(canned_replies.NO_EXPN), idle=True),
    b"ETRN": Verb(_always(canned_replies.NO_ETRN), idle=True),
    b"TURN": Verb(_wrong(canned_replies.NO_TURN)),
    b"AUTH": Verb(_wrong(canned_replies.NO_AUTH)),
    b"PROXY": Verb(_proxy),
    b"STARTTLS": Verb(_starttls, frozenset((Phase.READY,)), idle=True),
    # Browsers and proxies are talked into sending commands in the body of a request.
    **dict.fromkeys((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH"), Verb(_http)),
}
UNKNOWN = Verb(_unknown)
_HTTP = Verb(_http)
_FOREIGN = Verb(_foreign)
# RFC 9112 section 3: whatever the method, a request line ends so.
_REQUEST = re.compile(rb"(?:.* )?HTTP/[0-9.]+", re.IGNORECASE)


def unknown(word: bytes, argument: bytes) -> Verb:
    """Return what becomes of a line that begins with none of VERBS: what was never SMTP ends the session."""
    if _REQUEST.fullmatch(argument):
        return _HTTP
    # RFC 5321 section 4.1.1: every command begins with a letter. A blank line may be a slip.
    return UNKNOWN if not word or word[:1].isalpha() else _FOREIGN


OUT_OF_PLACE = {
    Phase.HELLO: canned_replies.HELLO_FIRST,
    Phase.READY: canned_replies.SENDER_FIRST,
    Phase.MAIL: canned_replies.SENDER_GIVEN,
    Phase.RCPT: canned_replies.SENDER_GIVEN,
    Phase.CHUNKS: canned_replies.CHUNKS_BEGUN,
}
