"""The choice of an operator about the way of a message that is not for a local domain: by a rule, or by an order.

An order to reroute names a way for one attempt, as a text that the queue keeps with the recipient: `mx`, `smarthost` or
`host:port`.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mta.smtp.address import bracketed

# `route` has the routings, of which `Discard` is one.
if TYPE_CHECKING:
    from mta.routing.route import Smarthost

#: The ways of orders that name no host.
BY_MX, BY_SMARTHOST = "mx", "smarthost"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?):([0-9]{1,5})")
_FORMS = "the way is mx, smarthost or HOST:PORT, such as mail.example.net:25 or [2001:db8::1]:25"


@dataclass(frozen=True, slots=True)
class MxOf:
    """By the MX of the recipient's domain, or of another one if `domain` names it, even if there is a smarthost."""

    domain: str | None = None


@dataclass(frozen=True, slots=True)
class ViaSmarthost:
    """By the hosts of a smarthost, which a rule names or lists."""

    smarthost: "Smarthost"


@dataclass(frozen=True, slots=True)
class Discard:
    """To no host: the recipient is done without a delivery and without a report."""


@dataclass(frozen=True, slots=True)
class Fail:
    """To no host: the recipient has failed for good, with a reason for the report and a status of RFC 3463."""

    text: str
    status: str = "5.7.1"


@dataclass(frozen=True, slots=True)
class Reroute:
    """The way that an order names for one attempt."""

    to: str

    @property
    def where(self) -> str:
        """The order in words, where a rule has its place."""
        return f"reroute to {self.to}"


RouteChoice: TypeAlias = MxOf | ViaSmarthost | Discard | Fail | Reroute


def read_way(text: str) -> str:
    """Return a way that an operator wrote in the form in which it is kept. Raises ValueError with words for him."""
    text = text.strip()
    if text.lower() in {BY_MX, BY_SMARTHOST}:
        return text.lower()
    host, port = read_host(text)
    return f"{bracketed(host)}:{port}"


def read_host(text: str) -> tuple[str, int]:
    """Return the host of a way, without brackets, and its port. Raises ValueError as `read_way` does."""
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536 or ".." in match[1]:
        raise ValueError(_FORMS)
    host, port = match[1].lower(), int(match[2])
    if not host.startswith("["):
        return host, port
    try:
        return str(ipaddress.ip_address(host[1:-1])), port
    except ValueError:
        raise ValueError(_FORMS) from None
