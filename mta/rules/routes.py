"""`[[router]]`: the way of mail that is not local. Of all rules that apply, the first decides on a recipient."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mta.routing.choice import Fail, MxOf, RouteChoice, ViaSmarthost
from mta.routing.route import Smarthost
from mta.rules.conditions import Condition, RecipientCondition, Rule
from mta.rules.facts import Facts
from mta.smtp.address import is_deceptive

#: The characters of the words of `fail`, which the report to the sender contains.
MAX_FAIL_WORDS = 500
_STATUS = re.compile(r"(5\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")
# The code of a reply, or a status of another class.
_NUMBER = re.compile(r"(?:[0-9]{3}|[0-9]\.[0-9.]*)(?: |$)")


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A rule and the way of the mail for which it applies."""

    rule: Rule
    choice: RouteChoice


class Routes:
    """The rules in their order."""

    __slots__ = ("asks_for_message", "rules")

    def __init__(self, rules: Iterable[RouteRule]) -> None:
        #: All rules in their order.
        self.rules = tuple(rules)
        #: Whether two recipients of one domain may go different ways: a rule asks for the sender, the client, the login
        #: or a local part.
        self.asks_for_message = any(
            _asks_for_message(condition) for route in self.rules for condition in route.rule.all_conditions
        )

    @property
    def host_names(self) -> tuple[str, ...]:
        """The host names in `client` conditions, each once, whose addresses `Facts.host_addresses` must tell."""
        return tuple(dict.fromkeys(name for route in self.rules for name in route.rule.host_names))

    @property
    def smarthosts(self) -> tuple[Smarthost, ...]:
        """The smarthosts that mail may go to, also those without a name, each once."""
        choices = (route.choice for route in self.rules)
        return tuple(dict.fromkeys(each.smarthost for each in choices if isinstance(each, ViaSmarthost)))

    @property
    def by_mx(self) -> bool:
        """Whether a rule sends mail to the MX hosts of a domain."""
        return any(isinstance(route.choice, MxOf) for route in self.rules)

    def choose(self, facts: Facts) -> RouteRule | None:
        """Return the rule that decides on `facts.recipient`, or None if no rule applies.

        Raises HostNotLookedUp if that depends on the addresses of a host name which are not known.
        """
        for route in self.rules:
            if route.rule.applies(facts):
                return route
        return None


def read_fail(words: str) -> Fail:
    """Return the choice of `fail = "words"`. A status may come first (RFC 3463). Raises ValueError."""
    text = words.strip()
    status = ""
    if found := _STATUS.match(text):
        status, text = found[1], text[found.end() :].lstrip()
    elif _NUMBER.match(text):
        raise ValueError("before the words only a status of a failure may stand, which begins with 5.")
    if not text:
        raise ValueError("the words of the report are missing")
    if len(text) > MAX_FAIL_WORDS or not text.isascii() or is_deceptive(text):
        raise ValueError(f"the words are up to {MAX_FAIL_WORDS} printable ASCII characters")
    return Fail(text, status) if status else Fail(text)


def _asks_for_message(condition: Condition) -> bool:
    return not isinstance(condition, RecipientCondition) or condition.patterns.asks_for_local
