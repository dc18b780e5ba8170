"""The rules of [[acl]]: one action each."""

from mta.config.rules.keys.key import RuleKey, ValueForm
from mta.config.rules.keys.table import conditions_and_actions
from mta.config.rules.rule_values import RuleValueError, ValueReader, shown
from mta.config.rules.toml_tables import TableEntry
from mta.rules.acl import Acl, AclRule
from mta.rules.actions import Accept, Action, Hold, read_defer, read_deny
from mta.rules.conditions import Rule


class AclStage:
    """The rules of [[acl]]."""

    def __init__(self) -> None:
        self.rules: list[AclRule] = []

    def open_rule(self) -> "OpenAclRule":
        """Begin a rule."""
        return OpenAclRule(self.rules)

    def made(self) -> Acl | None:
        """Return the stage, or None if it has no rules."""
        return Acl(self.rules) if self.rules else None


class OpenAclRule:
    """One rule while its entries are read."""

    #: Of all rules that apply, the first decides.
    ends_search = True

    def __init__(self, rules: list[AclRule]) -> None:
        self._rules = rules
        self._actions: dict[str, Action] = {}

    def add(self, key: RuleKey, entry: TableEntry, _values: ValueReader) -> None:
        """Add an action. Raises RuleValueError."""
        self._actions[key.name] = _action(key, entry.value)

    def check(self, *, complete: bool) -> None:
        """Check that there is one action. Raises RuleValueError."""
        if len(self._actions) > 1 or (complete and not self._actions):
            actions = ", ".join(conditions_and_actions("acl")[1])
            found = " and ".join(self._actions) or "none"
            raise RuleValueError(f"a rule has one action of {actions}, and this one has {found}")

    def finish(self, rule: Rule) -> None:
        """Add the rule to the stage. Raises RuleValueError."""
        try:
            self._rules.append(AclRule(rule, *self._actions.values()))
        except ValueError as error:
            raise RuleValueError(str(error)) from None


def _action(key: RuleKey, value: object) -> Action:
    if key.form is ValueForm.TRUE:
        if value is not True:
            raise RuleValueError(f"{shown(value)} has no meaning; write {key.name} = true, or leave the key out")
        return Hold() if key.name == "hold" else Accept()
    if not isinstance(value, str):
        raise RuleValueError(f'{shown(value)} is no text; the words stand in quotes, {key.name} = "no"')
    try:
        return read_deny(value) if key.name == "deny" else read_defer(value)
    except ValueError as error:
        raise RuleValueError(f"{error}; {key.name} = {key.example}") from None
