"""Where accepted mail goes: the decision of the relay's router on each recipient."""

from mta.cli.explain.parts import DecidingParts
from mta.cli.explain.values import RouteKind, RouteVerdict
from mta.config.summary import describe_local_delivery
from mta.message.outcome import Failed, TryLater
from mta.routing.choice import Discard, Fail
from mta.routing.route import Local, Smarthost
from mta.smtp.address import Address, bracketed, literal_ip


async def decide_route(address: Address, relay: DecidingParts) -> RouteVerdict:
    """Return the route of mail for a recipient."""
    recipient, domain, smarthost = str(address), address.domain, relay.settings.smarthost
    if relay.rules.is_local(domain):
        return _local(recipient, domain, relay)
    kind = _kind(address, smarthost)
    words, hosts, setting = _configured(address, relay)
    if not relay.can_route(address):
        return RouteVerdict(recipient, kind, words, hosts, setting)
    routing = await relay.router.resolve(domain)
    match routing:
        case Failed():
            return RouteVerdict(recipient, kind, f"returned: {routing.text}", (), setting, failed=True)
        case TryLater():
            return RouteVerdict(recipient, kind, f"waits: {routing.text}", (), setting)
        case Local():
            return _local(recipient, domain, relay)
        case Fail(text):
            return RouteVerdict(recipient, kind, f"returned: {text}", (), setting, failed=True)
        case Discard():
            return RouteVerdict(recipient, kind, "discarded", (), setting)
    labels = tuple(route.label for route in routing.routes)
    return RouteVerdict(recipient, kind, f"{words}: {', '.join(labels)}" if relay.dns else words, labels, setting)


def _local(recipient: str, domain: str, relay: DecidingParts) -> RouteVerdict:
    named = bool(domain) and not domain.startswith("[") and domain != "localhost"
    setting = "OTHER_HOSTNAMES" if named else ""
    return RouteVerdict(recipient, RouteKind.LOCAL, f"local, {describe_local_delivery(relay.settings)}", (), setting)


def _kind(address: Address, smarthost: Smarthost | None) -> RouteKind:
    if smarthost is not None:
        return RouteKind.SMARTHOST
    return RouteKind.LITERAL if address.is_literal else RouteKind.MX


def _configured(address: Address, relay: DecidingParts) -> tuple[str, tuple[str, ...], str]:
    """Return words for the route, its hosts and its setting, as far as the settings tell them."""
    settings = relay.settings
    if settings.smarthost is not None:
        hosts = tuple(f"{bracketed(host)}:{port}" for host, port in settings.smarthost.hosts)
        return f"the smarthost {', '.join(hosts)}", hosts, settings.smarthost.place
    port = settings.port_out
    if address.is_literal:
        host = f"{bracketed(literal_ip(address.domain))}:{port}"
        return "the host of the address literal", (host,), ""
    return f"the MX hosts of {address.domain}, port {port}", (), ""
