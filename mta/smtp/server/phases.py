"""The phases of a server's session, the questions to its driver, and the records of a transaction and of a chunk."""

import enum
from dataclasses import dataclass

from mta.smtp.replies import Reply
from mta.smtp.server.canned_replies import SENDER_FIRST


class Phase(enum.IntEnum):
    """The next step of a session."""

    #: The server's greeting.
    GREETING = enum.auto()
    #: HELO or EHLO.
    HELLO = enum.auto()
    #: A login, because clients of this port must log in.
    LOGIN = enum.auto()
    #: A new message.
    READY = enum.auto()
    #: A sender was accepted, and no recipient yet.
    MAIL = enum.auto()
    #: At least one recipient was accepted.
    RCPT = enum.auto()
    #: The body that follows DATA.
    DATA = enum.auto()
    #: A chunk of BDAT.
    CHUNK = enum.auto()
    #: The next chunk of a message, or RSET.
    CHUNKS = enum.auto()
    #: A chunk that was refused before it came; its octets are skipped.
    SKIP = enum.auto()
    #: The verdict on a body that has ended.
    DONE = enum.auto()
    #: A response of the client to a challenge of its login.
    SASL = enum.auto()
    #: The TLS handshake, because STARTTLS was accepted.
    TLS = enum.auto()
    CLOSED = enum.auto()


class PendingQuestion(enum.IntEnum):
    """A question that the driver has not yet answered."""

    GREETING = enum.auto()
    HELLO = enum.auto()
    SENDER = enum.auto()
    RECIPIENT = enum.auto()
    DATA = enum.auto()
    CHUNK = enum.auto()
    MESSAGE = enum.auto()
    AUTH = enum.auto()
    TLS = enum.auto()


#: The phases in which commands are read.
COMMAND_PHASES = frozenset((Phase.HELLO, Phase.LOGIN, Phase.READY, Phase.MAIL, Phase.RCPT, Phase.CHUNKS))
#: The phases between messages.
IDLE_PHASES = frozenset((Phase.LOGIN, Phase.READY))
#: The phases with a transaction that RSET or EHLO ends.
TRANSACTION_PHASES = frozenset((Phase.MAIL, Phase.RCPT, Phase.CHUNKS))


@dataclass(slots=True)
class ServerTransaction:
    """The counts of a mail transaction, from MAIL to the end of the message."""

    smtputf8: bool
    accepted: int = 0
    refused: int = 0


@dataclass(slots=True)
class Chunk:
    """One chunk of BDAT: its size, and the octets still to come.

    A chunk that is skipped has the reply to it, and the phase that follows.
    """

    size: int
    last: bool
    left: int
    refusal: Reply = SENDER_FIRST
    resume: Phase = Phase.READY
