"""What the operator decided about routing, as values."""

from dataclasses import dataclass, field

from mta.routing.private_addresses import OwnSockets, is_private
from mta.routing.route import Routing, Smarthost, TlsRule
from mta.smtp.address import literal_ip
from mta.smtp.domains import DomainList


@dataclass(frozen=True, slots=True)
class RouterRules:
    """Everything the router is told."""

    #: Our own name: an MX record that bears it means ourselves.
    mailname: str
    local_domains: DomainList
    relay_domains: DomainList
    smarthost: Smarthost | None = None
    #: The port of direct delivery (SMTPPORTOUT).
    port_out: int = 25
    ipv6: bool = True
    #: Whether mail may go to private networks (PRIVATE_DESTINATIONS=allow). Relay domains and the smarthost always may.
    private: bool = False
    #: The addresses and ports we listen on.
    listening: OwnSockets = field(default_factory=OwnSockets)
    #: Of direct delivery.
    tls: TlsRule = TlsRule.OPPORTUNISTIC
    #: The most hosts and addresses in one plan: one attempt must end some time.
    max_hosts: int = 5
    max_addresses: int = 10

    def refuses(self, address: str, domain: str) -> bool:
        """Whether mail for this domain must not go to this address because it is private."""
        return not self.private and is_private(address) and not self.relay_domains.matches(domain)

    def is_local(self, domain: str) -> bool:
        """Whether mail for a domain stays here: "" of bare postmaster, a local domain, or a literal of this host."""
        if not domain or self.local_domains.matches(domain):
            return True
        return domain[0] == "[" and self.is_us(literal_ip(domain))

    def is_us(self, address: str) -> bool:
        """Whether direct delivery to this address would reach ourselves."""
        return self.listening.includes(address, self.port_out)


@dataclass(frozen=True, slots=True)
class Decision:
    """A routing and for how many seconds it is good."""

    routing: Routing
    ttl: float
