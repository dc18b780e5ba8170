"""The parts that all exchanges of the client's machine share: commands, awaited replies, events and failures."""

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mta.smtp.errors import LocalProtocolError
from mta.smtp.replies import Reply


class Awaited(enum.Enum):
    """The command, or the other step, to which a reply belongs."""

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
    #: The final dot, or the last octet of BDAT; in LMTP once for each recipient (RFC 2033 section 4.2).
    END = "end of data"


class ClientEvent(enum.Enum):
    """The next action of the caller."""

    #: The session is ready for mail: `begin` may be called.
    READY = enum.auto()
    #: Begin the TLS handshake; call `tls_started` when it is done.
    START_TLS = enum.auto()
    #: Send the body by `send_body` and `end_body`; replies may arrive meanwhile.
    SEND_BODY = enum.auto()
    #: The transaction is over: read `recipient_replies`. `ended` is None if the session goes on.
    DONE = enum.auto()
    #: The session ended outside a transaction; `ended` has the reason.
    CLOSED = enum.auto()


class FailureKind(enum.Enum):
    """The kinds of reasons for which a session ends."""

    #: The connection was lost, or could not be made.
    LOST = enum.auto()
    TIMEOUT = enum.auto()
    #: The server closes the session (421), or refuses RSET on a used connection.
    CLOSING = enum.auto()
    #: The server violated the protocol.
    PROTOCOL = enum.auto()
    #: The server refused the session in its greeting or its reply to EHLO.
    REFUSED = enum.auto()
    #: The server has the client's own name, so that mail would loop (RFC 5321 section 6.3).
    LOOPS_BACK = enum.auto()
    #: TLS is required but is not offered, or STARTTLS was refused.
    NO_TLS = enum.auto()
    #: The TLS handshake failed.
    TLS_FAILED = enum.auto()
    #: The certificate does not prove the name of the server.
    NOT_TRUSTED = enum.auto()
    LOGIN_REFUSED = enum.auto()
    #: The server does not offer a login mechanism that may be used.
    NO_MECHANISM = enum.auto()
    #: The client gave up: the body could not be read, or the relay is stopping.
    LOCAL = enum.auto()


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """The reason for which a command got no reply: an enhanced status of class 4, and a text for the operator."""

    kind: FailureKind
    status: str
    text: str
    #: The reply that ended the session, if a reply did.
    reply: Reply | None = field(default=None, compare=False, repr=False)


class SessionOver(Exception):
    """The session cannot go on, because of the server."""

    def __init__(self, failure: SessionFailure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Exchange(Protocol):
    """One part of a session: handles replies and sends the next commands."""

    def handle_reply(self, awaited: Awaited, reply: Reply) -> ClientEvent | None:
        """Handle the reply to a command. Return the event it leads to, if any. Raises SessionOver."""

    def fail(self, failure: SessionFailure) -> tuple[ClientEvent, SessionFailure]:
        """End, because no further reply will come. Return the last event, and the failure with its details."""


class Dialogue:
    """The octets to send, and the replies that are still to come, both in order."""

    __slots__ = ("expected", "outgoing")

    def __init__(self) -> None:
        self.outgoing: list[bytes] = []
        self.expected: deque[Awaited] = deque((Awaited.GREETING,))

    def send(self, awaited: Awaited, command: str) -> None:
        """Send one command. Raises LocalProtocolError if it contains a line end."""
        self.send_all((awaited,), (command,))

    def send_all(self, awaited: Sequence[Awaited], commands: Sequence[str]) -> None:
        """Send commands in one piece, each with its reply. Raises LocalProtocolError if one contains a line end."""
        text = "\r\n".join(commands) + "\r\n"
        if text.count("\n") != len(commands) or text.count("\r") != len(commands):
            raise LocalProtocolError("a command contains a line end")
        self.outgoing.append(text.encode())
        self.expected.extend(awaited)


def refused(kind: FailureKind, reply: Reply, default: str) -> SessionOver:
    """Return the exception for a reply that ends the session. Its status has class 4, as mail may be tried again."""
    status = f"4{reply.status[1:]}" if reply.status else default
    return SessionOver(SessionFailure(kind, status, str(reply), reply))


def protocol_error(awaited: Awaited, reply: Reply) -> SessionOver:
    """Return the exception for a reply that is not allowed at this point."""
    return SessionOver(
        SessionFailure(FailureKind.PROTOCOL, "4.5.0", f"protocol error: reply to {awaited.value} was {reply}")
    )
