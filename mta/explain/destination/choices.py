"""The commands among which an operator may choose for a destination. Pure."""

from collections.abc import Iterator

from mta.explain.destination.facts import DestinationFacts
from mta.explain.message.page import Choice
from mta.explain.values import RouteKind
from mta.queue.interface import Action

_ACTIONS = {each.value: each for each in Action}
# By command of `smtprelay queue`: its words behind the conditions, and its effect.
_ORDERS = {
    "retry": ("", "try its mail now"),
    "hold": ("", "keep its mail back until it is released"),
    "reroute": (" --to HOST:PORT", "send its mail another way, once"),
    "bounce": ("", "return its mail to the senders now, with reports"),
}


def choices_for(facts: DestinationFacts) -> tuple[Choice, ...]:
    """Return the commands for a destination."""
    return tuple(_choices(facts))


def _choices(facts: DestinationFacts) -> Iterator[Choice]:
    shape = facts.shape
    mail = "" if shape is None else f"--domain {facts.name}"
    if shape is None and facts.by_host:
        mail = f"--host {facts.name}"
    if mail:
        yield Choice(f"smtprelay queue find {mail} --status waiting", "list its mail that waits")
        if shape is not None and shape.held:
            yield Choice(f"smtprelay queue release {mail}", "let its held mail go on", Action.RELEASE)
        for name, (words, effect) in _ORDERS.items():
            if name in _ACTIONS:
                yield Choice(f"smtprelay queue {name} {mail}{words}", effect, _ACTIONS[name])
    if facts.ways is not None and facts.ways.route.kind is RouteKind.MX:
        yield Choice(f"smtprelay doctor --to {facts.name}", "connect to its hosts as for mail, without sending any")
    elif facts.smarthost is not None or (facts.ways is not None and facts.ways.route.kind is RouteKind.SMARTHOST):
        yield Choice("smtprelay doctor", "connect to the smarthost as for mail, and log in, without sending any")
