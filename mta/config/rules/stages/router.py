"""The rules of [[router]]: one choice of a way each."""

from mta.config.rules.keys.key import SMARTHOST, RuleKey
from mta.config.rules.keys.table import conditions_and_actions
from mta.config.rules.rule_values import RuleValueError, ValueReader, read_true, shown
from mta.config.rules.stages.hosts import OpenHosts, text_of
from mta.config.rules.stages.secrets import RuleSecrets
from mta.config.rules.stages.smarthosts import Smarthosts
from mta.config.rules.toml_tables import TableEntry
from mta.routing.choice import Discard, MxOf, RouteChoice, ViaSmarthost
from mta.rules.conditions import Rule
from mta.rules.routes import RouteRule, Routes, read_fail
from mta.smtp.address import is_ip, parse_domain

_HOSTS = "hosts"
_OPTIONS = ("tls", "ca_file")


class RouterStage:
    """The rules of [[router]]."""

    def __init__(self, smarthosts: Smarthosts, secrets: RuleSecrets) -> None:
        self._smarthosts = smarthosts
        self._secrets = secrets
        self.rules: list[RouteRule] = []

    def open_rule(self) -> "OpenRouterRule":
        """Begin a rule."""
        return OpenRouterRule(self.rules, self._smarthosts, OpenHosts(self._secrets))

    def made(self) -> Routes | None:
        """Return the stage, or None if it has no rules."""
        return Routes(self.rules) if self.rules else None


class OpenRouterRule:
    """One rule while its entries are read."""

    #: Of all rules that apply, the first decides.
    ends_search = True

    def __init__(self, rules: list[RouteRule], smarthosts: Smarthosts, hosts: OpenHosts) -> None:
        self._rules = rules
        self._smarthosts = smarthosts
        self._hosts = hosts
        # By key; that of `hosts` is made at the end, because `tls` may stand behind it.
        self._choices: dict[str, RouteChoice | None] = {}

    def add(self, key: RuleKey, entry: TableEntry, values: ValueReader) -> None:
        """Add an action or option. Raises RuleValueError."""
        if key.name in (_HOSTS, *_OPTIONS):
            self._hosts.add(key, entry, values)
            if key.name == _HOSTS:
                self._choices[_HOSTS] = None
        else:
            self._choices[key.name] = self._choice(key, entry)

    def check(self, *, complete: bool) -> None:
        """Check that there is one action. Raises RuleValueError."""
        if len(self._choices) > 1 or (complete and not self._choices):
            actions = ", ".join(conditions_and_actions("router")[1])
            found = " and ".join(self._choices) or "none"
            raise RuleValueError(f"a rule has one action of {actions}, and this one has {found}")
        options = [name for name in self._hosts.given if name in _OPTIONS]
        if self._choices and _HOSTS not in self._choices and options:
            right = f"; that of a smarthost stands in [{SMARTHOST}.NAME]" if SMARTHOST in self._choices else ""
            raise RuleValueError(f"{options[0]} belongs to {_HOSTS}, and this rule has none{right}")

    def finish(self, rule: Rule) -> None:
        """Add the rule to the stage. Raises RuleValueError."""
        (choice,) = self._choices.values()
        if choice is None:
            choice = ViaSmarthost(self._hosts.made(self._hosts.name, f"the rule in {rule.where}"))
        self._rules.append(RouteRule(rule, choice))

    def _choice(self, key: RuleKey, entry: TableEntry) -> RouteChoice:
        """Return the choice of an action other than `hosts`. Raises RuleValueError."""
        if key.name == "mx":
            return _read_mx(key, entry)
        if key.name == "discard":
            read_true(key.name, entry.value)
            return Discard()
        text = text_of(key, entry)
        if key.name == SMARTHOST:
            return ViaSmarthost(self._smarthosts.find(text))
        try:
            return read_fail(text)
        except ValueError as error:
            raise RuleValueError(f"{error}; {key.name} = {key.example}") from None


def _read_mx(key: RuleKey, entry: TableEntry) -> MxOf:
    if entry.value is True:
        return MxOf()
    if entry.value is False:
        raise RuleValueError("false has no meaning; write mx = true, or leave the key out")
    text = text_of(key, entry)
    try:
        domain = parse_domain(text.removesuffix("."))
    except ValueError as error:
        raise RuleValueError(f'{error}; {key.name} = true, or {key.name} = "relay.example.net"') from None
    if domain.startswith("[") or is_ip(text):
        raise RuleValueError(f"an address has no MX; {_HOSTS} = {shown(text)}")
    return MxOf(domain)
