"""The envelope: who sends to whom, and what was asked for on the way (RFC 5321 section 2.3.1, RFC 3461)."""

import enum
from dataclasses import dataclass

from mta.smtp.address import Address


class BodyType(enum.Enum):
    """The BODY parameter of MAIL (RFC 6152 section 3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"


class Ret(enum.Enum):
    """How much of a message its failure report returns (RFC 3461 section 4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(enum.Flag):
    """When a sender wants a report about a recipient (RFC 3461 section 4.1). NEVER excludes the others."""

    NEVER = 0
    SUCCESS = enum.auto()
    FAILURE = enum.auto()
    DELAY = enum.auto()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT. `notify` None means not asked, which stands for FAILURE and DELAY (RFC 3461 section 4.1)."""

    address: Address
    notify: Notify | None = None
    #: ORCPT as given, decoded from xtext: `rfc822;Bob@example.test` (RFC 3461 section 4.2).
    original: str | None = None

    def wants(self, event: Notify) -> bool:
        """Whether a report of this kind is due to the sender."""
        return event in (Notify.FAILURE | Notify.DELAY if self.notify is None else self.notify)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from: the client's IP address, the name it gave, and how it spoke (RFC 3848)."""

    client: str
    helo: str
    protocol: str

    @classmethod
    def ourselves(cls, name: str) -> "Origin":
        """Return the origin of a report we wrote."""
        return cls("", name, "local")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything about a message that is not in it. `sender` None is the null path `<>` of a report."""

    sender: Address | None
    recipients: tuple[Recipient, ...]
    origin: Origin
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    #: ENVID decoded from xtext (RFC 3461 section 4.4).
    envid: str | None = None
