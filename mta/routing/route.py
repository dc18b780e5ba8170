"""Routes: values for the hosts that take mail for a domain, and the TLS that a connection to them must have."""

import enum
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mta.message.outcome import Failed, TryLater
from mta.routing.choice import Discard, Fail, RouteChoice
from mta.smtp.parameters import TlsDemand

# A relay without rules has no carriages, and one with a smarthost no proofs.
if TYPE_CHECKING:
    from mta.routing.carriage import Carriage
    from mta.routing.demands.proof import Proof

# Octets of memory that Python needs besides the text, for a routing, a route and a TLSA record with its data.
_ROUTING_OCTETS, _ROUTE_OCTETS, _RECORD_OCTETS = 200, 250, 250


class TlsRule(enum.Enum):
    """The TLS that a route requires; each value is stricter than the one before."""

    NONE = "none"
    #: Use STARTTLS if it is offered, with any certificate; go on in clear text if it fails.
    OPPORTUNISTIC = "opportunistic"
    #: TLS with any certificate, or try later.
    REQUIRE = "require"
    #: TLS with a certificate that is valid for the host's name, or try later.
    VERIFY = "verify"


_REQUIRING = (TlsRule.REQUIRE, TlsRule.VERIFY)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A smarthost login. User and password are left out of `repr`, so that they cannot reach a log by accident."""

    user: str = field(repr=False)
    password: str = field(repr=False)
    #: Where it is set: the prefix of the settings, `SMARTHOST`, `GMAIL` or `SES`, or a place in a rules file in words,
    #: `[smarthost.office] in 20-routes.toml:1`.
    settings: str = field(default="SMARTHOST", compare=False)


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A smarthost login by an OAuth 2 token, which is fetched when it is needed."""

    user: str = field(repr=False)
    #: The prefix of the settings that it came from: `O365`, `GMAIL` or `SMARTHOST`.
    settings: str = field(default="SMARTHOST", compare=False)


@dataclass(frozen=True, slots=True)
class CertificateCredentials:
    """A smarthost login by the client certificate alone."""

    settings: str = field(default="SMARTHOST", compare=False)


AnyCredentials = Credentials | TokenCredentials | CertificateCredentials


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Hosts that take mail for any domain: names and ports in the order to try them, and the login."""

    hosts: tuple[tuple[str, int], ...]
    tls: TlsRule
    credentials: AnyCredentials | None = None
    #: Host patterns as in SMARTHOST_ALIASES; a matching host gets the credentials. None: every host above gets them.
    aliases: tuple[str, ...] | None = None
    #: Whether TLS begins with the first byte. None: depends on the port.
    implicit_tls: bool | None = None
    #: The name of its destination, also in the log: without a dot, as `office`, or of hosts in a rule,
    #: `mail.a.test:25`.
    name: str = "smarthost"
    #: Where it is set, in words that fit behind "check": `[smarthost.office] in 20-routes.toml:1`, or of hosts in a
    #: rule, `the rule in 20-routes.toml:7`.
    place: str = field(default="SMARTHOST_ADDRESS", compare=False)
    #: The authorities that the hosts' certificates must come from. None: the system's.
    ca_file: Path | None = None
    #: Whether the hosts that get the credentials are shown the client certificate of the relay too.
    client_certificate: bool = False

    def __hash__(self) -> int:
        # A part of the fields is enough, and that of all is slow: plans are cached by smarthost.
        return hash((self.name, self.hosts))

    @property
    def lists_hosts(self) -> bool:
        """Whether a rule lists its hosts, so that it has no name but theirs."""
        return ":" in self.name


@dataclass(frozen=True, slots=True)
class Route:
    """One address to try. `host` is the name from the settings or the MX record, which a certificate must contain."""

    host: str
    #: An IP address literal without brackets; for LMTP it may be the path of a Unix socket, or a name to look up.
    address: str
    port: int
    tls: TlsRule = TlsRule.OPPORTUNISTIC
    #: TLS from the first byte, as on port 465 (RFC 8314 section 3.3).
    implicit_tls: bool = False
    credentials: AnyCredentials | None = None
    #: Whether the host is a local mail store that speaks LMTP (RFC 2033).
    lmtp: bool = False
    #: The preference of its MX record; None for a host from the settings or an address literal.
    preference: int | None = None
    #: The smarthost that the host belongs to; its refusals may be about this relay instead of the message.
    smarthost: Smarthost | None = None
    #: The places of the transport rules that its TLS rule comes from, in words, or the entry of TLS_POLICY as
    #: `TLS_POLICY=example.org=verify`; "" if it comes from elsewhere.
    tls_place: str = ""
    #: The proof that the recipient's domain or the message demands of the host.
    proof: "Proof | None" = None

    @property
    def tls_required(self) -> bool:
        """Whether mail never goes in clear: by the TLS rule, or because the recipient's domain demands a proof."""
        return self.tls in _REQUIRING or (self.proof is not None and self.proof.enforced)

    @property
    def label(self) -> str:
        """The name of this peer in logs and reports: `mx.example.test[192.0.2.1]:25`, or the path of its socket."""
        if self.address.startswith("/"):
            return self.address
        return f"{self.host}[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Routes in the order to try them. Domains with the same `destination` share connections and limits.

    `carriage` is None without rules; plans of the same destination have the same.
    """

    destination: str
    routes: tuple[Route, ...]
    carriage: "Carriage | None" = None
    #: The smarthost whose hosts these are.
    smarthost: Smarthost | None = None
    #: The domain whose MX hosts these are; "" for a smarthost or an address literal.
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Local:
    """The domain is local: its mail goes to mailboxes on this host."""


Routing = Plan | Local | Failed | TryLater | Discard | Fail


def memory_size(routing: Routing) -> int:
    """Return the approximate octets of memory that a routing takes, without credentials, which all routes share."""
    match routing:
        case Plan():
            return _ROUTING_OCTETS + len(routing.destination) + sum(map(_route_size, routing.routes))
        case Local() | Discard():
            return _ROUTING_OCTETS
    return _ROUTING_OCTETS + len(routing.text)


def _route_size(route: Route) -> int:
    texts = _ROUTE_OCTETS + len(route.host) + len(route.address)
    proof = route.proof
    if proof is None:
        return texts
    return texts + _ROUTE_OCTETS + sum(map(len, proof.names)) + _RECORD_OCTETS * len(proof.records)


class Router(Protocol):
    """Finds the routing of mail for a recipient domain."""

    def cached(self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None) -> Routing | None:
        """Return the routing if it is known without a DNS look-up; otherwise None, and `resolve` must be used.

        `choice` is that of an operator's rule, if one applies; local domains stay local whatever it is. `demand` is
        that of the message on TLS.
        """

    def resolve(
        self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None
    ) -> Awaitable[Routing]:
        """Return the routing, with DNS look-ups if needed. Does not raise for any behaviour of the DNS."""
