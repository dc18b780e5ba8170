"""Routes: values that say where mail for a domain goes and how safe the way must be."""

import enum
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

from mta.message.outcome import Failed, TryLater

# Octets of memory that Python needs beside the text, for a routing and for a route.
_VALUE, _ROUTE = 200, 250


class TlsRule(enum.Enum):
    """What a route demands of the connection; each is stricter than the one before."""

    NONE = "none"
    #: Use STARTTLS where offered, with any certificate; go on in clear when it fails.
    OPPORTUNISTIC = "opportunistic"
    #: TLS with any certificate, or try later.
    REQUIRE = "require"
    #: TLS with a certificate that proves the host's name, or try later.
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A smarthost login. Both halves stay out of `repr`, so they cannot reach a log by accident."""

    user: str = field(repr=False)
    password: str = field(repr=False)
    #: What the names of the settings it came from begin with: `SMARTHOST`, `GMAIL` or `SES`.
    settings: str = field(default="SMARTHOST", compare=False)


@dataclass(frozen=True, slots=True)
class Smarthost:
    """The host that takes all our mail: names and ports in the order to try them, and how to log in."""

    hosts: tuple[tuple[str, int], ...]
    tls: TlsRule
    credentials: Credentials | None = None
    #: Host patterns as in SMARTHOST_ALIASES: credentials are used for a host that matches. None: for every host above.
    aliases: tuple[str, ...] | None = None
    #: TLS from the first byte, whatever the port. None: by the port.
    implicit_tls: bool | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One address to try. `host` is the name as configured or from the MX record: what a certificate must bear."""

    host: str
    #: An IP address literal without brackets; for LMTP it may be the path of a Unix socket, or a name to look up.
    address: str
    port: int
    tls: TlsRule = TlsRule.OPPORTUNISTIC
    #: TLS from the first byte, as on port 465 (RFC 8314 section 3.3).
    implicit_tls: bool = False
    credentials: Credentials | None = None
    #: A mail store of our own that speaks LMTP (RFC 2033).
    lmtp: bool = False
    #: The preference of its MX record; None for a host that an operator or an address literal names.
    preference: int | None = None
    #: Whether it leads to the smarthost, which judges this relay as well as the mail.
    smarthost: bool = False

    @property
    def label(self) -> str:
        """How logs and reports name this peer: `mx.example.test[192.0.2.1]:25`, or the path of its socket."""
        if self.address.startswith("/"):
            return self.address
        return f"{self.host}[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Routes in the order to try them. Domains with the same `destination` share connections and limits."""

    destination: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Local:
    """The domain is ours: the mail goes to a mailbox on this host."""


Routing = Plan | Local | Failed | TryLater


def memory_size(routing: Routing) -> int:
    """Return about how much memory a routing takes, but for credentials, which all routes share."""
    match routing:
        case Plan():
            texts = sum(len(route.host) + len(route.address) for route in routing.routes)
            return _VALUE + len(routing.destination) + texts + _ROUTE * len(routing.routes)
        case Local():
            return _VALUE
    return _VALUE + len(routing.text)


class Router(Protocol):
    """Decides where mail for a recipient domain goes."""

    def cached(self, domain: str) -> Routing | None:
        """Return the routing if it is known without asking anyone; None means: use `resolve`."""

    def resolve(self, domain: str) -> Awaitable[Routing]:
        """Find the routing, asking the DNS where needed. Never raises for what the DNS did."""
