"""The envelope: who sends to whom, and what was asked for on the way (RFC 5321 section 2.3.1, RFC 3461)."""

from dataclasses import replace

from mta.fast_value import fast_value
from mta.smtp.address import Address
from mta.smtp.parameters import BodyType, Notify, Recipient, Ret

__all__ = ["BodyType", "Envelope", "Notify", "Origin", "Recipient", "Ret"]

# Stands where other messages have one of the keywords of RFC 3848.
_ALIAS = "alias"


@fast_value(frozen=True, slots=True)
class Origin:
    """Where a message came from: the client's IP address, the name it gave, and how it spoke (RFC 3848)."""

    client: str
    helo: str
    protocol: str

    @classmethod
    def ourselves(cls, name: str) -> "Origin":
        """Return the origin of a report we wrote."""
        return cls("", name, "local")

    def by_alias(self) -> "Origin":
        """Return the origin of a message whose recipients stand for an alias: they are mailboxes and no alias again."""
        return replace(self, protocol=_ALIAS)

    @property
    def is_by_alias(self) -> bool:
        """Whether `by_alias` made it."""
        return self.protocol == _ALIAS


@fast_value(frozen=True, slots=True)
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
