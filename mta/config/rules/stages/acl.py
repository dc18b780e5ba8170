"""The rules of [[acl]]: one action each."""

from dataclasses import replace

from mta.config.rules.keys.key import RuleKey, ValueForm
from mta.config.rules.keys.table import conditions_and_actions
from mta.config.rules.rule_values import RuleValueError, ValueReader, read_true, read_word, shown
from mta.config.rules.toml_tables import TableEntry
from mta.rules.acl import Acl, AclRule
from mta.rules.actions import Accept, Action, Hold, read_defer, read_deny
from mta.rules.conditions import OverCondition, Per, Rule


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
        self._per: Per | None = None

    def add(self, key: RuleKey, entry: TableEntry, _values: ValueReader) -> None:
        """Add an action or an option. Raises RuleValueError."""
        if key.form is ValueForm.PER:
            self._per = Per(read_word(entry.value, [per.value for per in Per]))
            return
        self._actions[key.name] = _action(key, entry.value)

    def check(self, *, complete: bool) -> None:
        """Check that there is one action. Raises RuleValueError."""
        if len(self._actions) > 1 or (complete and not self._actions):
            actions = ", ".join(conditions_and_actions("acl")[1])
            found = " and ".join(self._actions) or "none"
            raise RuleValueError(f"a rule has one action of {actions}, and this one has {found}")

    def finish(self, rule: Rule) -> None:
        """Add the rule to the stage. Raises RuleValueError."""
        over = next((each for each in rule.conditions if isinstance(each, OverCondition)), None)
        if over is None and self._per is not None:
            raise RuleValueError("per belongs to over, and this rule has none")
        if any(isinstance(each, OverCondition) for each in rule.unless):
            raise RuleValueError("a rate is no exception: mail beyond it is refused by a rule with over")
        if over is not None and self._per is not None:
            counted = replace(over, per=self._per)
            rule = replace(rule, conditions=tuple(counted if each is over else each for each in rule.conditions))
        try:
            self._rules.append(AclRule(rule, *self._actions.values()))
        except ValueError as error:
            raise RuleValueError(str(error)) from None


def _action(key: RuleKey, value: object) -> Action:
    if key.form is ValueForm.TRUE:
        read_true(key.name, value)
        return Hold() if key.name == "hold" else Accept()
    if not isinstance(value, str):
        raise RuleValueError(f'{shown(value)} is no text; the words stand in quotes, {key.name} = "no"')
    try:
        return read_deny(value) if key.name == "deny" else read_defer(value)
    except ValueError as error:
        raise RuleValueError(f"{error}; {key.name} = {key.example}") from None
