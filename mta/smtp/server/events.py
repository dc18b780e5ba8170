"""The events of the server's machine. Those marked "asks" wait for `ServerMachine.answer`."""

import enum
from dataclasses import dataclass, field
from typing import Final

from mta.fast_value import fast_value
from mta.smtp.address import Address
from mta.smtp.parameters import BodyType, Recipient, Ret, TlsDemand
from mta.smtp.replies import Reply


class NoEvent(enum.Enum):
    """The reasons for which there is no event now."""

    #: The machine needs more input.
    NEED_DATA = enum.auto()
    #: The machine waits for the driver's answer.
    WAITING = enum.auto()


NEED_DATA: Final = NoEvent.NEED_DATA
WAITING: Final = NoEvent.WAITING


@fast_value(frozen=True, slots=True)
class Hello:
    """HELO, or EHLO if `extended`; asks. The machine replaces the text of a positive answer."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL; asks. `sender` None is the null path; `size` is the announced size, or 0."""

    sender: Address | None
    size: int = 0
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    #: ENVID decoded from xtext.
    envid: str | None = None
    #: REQUIRED by REQUIRETLS (RFC 8689 section 2).
    tls_demand: TlsDemand | None = None
    #: Seconds, and the time in seconds since 1970, before which the message is not to be delivered (RFC 4865 sections
    #: 4.1 and 4.2). The machine turns the first into the second, and that into a whole second, by which a queue tells
    #: releases from the times at which data ended (`mta.queue.ids.release_of`).
    hold_for: int | None = None
    hold_until: float | None = None


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT; asks."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class DataBegin:
    """A body begins, by DATA or by BDAT; asks. A positive answer to BDAT is not sent."""

    chunking: bool


@fast_value(frozen=True, slots=True)
class BodyPart:
    """The next octets of the body, without stuffed dots and not cut inside a CRLF."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The body is complete, including its last line; asks. The answer 250 takes responsibility for the message."""


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """The machine refused a command; `command` is the part of it that may be logged, on one printable line."""

    command: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class BodyRefused:
    """The machine refused the body, so the driver must drop its octets. The session goes on."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Reset:
    """The client ended the transaction (RSET, EHLO), so the driver must drop it."""


@dataclass(frozen=True, slots=True)
class AuthBegin:
    """AUTH with an offered mechanism; asks. `initial` is the decoded initial response, or None without one.

    The answer 334 has a challenge in base64 as its text and is followed by AuthResponse or, if the client cancels the
    login, by CommandRefused. After 235 the client is logged in. All other answers end the login.
    """

    mechanism: str
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The decoded response to a challenge; asks, as AuthBegin does."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS; asks. After a positive answer the driver sends it, does the handshake and calls `tls_started`."""


@fast_value(frozen=True, slots=True)
class Closed:
    """The session is over, with its transaction if there is one. `reply` is the last reply, or None."""

    reason: str
    reply: Reply | None = None


Event = (
    Hello
    | MailFrom
    | RcptTo
    | DataBegin
    | BodyPart
    | BodyEnd
    | BodyRefused
    | CommandRefused
    | Reset
    | AuthBegin
    | AuthResponse
    | StartTls
    | Closed
)
