"""The parts of a relay that decide about a message, built from its settings as the daemon builds them."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from mta.blocking import run_inline
from mta.config.settings import Settings
from mta.daemon.parts.deciding import local_mail, own_sockets, relay_policy, router_rules, sender_rewriting
from mta.delivery.local.aliases import AliasesFile
from mta.delivery.local.forward import Forwarding
from mta.delivery.route_rules import RouteRules
from mta.dns.answers import AddressAnswer, LookupFailed, MxAnswer, Resolver, TxtAnswer
from mta.explain.demands.facts import DemandFacts, DemandSource
from mta.explain.trust import Lookups, Trust, trust_of
from mta.inbound.policy import Client, RelayPolicy
from mta.inbound.sender_rule import SenderRule
from mta.routing.choice import Discard, Fail, MxOf, RouteChoice, ViaSmarthost
from mta.routing.direct import DirectRouting, MxRouting
from mta.routing.hostpatterns import host_address
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.facts import HostAddresses
from mta.smtp.address import Address, is_postmaster
from mta.smtp.limits import STRICT, Leniency
from mta.users.users_file import User

if TYPE_CHECKING:
    from mta.routing.demands.secured import SecuredRouting


class NoLookups:
    """The resolver of a run without DNS: every look-up fails."""

    async def mx(self, name: str) -> MxAnswer:
        """Return a failure."""
        return LookupFailed(f"{name} is not looked up without --dns")

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:  # noqa: ARG002  the interface
        """Return a failure."""
        return LookupFailed(f"{name} is not looked up without --dns")

    async def txt(self, name: str) -> TxtAnswer:
        """Return a failure."""
        return LookupFailed(f"{name} is not looked up without --dns")


@dataclass(frozen=True, slots=True)
class DecidingParts:
    """The deciding parts of one relay."""

    settings: Settings
    policy: RelayPolicy
    rules: RouterRules
    router: MailRouter
    #: Whether the router may ask the DNS.
    dns: bool
    trust: Callable[[str], Trust]
    #: The user that has logged in; None without a login.
    user: User | None = field(repr=False)
    #: None if there are no rules.
    book: RuleBook | None
    #: The addresses of a host name in a rule; None if they are not known.
    host_addresses: HostAddresses
    route_rules: RouteRules
    #: Returns the demands on the MX hosts of a domain; None without look-ups, or if nothing is demanded.
    demands: Callable[[str], Awaitable[DemandFacts]] | None = None

    def can_resolve(self, address: Address, choice: RouteChoice | None) -> bool:
        """Return whether the hosts for an address can be found now: with the DNS, or without asking it."""
        return self.dns or not self._condition(address, choice)

    def _condition(self, address: Address, choice: RouteChoice | None) -> str:
        """Return the answer of the DNS on which the hosts for an address depend, or ""."""
        smarthost, domain = self.settings.smarthost, address.domain
        match choice:
            case Discard() | Fail():
                return ""
            case MxOf(other):
                smarthost, domain = None, other or domain
            case ViaSmarthost(chosen):
                smarthost = chosen
        if smarthost is None:
            return "" if domain.startswith("[") else f"a host for mail to {domain}"
        names = [host for host, _ in smarthost.hosts if not host_address(host)]
        return f"an address of {' or '.join(names)}" if len(names) == len(smarthost.hosts) else ""

    def leniency(self, client: Client) -> Leniency:
        """Return the leniency with which the relay reads the commands of a client."""
        lenient = client.trusted or self.trust(client.address).verdict is None
        return Leniency(self.settings.mailname, names=True) if lenient else STRICT

    def client(self, address: str) -> Client:
        """Return the client at an address, after the login if there is one."""
        user = self.user
        if user is None:
            return Client(address, bool(self.trust(address).verdict))
        senders = None if user.senders is None else SenderRule(user.name, user.senders)
        return Client(address, trusted=True, user=user.name, senders=senders)

    def reason(self, client: Client, address: Address, choice: RouteChoice | None = None) -> str:
        """Return why the policy accepts mail of a client for an address; `choice` is that of a router rule."""
        if self.rules.is_local(address.domain):
            return f"{address.domain or address.local} is local"
        if client.user:
            return f"the user {client.user} may send anywhere"
        if client.trusted:
            return self.trust(client.address).words
        needed = "" if self.dns or is_postmaster(address.local) else self._condition(address, choice)
        return f"{address.domain} is in RELAY_DOMAINS{needed and f', if the DNS has {needed} (--dns looks)'}"


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a relay's decisions besides its settings."""

    book: RuleBook | None
    #: The user that has logged in; None without a login.
    user: User | None = field(default=None, repr=False)
    #: Without one, no name is looked up.
    resolver: Resolver | None = None
    #: The known addresses of host names in RELAY_NETWORKS and in rules.
    lookups: Lookups = field(default_factory=dict)
    #: The demands on MX hosts; None if they are not looked at.
    demands: DemandSource | None = None


def deciding_parts(settings: Settings, sources: Sources, notice: Callable[[str], None]) -> DecidingParts:
    """Return the deciding parts of the relay of some settings.

    `notice` gets a line for each problem in the aliases file.
    """
    lookups, resolver = sources.lookups, sources.resolver
    unsettled = frozenset(settings.trusted.names) - lookups.keys()

    def trust(address: str) -> Trust:
        return trust_of(settings, address, lookups, unsettled)

    def may_be_trusted(address: str) -> bool:
        return trust(address).verdict is not False

    rules = router_rules(settings, own_sockets(settings))
    local = local_mail(settings, run_inline, time.time, _forwarding(settings, notice))
    policy = relay_policy(settings, rules, local, may_be_trusted)
    made: list[SecuredRouting] = []
    router = MailRouter(rules, resolver or NoLookups(), time.monotonic, secure=_secure(sources.demands, made))
    book = sources.book
    route_rules = RouteRules(CurrentRules(book), lambda address: trust(address).verdict, lookups.get)
    return DecidingParts(
        settings,
        policy,
        rules,
        router,
        resolver is not None,
        trust,
        sources.user,
        book,
        lookups.get,
        route_rules,
        None if sources.demands is None else _demands_of(sources.demands, made[0]),
    )


def _secure(demands: DemandSource | None, made: "list[SecuredRouting]") -> Callable[[DirectRouting], MxRouting] | None:
    """Return the way to add demands to the routing by MX, which puts the result into `made`."""
    if demands is None:
        return None

    def secure(direct: DirectRouting) -> MxRouting:
        made.append(demands.routing(direct))
        return made[0]

    return secure


def _demands_of(demands: DemandSource, routing: "SecuredRouting") -> Callable[[str], Awaitable[DemandFacts]]:
    async def find(domain: str) -> DemandFacts:
        secured = await routing.explain(domain)
        return DemandFacts(secured, demands.about(domain))

    return find


def _forwarding(settings: Settings, notice: Callable[[str], None]) -> Forwarding | None:
    """Return the aliases for questions about recipients; no message is ever forwarded."""
    if settings.aliases_file is None:
        return None
    aliases = AliasesFile(settings.aliases_file, notice)
    return Forwarding(
        aliases.current,
        settings.local_domains.matches,
        new_id=_never,
        writer=_never,
        require_room=_never,
        rewriting=sender_rewriting(settings, time.time, notice),
    )


def _never(*_: object) -> NoReturn:
    raise AssertionError("a dry run delivers nothing")
