"""What both halves of the client's machine share: what goes out, and which reply belongs to which command."""

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mta.smtp.errors import LocalProtocolError
from mta.smtp.replies import Reply


class Awaited(enum.Enum):
    """What a reply answers."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    LHLO = "LHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    #: The dot, or the last octet of BDAT; in LMTP once for each recipient (RFC 2033 section 4.2).
    END = "end of data"


class ClientEvent(enum.Enum):
    """What the caller has to do next."""

    #: The session is ready for mail: `begin` may be called.
    READY = enum.auto()
    #: Begin the TLS handshake; call `tls_started` when it is done.
    START_TLS = enum.auto()
    #: Give the body by `send_body` and `end_body`; replies may come meanwhile.
    SEND_BODY = enum.auto()
    #: `recipient_replies` holds one for each recipient. `ended` tells whether the session goes on.
    DONE = enum.auto()
    #: The session ended outside a transaction; `ended` tells why.
    CLOSED = enum.auto()


class FailureKind(enum.Enum):
    """Why a session ended."""

    #: The connection broke, or could not be made.
    LOST = enum.auto()
    TIMEOUT = enum.auto()
    #: The server said that it goes (421), or would not start anew on a used connection.
    CLOSING = enum.auto()
    #: The server broke the protocol.
    PROTOCOL = enum.auto()
    #: The server refused the session: greeting or EHLO.
    REFUSED = enum.auto()
    #: The server calls itself by our own name (RFC 5321 section 6.3: mail would go in circles).
    LOOPS_BACK = enum.auto()
    #: TLS was demanded and is not offered, or STARTTLS was refused.
    NO_TLS = enum.auto()
    #: The handshake failed.
    TLS_FAILED = enum.auto()
    #: The certificate does not prove the name.
    NOT_TRUSTED = enum.auto()
    LOGIN_REFUSED = enum.auto()
    #: No login mechanism is offered that may be used here.
    NO_MECHANISM = enum.auto()
    #: We gave up: the body could not be read, or we are stopping.
    LOCAL = enum.auto()


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """Why a command got no reply of its own: enhanced status of class 4, and words for an operator."""

    kind: FailureKind
    status: str
    text: str
    #: The reply that ended the session, if it was one.
    reply: Reply | None = field(default=None, compare=False, repr=False)


class SessionOver(Exception):
    """Theirs: the session cannot go on, for this reason."""

    def __init__(self, trouble: SessionFailure) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


class Exchange(Protocol):
    """One part of a session: it knows what a reply means and what to say next."""

    def answer(self, step: Awaited, reply: Reply) -> ClientEvent | None:
        """Take the reply to a command that was said. Raises SessionOver."""

    def cut(self, trouble: SessionFailure) -> tuple[ClientEvent, SessionFailure]:
        """Learn that nothing more will be answered; return the last event, and the reason in better words."""


class Dialogue:
    """The wire's two lists: bytes to send, and the steps whose replies are still to come, in order."""

    __slots__ = ("expected", "outgoing")

    def __init__(self) -> None:
        self.outgoing: list[bytes] = []
        self.expected: deque[Awaited] = deque((Awaited.GREETING,))

    def say(self, step: Awaited, command: str) -> None:
        """Send one command. Raises LocalProtocolError if it holds a line end."""
        self.say_all((step,), (command,))

    def say_all(self, steps: Sequence[Awaited], commands: Sequence[str]) -> None:
        """Send commands in one go, each with its step. Raises LocalProtocolError if one holds a line end."""
        text = "\r\n".join(commands) + "\r\n"
        if text.count("\n") != len(commands) or text.count("\r") != len(commands):
            raise LocalProtocolError("a command holds a line end")
        self.outgoing.append(text.encode())
        self.expected.extend(steps)


def refused(kind: FailureKind, reply: Reply, default: str) -> SessionOver:
    """Return the end of a session that a reply brought; its status is class 4, since the mail may be tried again."""
    status = f"4{reply.status[1:]}" if reply.status else default
    return SessionOver(SessionFailure(kind, status, str(reply), reply))


def out_of_protocol(step: Awaited, reply: Reply) -> SessionOver:
    """Return the end of a session by a reply that makes no sense where it came."""
    return SessionOver(
        SessionFailure(FailureKind.PROTOCOL, "4.5.0", f"protocol error: reply to {step.value} was {reply}")
    )
