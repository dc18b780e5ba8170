"""How mail is carried: the settings that `[[transport]]` rules give to the mail for each recipient."""

from mta.explain.parts import DecidingParts
from mta.explain.values import RouteKind, RouteVerdict, TransportVerdict
from mta.smtp.address import Address

_CARRIED = {RouteKind.SMARTHOST, RouteKind.HOSTS, RouteKind.MX, RouteKind.LITERAL}


def decide_transport(address: Address, route: RouteVerdict, relay: DecidingParts) -> TransportVerdict | None:
    """Return the settings for mail that goes by this route; None if there are no rules, or if it goes to no host."""
    rules = None if relay.book is None else relay.book.transport
    if rules is None or route.failed or route.kind not in _CARRIED:
        return None
    parts = rules.parts(address.domain, route.smarthost, route.names)
    return TransportVerdict(route.recipient, tuple((str(part.rule), part.shown) for part in parts))


def asks_for_unknown_hosts(routes: list[RouteVerdict], relay: DecidingParts) -> bool:
    """Return whether rules ask for the hosts of a recipient's mail, which are not known."""
    rules = None if relay.book is None else relay.book.transport
    return (
        rules is not None
        and rules.asks_for_hosts
        and any(route.kind in _CARRIED and not route.failed and not route.names for route in routes)
    )
