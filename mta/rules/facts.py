"""The facts about a message and its client that the conditions of rules ask for."""

from collections.abc import Callable
from dataclasses import field, fields
from operator import attrgetter
from typing import TYPE_CHECKING

from mta.fast_value import fast_value
from mta.inbound.networks import IPAddress
from mta.message import headers
from mta.message.encoded_words import decoded_text
from mta.message.outcome import TryLater
from mta.smtp.address import Address
from mta.smtp.replies import reply

if TYPE_CHECKING:
    from mta.rules.conditions import OverCondition

#: The characters of a header field that are compared with patterns.
MAX_TEXT = 2000
#: The reply while the addresses of a host name decide and are not known.
HOST_UNKNOWN = reply(
    451, "4.4.3", "a host name in the rules of this relay cannot be looked up now, please try again later"
)
#: Returns the present addresses of a host name in lower case; None if they are not yet known.
HostAddresses = Callable[[str], frozenset[IPAddress] | None]
#: Returns whether mail would be beyond a rate of an `over` condition.
Over = Callable[["OverCondition", "Facts"], bool]


class HostNotLookedUp(Exception):  # noqa: N818  an answer that is not known yet
    """The addresses of a host name are not known yet, and the answer of a `client` condition depends on them."""


def not_looked_up(_name: str) -> None:
    """Return None, the answer without any look-ups."""


def never_over(_condition: "OverCondition", _facts: "Facts") -> bool:
    """Return False, the answer where no mail is counted."""
    return False


@fast_value(frozen=False, slots=True)
class Facts:
    """The facts at one moment of a session, or of a delivery. Rules read them; the one that asks the rules may go on to
    other facts by changing its own `copy`, because making a new value for each costs more than the rules.

    `client` is an IP address, and `trusted` whether it may send anywhere, by its network or a login. `sender` None is
    the null sender. `recipient` is None except while one recipient is decided on. `header` is the header block, or None
    before the data. `size` is that of the message in octets: the announced one at MAIL, 0 if it is not known. `hosts`
    and `smarthost` are names, known when mail is carried. `error` is the outcome of an attempt, None before one.
    """

    client: str
    trusted: bool
    sender: Address | None
    recipient: Address | None = None
    login: str = ""
    helo: str = ""
    tls: bool = False
    header: bytes | None = None
    size: int = 0
    host_addresses: HostAddresses = not_looked_up
    over: Over = never_over
    hosts: tuple[str, ...] = ()
    smarthost: str = ""
    error: TryLater | None = None
    # The texts of header fields that were read, because several rules may ask for the same field.
    _texts: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def copy(self) -> "Facts":
        """Return the same facts as an object of its own."""
        return Facts(*_values(self))

    def put_header(self, header: bytes | None) -> None:
        """Go on to another header block, or to none."""
        self.header = header
        self._texts = {}

    def header_texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of the fields with this name: unfolded, decoded, and cut to MAX_TEXT characters.

        The number of fields is bounded by `mta.message.headers.MAX_VALUES`.
        """
        if self.header is None:
            return ()
        found = self._texts.get(name)
        if found is None:
            found = tuple(decoded_text(value, MAX_TEXT) for value in headers.values(self.header, name))
            self._texts[name] = found
        return found


#: The facts that are known at MAIL, except the announced size: client, trusted, sender, login, helo and tls.
MailFacts = tuple[str, bool, Address | None, str, str, bool]
#: Returns these facts.
mail_facts: Callable[[Facts], MailFacts] = attrgetter("client", "trusted", "sender", "login", "helo", "tls")

_values = attrgetter(*(each.name for each in fields(Facts) if each.init))
