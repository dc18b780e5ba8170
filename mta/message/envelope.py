"""The envelope: sender, recipients and the parameters of MAIL and RCPT (RFC 5321 section 2.3.1, RFC 3461)."""

from dataclasses import replace

from mta.fast_value import fast_value
from mta.smtp.address import Address
from mta.smtp.parameters import BodyType, Notify, Recipient, Ret, TlsDemand

__all__ = ["BodyType", "Envelope", "Notify", "Origin", "Recipient", "Ret", "TlsDemand"]

# The protocols of an alias expansion, in the place of a keyword of RFC 3848: without and with a login of the client.
_ALIAS, _ALIAS_OF_USER = "alias", "alias-A"


@fast_value(frozen=True, slots=True)
class Origin:
    """The origin of a message: the client's IP address, the name in its HELO, and its protocol (RFC 3848)."""

    client: str
    helo: str
    protocol: str
    #: The user that had logged in, or "".
    login: str = ""

    @classmethod
    def of_relay(cls, name: str) -> "Origin":
        """Return the origin of a report that this relay writes; `name` is its host name."""
        return cls("", name, "local")

    def by_alias(self) -> "Origin":
        """Return the origin of a message whose recipients come from an alias and are not expanded again."""
        return replace(self, protocol=_ALIAS_OF_USER if self.authenticated else _ALIAS)

    @property
    def is_by_alias(self) -> bool:
        """Whether `by_alias` made this origin."""
        return self.protocol in (_ALIAS, _ALIAS_OF_USER)

    @property
    def authenticated(self) -> bool:
        """Whether the client had logged in."""
        # Of the keywords of RFC 3848 and RFC 6531 section 4.3, those end so; the relay itself makes each protocol.
        return self.protocol.endswith("A")


@fast_value(frozen=True, slots=True)
class Envelope:
    """The envelope of a message. `sender` None is the null path `<>` of a report."""

    sender: Address | None
    recipients: tuple[Recipient, ...]
    origin: Origin
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    #: ENVID decoded from xtext (RFC 3461 section 4.4).
    envid: str | None = None
    #: The demand of the sender on TLS; None if there is none.
    tls_demand: TlsDemand | None = None

    def with_addresses(self, sender: Address | None, recipients: tuple[Recipient, ...]) -> "Envelope":
        """Return the envelope with other addresses, as `replace` does at three times the cost."""
        return Envelope(
            sender, recipients, self.origin, self.body_type, self.smtputf8, self.ret, self.envid, self.tls_demand
        )
