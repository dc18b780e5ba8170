"""What the server's machine tells its driver. Events marked "asks" wait for `ServerMachine.answer`."""

import enum
from dataclasses import dataclass
from typing import Final

from mta.fast_value import fast_value
from mta.smtp.address import Address
from mta.smtp.parameters import BodyType, Recipient, Ret
from mta.smtp.replies import Reply


class NoEvent(enum.Enum):
    """Why there is no event now."""

    #: The client has to speak.
    NEED_DATA = enum.auto()
    #: The driver has to answer.
    WAITING = enum.auto()


NEED_DATA: Final = NoEvent.NEED_DATA
WAITING: Final = NoEvent.WAITING


@fast_value(frozen=True, slots=True)
class Hello:
    """HELO, or EHLO when `extended`; asks. The words of a positive answer are the machine's own."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL; asks. `sender` None is the null path; `size` is what the client announced, 0 for nothing."""

    sender: Address | None
    size: int = 0
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    #: ENVID decoded from xtext.
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT; asks."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class DataBegin:
    """A body is about to come, by DATA or by BDAT; asks. A positive answer to BDAT is not sent."""

    chunking: bool


@fast_value(frozen=True, slots=True)
class BodyPart:
    """The next octets of the body: dots unstuffed, never cut inside a CRLF."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The body is complete, its last line too; asks: whoever answers 250 now owns the message."""


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """The machine itself said no to a command; `command` is as much of it as may be shown, in one printable line."""

    command: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class BodyRefused:
    """The machine refused the body with this reply; what came of it is to be forgotten. The session goes on."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Reset:
    """The client gave up the transaction (RSET, EHLO); what came of it is to be forgotten."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS; asks. After a positive answer: send, shake hands, call `tls_started`."""


@fast_value(frozen=True, slots=True)
class Closed:
    """The session is over, and any transaction with it. `reply` is what the client is told, if anything."""

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
    | StartTls
    | Closed
)
