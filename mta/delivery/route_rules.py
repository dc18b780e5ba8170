"""Asks the operator's `[[router]]` rules for the ways of recipients: those in force at each attempt."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mta.message.envelope import Envelope, Origin
from mta.queue.interface import DueMessage
from mta.routing.choice import Reroute, RouteChoice
from mta.rules.book import CurrentRules
from mta.rules.facts import Facts, HostAddresses, HostNotLookedUp, not_looked_up
from mta.smtp.address import Address

# A relay without rules need not have these in memory.
if TYPE_CHECKING:
    from mta.rules.conditions import Rule
    from mta.rules.routes import RouteRule, Routes

#: Tells whether a client's IP address is trusted; None while that depends on a host name that is not looked up yet.
Trust = Callable[[str], bool | None]


class Way(NamedTuple):
    """The way of mail to a recipient: the domain, and the choice of the rule that applies, or None without one."""

    domain: str
    choice: RouteChoice | None = None
    #: The rule, or the order that has taken its place.
    rule: "Rule | Reroute | None" = None
    #: Whether it depends on a host name that is not looked up yet, so that it is the way of local mail at most.
    open: bool = False


def nobody(_address: str) -> bool:
    """Return False: without rules no client need be told from others."""
    return False


class RouteRules:
    """The rules, as the delivery side asks them. Nothing of a book is kept, because a reload may replace it."""

    def __init__(
        self,
        current: CurrentRules | None = None,
        trusted: Trust = nobody,
        host_addresses: HostAddresses = not_looked_up,
    ) -> None:
        """`current` None: there are no rules. `host_addresses` tells the addresses of names in `client` conditions."""
        #: The rules in force.
        self.current = current or CurrentRules()
        self._trusted = trusted
        self._host_addresses = host_addresses

    @property
    def routes(self) -> "Routes | None":
        """The router rules in force, or None."""
        book = self.current.book
        return None if book is None else book.router

    @property
    def asks_for_envelopes(self) -> bool:
        """Whether `ways` needs the envelopes of messages."""
        routes = self.routes
        return routes is not None and routes.asks_for_message

    def way(self, envelope: Envelope, recipient: Address) -> Way:
        """Return the way of a recipient."""
        routes = self.routes
        if routes is None:
            return Way(recipient.domain)
        try:
            return _way(recipient, self._choose(routes, envelope, recipient))
        except HostNotLookedUp:
            return Way(recipient.domain, open=True)

    def ways(self, message: DueMessage) -> Sequence[Way]:
        """Return the ways of a message's waiting recipients; none if its envelope is missing and a rule asks for it."""
        routes = self.routes
        if routes is None:
            return [Way(domain) for domain in message.domains]
        if not routes.asks_for_message:
            return [_way_of_domain(routes, domain) for domain in message.domains]
        envelope = message.envelope
        return () if envelope is None else [self.way(envelope, one.address) for one in envelope.recipients]

    def _choose(self, routes: "Routes", envelope: Envelope, recipient: Address) -> "RouteRule | None":
        origin = envelope.origin
        trusted = _is_ours(origin) or self._trusted(origin.client)
        if trusted is not None:
            return routes.choose(self.facts(envelope, recipient, trusted=trusted))
        # The trust matters only if it makes a difference.
        chosen, other = (routes.choose(self.facts(envelope, recipient, trusted=either)) for either in (False, True))
        if chosen is not other:
            raise HostNotLookedUp
        return chosen

    def facts(self, envelope: Envelope, recipient: Address, *, trusted: bool) -> Facts:
        """Return the facts by which rules decide on a recipient if the client is trusted, or if it is not."""
        origin = envelope.origin
        return Facts(
            origin.client,
            trusted,
            envelope.sender,
            recipient,
            origin.login,
            origin.helo,
            host_addresses=self._host_addresses,
        )


def _way_of_domain(routes: "Routes", domain: str) -> Way:
    recipient = Address("", domain)
    return _way(recipient, routes.choose(Facts("", trusted=False, sender=None, recipient=recipient)))


def _way(recipient: Address, chosen: "RouteRule | None") -> Way:
    return Way(recipient.domain) if chosen is None else Way(recipient.domain, chosen.choice, chosen.rule)


def _is_ours(origin: Origin) -> bool:
    """Whether a message is of the relay itself, such as a report, or of a client that had logged in."""
    return not origin.client or origin.authenticated
