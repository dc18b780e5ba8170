"""Makes the settings of a `[[retry]]` rule of its values."""

from mta.config.rules.keys.key import RuleKey
from mta.config.rules.rule_values import RuleValueError, ValueReader, shown
from mta.config.rules.toml_tables import TableEntry
from mta.config.schedule import read_schedule, read_time
from mta.retry_schedule import WARN_AFTER, RetrySchedule
from mta.rules.conditions import Rule
from mta.rules.retries import Retries, RetryRule


class RetryStage:
    """The rules of [[retry]]."""

    def __init__(self) -> None:
        self.rules: list[RetryRule] = []

    def open_rule(self) -> "OpenRetryRule":
        """Begin a rule."""
        return OpenRetryRule(self.rules)

    def made(self) -> Retries | None:
        """Return the stage, or None if it has no rules."""
        return Retries(self.rules) if self.rules else None


class OpenRetryRule:
    """One rule while its entries are read."""

    #: Of all rules that apply, the first decides.
    ends_search = True

    def __init__(self, rules: list[RetryRule]) -> None:
        self._rules = rules
        self._is_empty = True
        self._schedule: RetrySchedule | None = None
        self._warn_after: float | None = WARN_AFTER

    def add(self, key: RuleKey, entry: TableEntry, _values: ValueReader) -> None:
        """Add a setting. Raises RuleValueError."""
        self._is_empty = False
        if key.name == "schedule":
            self._schedule = _schedule(entry.value, key.example)
        else:
            self._warn_after = _warn_after(entry.value, key.example)

    def check(self, *, complete: bool) -> None:
        """Check that there is a setting. Raises RuleValueError."""
        if complete and self._is_empty:
            raise RuleValueError("this rule sets nothing; schedule and warn_after do")

    def finish(self, rule: Rule) -> None:
        """Add the rule to the stage."""
        self._rules.append(RetryRule(rule, self._schedule, self._warn_after))


def _schedule(value: object, example: str) -> RetrySchedule:
    if not isinstance(value, str):
        raise RuleValueError(f"{shown(value)} is no text; schedule = {example}")
    try:
        return read_schedule(value)
    except ValueError as error:
        raise RuleValueError(f"{error}; schedule = {example}") from None


def _warn_after(value: object, example: str) -> float | None:
    if value is False:
        return None
    try:
        after = read_time(value) if isinstance(value, str) else 0.0
    except ValueError:
        after = 0.0
    if not after:
        raise RuleValueError(f"{shown(value)} is no time; warn_after = {example}, or false for no report")
    return after
