"""`[[transport]]`: how mail is carried. Each setting comes from the first rule that applies and has the setting."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mta.routing.carriage import Carriage, CarriageRate
from mta.routing.route import TlsRule
from mta.rules.conditions import HostCondition, RecipientCondition, Rule, SmarthostCondition
from mta.rules.facts import Facts
from mta.smtp.address import Address

#: The name of the environment's smarthost in conditions.
DEFAULT_SMARTHOST = "default"
#: The settings of a carriage that rules give.
SETTINGS = (
    *("connections", "messages_per_connection", "rates", "rates_each"),
    *("tls", "port", "helo", "source", "ipv6"),
)
# The keys of settings that have another name in a carriage.
_KEYS = {"rates": "rate", "rates_each": "rate_each"}
# Its name in `mta.routing.route.Smarthost`.
_NAME_OF_DEFAULT = "smarthost"


@dataclass(frozen=True, slots=True)
class TransportRule:
    """A rule with its settings.

    If it is `for_all`, its rates also hold for mail to which an earlier rule gives rates.
    """

    rule: Rule
    settings: Carriage
    for_all: bool = False

    def __post_init__(self) -> None:
        """Check that the rule asks only for facts about a destination. Raises ValueError."""
        for condition in self.rule.all_conditions:
            if not isinstance(condition, RecipientCondition | HostCondition | SmarthostCondition):
                raise ValueError(f"{condition.key} is not known when mail is carried")  # noqa: TRY004  for operators

    @property
    def given(self) -> tuple[str, ...]:
        """The names of its settings."""
        return tuple(name for name in SETTINGS if getattr(self.settings, name) not in (None, ()))

    @property
    def shown(self) -> dict[str, str]:
        """Its settings by their keys, as an operator writes them, without quotes."""
        return {_KEYS.get(name, name): _shown(getattr(self.settings, name)) for name in self.given}

    @property
    def words(self) -> tuple[str, ...]:
        """Its settings in words: `connections 2`."""
        return tuple(f"{key} {value}" for key, value in self.shown.items())

    @property
    def tells_apart(self) -> bool:
        """Whether the rule may apply to one of two domains with the same hosts and not to the other.

        A condition on hosts counts too: the router may have found only a part of them.
        """
        return not all(isinstance(condition, SmarthostCondition) for condition in self.rule.all_conditions)


class TransportRules:
    """The rules in their order."""

    __slots__ = ("rules",)

    #: Host names in `client` conditions, which these rules cannot have.
    host_names: tuple[str, ...] = ()

    def __init__(self, rules: Iterable[TransportRule]) -> None:
        #: All rules in their order.
        self.rules = tuple(rules)

    @property
    def asks_for_domains(self) -> bool:
        """Whether the carriage may depend on the recipient's domain."""
        return self._asks_for(RecipientCondition)

    @property
    def asks_for_hosts(self) -> bool:
        """Whether the carriage may depend on the names of hosts."""
        return self._asks_for(HostCondition)

    def carriage(self, domain: str, smarthost: str, hosts: tuple[str, ...]) -> Carriage | None:
        """Return the carriage of mail for a domain, or None if no rule applies.

        `smarthost` is the name of the smarthost that takes the mail (`mta.routing.route.Smarthost`), "" for MX hosts;
        `hosts` are the names of the hosts, of which one must match a condition.
        """
        parts = self.parts(domain, smarthost, hosts)
        if not parts:
            return None
        found: dict[str, object] = {}
        for part in parts:
            for name in part.given:
                value = getattr(part.settings, name)
                # Only rates can come from two rules.
                found[name] = value if name not in found else (*found[name], *value)  # type: ignore[misc]
        return Carriage(
            places=_places(parts),
            apart=_places(part for part in parts if part.tells_apart),
            **found,  # type: ignore[arg-type]  # values of its own fields
        )

    def parts(self, domain: str, smarthost: str, hosts: tuple[str, ...]) -> tuple[TransportRule, ...]:
        """Return the rules that `carriage` takes settings from, each with those settings only."""
        facts = Facts(
            client="",
            trusted=False,
            sender=None,
            recipient=Address("", domain),
            hosts=hosts,
            smarthost=DEFAULT_SMARTHOST if smarthost == _NAME_OF_DEFAULT else smarthost,
        )
        taken: set[str] = set()
        parts = []
        for rule in self.rules:
            if not rule.rule.applies(facts):
                continue
            names = [name for name in rule.given if name not in taken or (rule.for_all and name == "rates")]
            if names:
                parts.append(replace(rule, settings=_only(rule.settings, names)))
                taken.update(names)
        return tuple(parts)

    def _asks_for(self, kind: type[RecipientCondition | HostCondition]) -> bool:
        return any(isinstance(one, kind) for rule in self.rules for one in rule.rule.all_conditions)


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case TlsRule():
            return value.value
        case tuple():
            return " and ".join(map(_shown, value))
        case CarriageRate(limits=limits):
            return " and ".join(map(str, limits))
    return str(value)


def _only(settings: Carriage, names: Iterable[str]) -> Carriage:
    return Carriage(**{name: getattr(settings, name) for name in names})


def _places(rules: Iterable[TransportRule]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(rule.rule.where) for rule in rules))
