"""The settings of routing as values, and the way that an order to reroute means by them.

A host that an order names never gets a login: that belongs to a smarthost of the settings or of the rules.
"""

from dataclasses import dataclass, field

from mta.message.outcome import TryLater
from mta.routing.choice import BY_MX, BY_SMARTHOST, MxOf, Reroute, ViaSmarthost, read_host
from mta.routing.private_addresses import OwnSockets, is_private
from mta.routing.route import Routing, Smarthost, TlsRule
from mta.smtp.address import bracketed, literal_ip
from mta.smtp.domains import DomainList


@dataclass(frozen=True, slots=True)
class RouterRules:
    """All settings of the router."""

    #: The relay's own name: an MX record with this name means the relay itself.
    mailname: str
    local_domains: DomainList
    relay_domains: DomainList
    smarthost: Smarthost | None = None
    #: The port of direct delivery (SMTPPORTOUT).
    port_out: int = 25
    ipv6: bool = True
    #: Whether mail may go to private networks (PRIVATE_DESTINATIONS=allow); for relay domains and the smarthost it may.
    private: bool = False
    #: The addresses and ports on which the relay listens.
    listening: OwnSockets = field(default_factory=OwnSockets)
    #: The TLS of direct delivery.
    tls: TlsRule = TlsRule.OPPORTUNISTIC
    #: The largest numbers of hosts and addresses in one plan, because an attempt must end some time.
    max_hosts: int = 5
    max_addresses: int = 10

    def refuses(self, address: str, domain: str) -> bool:
        """Whether mail for this domain must not go to this address, because the address is private."""
        return not self.private and is_private(address) and not self.relay_domains.matches(domain)

    def is_local(self, domain: str) -> bool:
        """Whether a domain is local: "" (of bare postmaster), a local domain, or an address literal of this host."""
        if not domain or self.local_domains.matches(domain):
            return True
        return domain[0] == "[" and self.is_own_address(literal_ip(domain))

    def is_own_address(self, address: str) -> bool:
        """Whether direct delivery to this address would reach the relay itself."""
        return self.listening.includes(address, self.port_out)


@dataclass(frozen=True, slots=True)
class Decision:
    """A routing, and the seconds for which it is valid."""

    routing: Routing
    ttl: float


def ordered_way(order: Reroute, domain: str, rules: RouterRules) -> str | Smarthost | TryLater:
    """Return where an order sends mail for a domain: to the MX hosts of the domain, or to a smarthost."""
    if order.to == BY_MX:
        return domain
    if order.to == BY_SMARTHOST:
        return rules.smarthost or TryLater(f"{order.where}: there is no SMARTHOST_ADDRESS", status="4.3.5")
    try:
        host, port = read_host(order.to)
    except ValueError as error:
        return TryLater(f"{order.where}: {error}", status="4.3.5")
    return Smarthost(((host, port),), rules.tls, name=f"{bracketed(host)}:{port}", place=f"the order {order.where}")


def like_a_rule(order: Reroute, rules: RouterRules) -> MxOf | ViaSmarthost | None:
    """Return the choice of a rule that would send mail the same way; None if there is no such way."""
    way = ordered_way(order, "", rules)
    if isinstance(way, Smarthost):
        return ViaSmarthost(way)
    return None if isinstance(way, TryLater) else MxOf()
